"""Every request is an origin: what it causes carries its correlation id."""

from collections.abc import Callable
from uuid import UUID

import structlog
from django.core.exceptions import BadRequest
from django.http import Http404, HttpRequest, HttpResponse

from eventbus import acting_as


class OriginMiddleware:
    """Take the client's X-Request-ID where it is a UUID, else make one; answer with it."""

    def __init__(self, answer: Callable[[HttpRequest], HttpResponse]) -> None:
        self.answer = answer

    def __call__(self, request: HttpRequest) -> HttpResponse:
        """Answer inside the origin."""
        with acting_as("nobody", _asked_for(request)) as here:
            structlog.contextvars.bind_contextvars(correlation=str(here.correlation))
            try:
                response = self.answer(request)
            finally:
                structlog.contextvars.unbind_contextvars("correlation")
        response["X-Request-ID"] = str(here.correlation)
        return response


def _asked_for(request: HttpRequest) -> UUID | None:
    try:
        return UUID(request.headers.get("X-Request-ID", ""))
    except ValueError:
        return None


class NoNulMiddleware:
    """Answer an address with NUL in it, which no database takes, before anybody looks it up."""

    def __init__(self, answer: Callable[[HttpRequest], HttpResponse]) -> None:
        self.answer = answer

    def __call__(self, request: HttpRequest) -> HttpResponse:
        """Answer, or raise what becomes 404 or 400."""
        if "\0" in request.path_info:
            raise Http404
        if "%00" in request.META.get("QUERY_STRING", ""):
            raise BadRequest("NUL in a parameter")
        return self.answer(request)
