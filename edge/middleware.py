"""Every request is an origin, and a line in the log; what cannot be a request is turned away."""

import time
from collections.abc import Callable
from typing import Any
from uuid import UUID

import structlog
from csp.constants import UNSAFE_EVAL
from csp.middleware import CSPMiddleware, PolicyParts
from django.conf import settings
from django.core.exceptions import BadRequest, RequestDataTooBig
from django.http import Http404, HttpRequest, HttpResponse

from eventbus import acting_as, origin

log = structlog.get_logger(__name__)
PROBES = "/health/"
METHODS = {"GET", "HEAD", "OPTIONS", "POST", "PUT", "PATCH", "DELETE"}


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


class RequestLogMiddleware:
    """Write one line a request. It names the route, never the address: names may stand in it."""

    def __init__(self, answer: Callable[[HttpRequest], HttpResponse]) -> None:
        self.answer = answer

    def __call__(self, request: HttpRequest) -> HttpResponse:
        """Answer, and write down how; probes only where somebody debugs."""
        began = time.perf_counter()
        response = self.answer(request)
        write = log.debug if request.path.startswith(PROBES) else log.info
        write(
            "request",
            who=origin().actor,
            method=request.method if request.method in METHODS else "?",
            route=f"/{request.resolver_match.route}" if request.resolver_match else "",
            status=response.status_code,
            ms=round((time.perf_counter() - began) * 1000, 1),
            bytes_in=_size(request.META.get("CONTENT_LENGTH")),
            bytes_out=None if response.streaming else len(response.content),
        )
        return response


class RequestGuardMiddleware:
    """Refuse what no view could take, before anybody looks at it: NUL, and bodies without end."""

    def __init__(self, answer: Callable[[HttpRequest], HttpResponse]) -> None:
        self.answer = answer

    def __call__(self, request: HttpRequest) -> HttpResponse:
        """Answer, or raise what becomes 404 or 400."""
        if "\0" in request.path_info:
            raise Http404
        if "%00" in request.META.get("QUERY_STRING", ""):
            raise BadRequest("NUL in a parameter")
        # Django limits what it keeps in memory; a file in a form would go to the disk, however big.
        if _size(request.META.get("CONTENT_LENGTH")) > settings.DATA_UPLOAD_MAX_MEMORY_SIZE:
            raise RequestDataTooBig
        return self.answer(request)


class PolicyMiddleware(CSPMiddleware):
    """The Content-Security-Policy of the settings, and what the admin needs besides."""

    def get_policy_parts(
        self, request: HttpRequest, response: Any, report_only: bool = False
    ) -> PolicyParts:
        """Let the admin's pages compile expressions: Alpine.js, which they are made with, does."""
        parts = super().get_policy_parts(request, response, report_only)
        if request.path_info.startswith("/admin/"):
            parts.update = {**(parts.update or {}), "script-src": [UNSAFE_EVAL]}
        return parts


def _size(said: str | None) -> int:
    return int(said[:18]) if said and said.isdecimal() else 0
