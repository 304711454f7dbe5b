"""Problem details: every refusal of the API as application/problem+json (RFC 9457)."""

import math
import re
from collections.abc import Callable, Iterator
from http import HTTPStatus
from typing import Any
from urllib.parse import quote

from django.core.exceptions import ObjectDoesNotExist, RequestDataTooBig, ValidationError
from django.http import Http404, HttpRequest, HttpResponse, HttpResponseBase, JsonResponse
from django.views import csrf, defaults
from rest_framework import exceptions
from rest_framework.fields import get_error_detail
from rest_framework.permissions import SAFE_METHODS
from rest_framework.response import Response

from edge.problem_pages import INVALID, kind_of
from eventbus import Refusal, TryLater, origin
from eventbus.origin import trace_id

MEDIA = "application/problem+json"
Path = tuple[str | int, ...]  # of a field in what was sent
KEPT_HEADERS = ("WWW-Authenticate", "Retry-After")


def problem(error: Exception, context: dict[str, Any]) -> Response | None:
    """Return the response to an error in a view; None makes it a 500 of Django's."""
    # Not at the top: a view class imports edge.rate_limits, which imports this module.
    from rest_framework.views import exception_handler

    media = _media(context)
    if isinstance(error, Refusal):
        errors = [_field_error(_path(error.field), str(error), context)] if error.field else []
        body = _body(error.status, str(error), errors, type(error).__name__)
        return Response(body, error.status, headers=_retry_after(error), content_type=media)
    if isinstance(error, TryLater):
        return Response(
            _body(503, str(error)), 503, headers=_retry_after(error), content_type=media
        )
    if isinstance(error, RequestDataTooBig):
        return Response(_body(413, "The request is too large."), 413, content_type=media)
    if isinstance(error, ObjectDoesNotExist):
        error = Http404()
    elif isinstance(error, ValidationError):
        error = exceptions.ValidationError(get_error_detail(error))
    response = exception_handler(error, context)
    if response is None:
        return None
    if isinstance(error, exceptions.ValidationError):
        errors = [_field_error(path, detail, context) for path, detail in _fields(response.data)]
        body = _body(response.status_code, "The request is not valid.", errors, INVALID)
    else:
        body = _body(response.status_code, str(_detail(response.data)))
    headers = {name: response[name] for name in KEPT_HEADERS if name in response}
    return Response(body, response.status_code, headers=headers, content_type=media)


def refused(request: HttpRequest, error: Refusal | TryLater) -> HttpResponse:
    """Return the response to a refusal of a middleware."""
    details = problem(error, {})
    assert details, "problem() answers every Refusal and TryLater"
    if request.path.startswith("/v1/"):
        response: HttpResponse = JsonResponse(details.data, content_type=MEDIA)
    else:
        response = HttpResponse(details.data["detail"], content_type="text/plain; charset=utf-8")
    response.status_code = details.status_code
    for name in (name for name in KEPT_HEADERS if name in details):
        response[name] = details[name]
    return response


def bad_request(request: HttpRequest, exception: Exception) -> HttpResponseBase:
    """Return the response to a malformed request that reached no view (handler400)."""
    if isinstance(exception, RequestDataTooBig):
        return _edge(request, 413, "The request is too large.", _too_large, exception)
    return _edge(request, 400, "The request is not valid.", defaults.bad_request, exception)


def forbidden(request: HttpRequest, exception: Exception) -> HttpResponseBase:
    """Return the response to a request refused outside the REST framework (handler403)."""
    return _edge(request, 403, "This is not allowed.", defaults.permission_denied, exception)


def csrf_failure(request: HttpRequest, reason: str = "") -> HttpResponseBase:
    """Return the response to a form without a valid CSRF token."""
    detail = "The request does not come from a page of this shop (CSRF)."
    return _edge(request, 403, detail, csrf.csrf_failure)


def not_found(request: HttpRequest, exception: Exception) -> HttpResponseBase:
    """Return the response to an unknown path (handler404)."""
    return _edge(request, 404, "There is nothing here.", defaults.page_not_found, exception)


def server_error(request: HttpRequest) -> HttpResponseBase:
    """Return the response to a bug (handler500), without details of the inside."""
    detail = "An error in the shop. Search the log for the request_id."
    return _edge(request, 500, detail, defaults.server_error)


def _edge(
    request: HttpRequest,
    status: int,
    detail: str,
    page: Callable[..., HttpResponse],
    *cause: Exception,
) -> HttpResponseBase:
    if request.path.startswith("/v1/"):
        return JsonResponse(_body(status, detail), status=status, content_type=MEDIA)
    return page(request, *cause)


def _retry_after(error: Refusal | TryLater) -> dict[str, str]:
    """Return Retry-After, where the error has seconds."""
    if "seconds" not in error.fields:
        return {}
    return {"Retry-After": str(math.ceil(float(error.seconds)))}


def _too_large(request: HttpRequest, exception: Exception) -> HttpResponse:
    return HttpResponse("The request is too large.", status=413, content_type="text/plain")


def _media(context: dict[str, Any]) -> str | None:
    """Return the problem's media type; None keeps HTML for the browsable pages."""
    renderer = getattr(context.get("request"), "accepted_renderer", None)
    return None if renderer and renderer.media_type == "text/html" else MEDIA


def _body(
    status: int, detail: str, errors: list[dict[str, str]] | None = None, kind: str = ""
) -> dict[str, Any]:
    here = origin()
    return {
        "type": f"/problems/{kind or kind_of(status)}",
        "title": HTTPStatus(status).phrase,
        "status": status,
        "detail": detail,
        "errors": errors or [],
        "request_id": str(here.correlation),
        "trace_id": trace_id() or here.correlation.hex,
    }


def _detail(data: Any) -> Any:
    return data.get("detail", data) if isinstance(data, dict) else data


def _fields(data: Any, path: Path = ()) -> Iterator[tuple[Path, str]]:
    """Flatten DRF's nested messages: one for each field, with its path."""
    if isinstance(data, dict):
        for key, value in data.items():
            yield from _fields(value, path if key == "non_field_errors" else (*path, key))
    elif isinstance(data, list) and any(isinstance(item, dict) for item in data):
        for index, item in enumerate(data):
            yield from _fields(item, (*path, index))
    else:
        for message in data if isinstance(data, list) else [data]:
            yield path, str(message)


def _path(field: str) -> Path:
    """Split `lines[2].sku` into its steps."""
    parts = re.findall(r"[^.\[\]]+", field)
    return tuple(int(part) if part.isdecimal() else part for part in parts)


def _field_error(path: Path, detail: str, context: dict[str, Any]) -> dict[str, str]:
    """Return an error of a field: `lines[2].sku`, and of a body its JSON Pointer (RFC 6901)."""
    steps = (f"[{step}]" if isinstance(step, int) else f".{step}" for step in path)
    error = {"field": "".join(steps).removeprefix("."), "detail": detail}
    if getattr(context.get("request"), "method", "") not in SAFE_METHODS:
        names = (str(step).replace("~", "~0").replace("/", "~1") for step in path)
        error["pointer"] = "#" + "".join(f"/{quote(name)}" for name in names)
    return error
