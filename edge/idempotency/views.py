"""How a view comes to answer once: the key, the change and its news commit together.

A view may say `moves_money = True` (a key is required), or `keeps_answers = False` (its answers
are secrets, so keys mean nothing to it).
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
from edge.idempotency.models import keep, kept
from infra import clock, locks

HEADER = "Idempotency-Key"
METHODS = ("POST", "PATCH")
# A structured field's string (RFC 9651); many clients leave the quotes out.
KEY = re.compile(r'("?)([\x20\x21\x23-\x5b\x5d-\x7e]{1,255})\1')
Route = URLPattern | URLResolver


class Once(APIView):
    """What is mixed into every view of a context."""

    def initial(self, request: Request, *args: Any, **kwargs: Any) -> None:
        """Let in first: who is refused at the door has used up no key."""
        super().initial(request, *args, **kwargs)
        handler = getattr(self, str(request.method).lower(), None)
        if request.method not in METHODS or not handler or not keeps_answers(type(self)):
            return
        if key := _key(request):
            setattr(self, request.method.lower(), partial(self._once, key, handler))
        elif getattr(self, "moves_money", False):
            raise KeyMissing

    def _once(
        self, key: str, handler: Callable[..., Any], request: Request, *args: Any, **kwargs: Any
    ) -> HttpResponseBase:
        slot, fingerprint = _slot(request, key), _fingerprint(request.data)
        with transaction.atomic():
            # A rival is told so at once; on SQLite, which has one writer, it waits and replays.
            if not locks.try_hold(f"answer/{slot}"):
                raise KeyInUse(seconds=1)
            now = clock.now()
            if answer := kept(slot, now):
                return answer.again(fingerprint)
            response: HttpResponseBase = self._answered(handler, request, *args, **kwargs)
            if _is_final(response):
                keep(slot, fingerprint, response, now)
            else:
                transaction.set_rollback(True)
        return response

    def _answered(
        self, handler: Callable[..., Any], request: Request, *args: Any, **kwargs: Any
    ) -> Any:
        """Return the whole answer. What is refused leaves nothing behind but its answer."""
        try:
            with transaction.atomic():
                response = handler(request, *args, **kwargs)
        except Exception as refusal:
            response = self.handle_exception(refusal)  # raises what is no refusal but a bug
        return self.finalize_response(request, response, *args, **kwargs).render()


def keeps_answers(view: type) -> bool:
    """Whether keys mean something to a view."""
    return getattr(view, "keeps_answers", True)


def once(routes: Iterable[Route]) -> list[Route]:
    """Return the routes with views that answer once."""
    return [_wrapped(route) for route in routes]


def _wrapped(route: Route) -> Route:
    if isinstance(route, URLResolver):
        inner, names = once(route.url_patterns), (route.app_name, route.namespace)
        return URLResolver(route.pattern, inner, route.default_kwargs, *names)
    view: Any = route.callback
    if not hasattr(view, "cls"):
        return route
    kind = type(view.cls.__name__, (Once, view.cls), {"__doc__": view.cls.__doc__})
    callback = kind.as_view(**view.initkwargs)  # type: ignore[attr-defined]
    return URLPattern(route.pattern, callback, route.default_args, route.name)


def _key(request: Request) -> str:
    said = request.headers.get(HEADER)
    if said is None:
        return ""
    found = KEY.fullmatch(said.strip())
    if not found:
        raise KeyMalformed
    return found[2]


def _slot(request: Request, key: str) -> str:
    """Name the request: the same key of another caller, or for another operation, is another."""
    parts = [str(request.user.pk), request.method, request.path, key]
    return sha256(json.dumps(parts).encode()).hexdigest()


def _fingerprint(payload: Any) -> str:
    """Tell payloads apart. Keyed, as a password may be in it that is easier to guess than a key."""
    if isinstance(payload, QueryDict):
        payload = dict(payload.lists())
    text = json.dumps(payload, sort_keys=True, default=str)
    return salted_hmac(__name__, text, algorithm="sha256").hexdigest()


def _is_final(response: Any) -> bool:
    """Whether it would be the same if asked again: not "come again later", and no error of ours."""
    return response.status_code < 400 or (
        response.status_code < 500 and "Retry-After" not in response
    )
