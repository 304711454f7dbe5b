"""The API's edge: every refusal as application/problem+json (RFC 9457)."""

from http import HTTPStatus
from typing import Any

from django.core.exceptions import ObjectDoesNotExist
from django.http import Http404
from rest_framework import exceptions
from rest_framework.response import Response
from rest_framework.views import exception_handler

from eventbus import Refusal, origin


def problem(error: Exception, context: dict[str, Any]) -> Response | None:
    """Answer an error; None lets Django make a 500 of it."""
    if isinstance(error, Refusal):
        errors = [{"field": error.field, "detail": str(error)}] if error.field else []
        return _answer(error.status, str(error), errors, type(error).__name__)
    if isinstance(error, ObjectDoesNotExist):
        error = Http404(str(error))
    response = exception_handler(error, context)
    if response is None:
        return None
    errors = list(_fields(response.data)) if isinstance(error, exceptions.ValidationError) else []
    detail = "The request is not valid." if errors else str(_detail(response.data))
    headers = {h: response[h] for h in ("WWW-Authenticate", "Retry-After") if h in response}
    return _answer(response.status_code, detail, errors, "", headers)


def _answer(
    status: int, detail: str, errors: list[Any], kind: str, headers: dict[str, str] | None = None
) -> Response:
    body = {
        "type": f"/problems/{kind}" if kind else "about:blank",
        "title": HTTPStatus(status).phrase,
        "status": status,
        "detail": detail,
        "errors": errors,
        "request_id": str(origin().correlation),
    }
    return Response(body, status, headers=headers, content_type="application/problem+json")


def _detail(data: Any) -> Any:
    return data.get("detail", data) if isinstance(data, dict) else data


def _fields(data: Any, path: str = "") -> Any:
    """Flatten DRF's nested messages: one entry a field, `lines[2].quantity`."""
    if isinstance(data, dict):
        for key, value in data.items():
            yield from _fields(value, _below(path, key))
    elif isinstance(data, list) and any(isinstance(item, dict) for item in data):
        for index, item in enumerate(data):
            yield from _fields(item, f"{path}[{index}]")
    else:
        for message in data if isinstance(data, list) else [data]:
            yield {"field": path, "detail": str(message)}


def _below(path: str, key: object) -> str:
    if isinstance(key, int):
        return f"{path}[{key}]"
    return path if key == "non_field_errors" else f"{path}.{key}".strip(".")
