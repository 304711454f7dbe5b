"""Idempotent views: the key, the change and its events commit together.

A view may set `moves_money = True` (a key is required), or `stores_responses = False` (its
responses are secrets, so it ignores keys).
"""

import json
import re
from collections.abc import Callable, Iterable
from functools import partial
from hashlib import sha256
from typing import Any

from django.db import transaction
from django.http import QueryDict
from django.http.response import HttpResponseBase
from django.urls import URLPattern, URLResolver
from django.utils.crypto import salted_hmac
from rest_framework.request import Request
from rest_framework.views import APIView

from edge.idempotency.errors import KeyInUse, KeyMalformed, KeyMissing
from edge.idempotency.models import find, store
from infra import clock, locks
from infra.transactions import repeat_conflicts

HEADER = "Idempotency-Key"
METHODS = ("POST", "PATCH")
# A structured field's string (RFC 9651); many clients leave the quotes out.
KEY = re.compile(r'("?)([\x20\x21\x23-\x5b\x5d-\x7e]{1,255})\1')
Route = URLPattern | URLResolver


class IdempotencyMixin(APIView):
    """Mixed into every view of a context by `with_idempotency`."""

    def initial(self, request: Request, *args: Any, **kwargs: Any) -> None:
        """Check permissions and limits first: a request refused there uses up no key."""
        super().initial(request, *args, **kwargs)
        handler = getattr(self, str(request.method).lower(), None)
        if request.method not in METHODS or not handler or not stores_responses(type(self)):
            return
        if key := _key(request):
            setattr(self, request.method.lower(), partial(self._execute_once, key, handler))
        elif getattr(self, "moves_money", False):
            raise KeyMissing

    def _execute_once(
        self, key: str, handler: Callable[..., Any], request: Request, *args: Any, **kwargs: Any
    ) -> HttpResponseBase:
        # Key, change and response are one transaction, so a conflict undoes and repeats all three.
        return repeat_conflicts(
            partial(self._execute_or_replay, key, handler, request, *args, **kwargs)
        )

    def _execute_or_replay(
        self, key: str, handler: Callable[..., Any], request: Request, *args: Any, **kwargs: Any
    ) -> HttpResponseBase:
        slot, fingerprint = _slot(request, key), _fingerprint(request.data)
        with transaction.atomic():
            # A racing request is refused; on SQLite, with its one writer, it waits and replays.
            if not locks.try_acquire(f"idempotency/{slot}"):
                raise KeyInUse(seconds=1)
            now = clock.now()
            if stored := find(slot, now):
                return stored.replay(fingerprint)
            response: HttpResponseBase = self._respond(handler, request, *args, **kwargs)
            if _is_final(response):
                store(slot, fingerprint, response, now)
            else:
                transaction.set_rollback(True)
        return response

    def _respond(
        self, handler: Callable[..., Any], request: Request, *args: Any, **kwargs: Any
    ) -> Any:
        """Return the rendered response. A refusal rolls back all but the response itself."""
        try:
            with transaction.atomic():
                response = handler(request, *args, **kwargs)
        except Exception as error:
            response = self.handle_exception(error)  # raises any error that is not a refusal
        return self.finalize_response(request, response, *args, **kwargs).render()


def stores_responses(view: type) -> bool:
    """Return whether a view takes idempotency keys."""
    return getattr(view, "stores_responses", True)


def with_idempotency(routes: Iterable[Route]) -> list[Route]:
    """Return the routes with idempotent views."""
    return [_wrapped(route) for route in routes]


def _wrapped(route: Route) -> Route:
    if isinstance(route, URLResolver):
        inner, names = with_idempotency(route.url_patterns), (route.app_name, route.namespace)
        return URLResolver(route.pattern, inner, route.default_kwargs, *names)
    view: Any = route.callback
    if not hasattr(view, "cls"):
        return route
    kind = type(view.cls.__name__, (IdempotencyMixin, view.cls), {"__doc__": view.cls.__doc__})
    callback = kind.as_view(**view.initkwargs)  # type: ignore[attr-defined]
    return URLPattern(route.pattern, callback, route.default_args, route.name)


def _key(request: Request) -> str:
    header = request.headers.get(HEADER)
    if header is None:
        return ""
    match = KEY.fullmatch(header.strip())
    if not match:
        raise KeyMalformed
    return match[2]


def _slot(request: Request, key: str) -> str:
    """Return the row's key: a key belongs to one caller and one operation."""
    parts = [str(request.user.pk), request.method, request.path, key]
    return sha256(json.dumps(parts).encode()).hexdigest()


def _fingerprint(payload: Any) -> str:
    """Return a keyed hash of the payload: a password in it must not be guessed from the table."""
    if isinstance(payload, QueryDict):
        payload = dict(payload.lists())
    text = json.dumps(payload, sort_keys=True, default=str)
    return salted_hmac(__name__, text, algorithm="sha256").hexdigest()


def _is_final(response: Any) -> bool:
    """Return whether a repeated request would get the same: no Retry-After, no server error."""
    return response.status_code < 400 or (
        response.status_code < 500 and "Retry-After" not in response
    )
