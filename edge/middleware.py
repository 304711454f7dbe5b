"""Middleware: the origin of a request, its line in the log, and requests that no view can take."""

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
from infra.runtime_settings import store

log = structlog.get_logger(__name__)
PROBES = "/health/"
METHODS = {"GET", "HEAD", "OPTIONS", "POST", "PUT", "PATCH", "DELETE"}


class OriginMiddleware:
    """Makes the request the origin of all that it causes, and reads runtime settings once for it.

    The correlation is the client's X-Request-ID where that is a UUID, else a new one; it is
    returned in the same header.
    """

    def __init__(self, get_response: Callable[[HttpRequest], HttpResponse]) -> None:
        self.get_response = get_response

    def __call__(self, request: HttpRequest) -> HttpResponse:
        """Answer inside the origin."""
        with acting_as("nobody", _correlation(request)) as here, store.read_once():
            structlog.contextvars.bind_contextvars(correlation=str(here.correlation))
            try:
                response = self.get_response(request)
            finally:
                structlog.contextvars.unbind_contextvars("correlation")
        response["X-Request-ID"] = str(here.correlation)
        return response


def _correlation(request: HttpRequest) -> UUID | None:
    try:
        return UUID(request.headers.get("X-Request-ID", ""))
    except ValueError:
        return None


class RequestLogMiddleware:
    """Writes one log line for each request: the route and not the path, which may hold names."""

    def __init__(self, get_response: Callable[[HttpRequest], HttpResponse]) -> None:
        self.get_response = get_response

    def __call__(self, request: HttpRequest) -> HttpResponse:
        """Answer, and log the answer; probes at level DEBUG."""
        began = time.perf_counter()
        response = self.get_response(request)
        write = log.debug if request.path.startswith(PROBES) else log.info
        write(
            "request",
            actor=origin().actor,
            method=request.method if request.method in METHODS else "?",
            route=f"/{request.resolver_match.route}" if request.resolver_match else "",
            status=response.status_code,
            ms=round((time.perf_counter() - began) * 1000, 1),
            bytes_in=_size(request.META.get("CONTENT_LENGTH")),
            bytes_out=None if response.streaming else len(response.content),
        )
        return response


class RequestGuardMiddleware:
    """Refuses requests that no view can take: NUL characters, and bodies that are too large."""

    def __init__(self, get_response: Callable[[HttpRequest], HttpResponse]) -> None:
        self.get_response = get_response

    def __call__(self, request: HttpRequest) -> HttpResponse:
        """Answer. Raises Http404, BadRequest, RequestDataTooBig."""
        if "\0" in request.path_info:
            raise Http404
        if "%00" in request.META.get("QUERY_STRING", ""):
            raise BadRequest("NUL in a parameter")
        # Django limits only memory: it writes a file in a form to the disk, whatever its size.
        if _size(request.META.get("CONTENT_LENGTH")) > settings.DATA_UPLOAD_MAX_MEMORY_SIZE:
            raise RequestDataTooBig
        return self.get_response(request)


class ContentSecurityPolicyMiddleware(CSPMiddleware):
    """Sends the Content-Security-Policy of the settings, with one exception for the admin."""

    def get_policy_parts(
        self, request: HttpRequest, response: Any, report_only: bool = False
    ) -> PolicyParts:
        """Allow the admin's pages to compile expressions, as Alpine.js does."""
        parts = super().get_policy_parts(request, response, report_only)
        if request.path_info.startswith("/admin/"):
            parts.update = {**(parts.update or {}), "script-src": [UNSAFE_EVAL]}
        return parts


def _size(header: str | None) -> int:
    return int(header[:18]) if header and header.isdecimal() else 0
