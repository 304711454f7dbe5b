"""Pages about each kind of refusal, to which the `type` of a problem leads."""

import inspect
from collections.abc import Iterator
from importlib import import_module
from typing import Any

from django.conf import settings
from django.http import Http404, HttpRequest, HttpResponse
from django.shortcuts import render
from django.utils.module_loading import module_has_submodule
from django.views.decorators.http import require_safe

from eventbus import Refusal

INVALID = "InvalidRequest"
# Refusals of the edge, by status.
KINDS = {
    400: (
        "BadRequest",
        "Malformed JSON, JSON beyond a limit, or a malformed address.",
    ),
    401: ("NotLoggedIn", "The request needs `Authorization: Bearer` with a valid access token."),
    403: ("NotAllowed", "The user of the token has no right to do this."),
    404: ("NotFound", "There is nothing at this address, or it belongs to another customer."),
    405: (
        "MethodNotAllowed",
        "The method does not exist here; the header `Allow` lists the others.",
    ),
    406: ("NotAcceptable", "The response does not exist in a media type of `Accept`."),
    413: ("TooLarge", "The request is larger than the shop accepts."),
    415: (
        "UnsupportedMediaType",
        "The body has to be JSON with `Content-Type: application/json`.",
    ),
    429: (
        "TooManyRequests",
        "Too many requests; the next may pass after `Retry-After`.",
    ),
    500: ("OurFault", "An error in the shop. Search the log for the `request_id`."),
    503: ("Away", "A system that this needs is unavailable; try again after `Retry-After`."),
}


def kind_of(status: int) -> str:
    """Return the kind of problem for a status."""
    name, _ = KINDS.get(status) or KINDS[400 if status < 500 else 500]
    return name


@require_safe
def page(request: HttpRequest, kind: str = "") -> HttpResponse:
    """Show one refusal, or all."""
    kinds = _general() | {refusal.__name__: _described(refusal) for refusal in refusals()}
    if kind and kind not in kinds:
        raise Http404
    shown = [kinds[kind]] if kind else [kinds[name] for name in sorted(kinds)]
    return render(request, "problems.html", {"refusals": shown, "kind": kind})


def refusals() -> Iterator[type[Refusal]]:
    """Return every refusal of every context."""
    for context in settings.CONTEXTS:
        if module_has_submodule(import_module(context), "errors"):
            import_module(f"{context}.errors")
    yield from _descendants(Refusal)


def _descendants(kind: type[Refusal]) -> Iterator[type[Refusal]]:
    for child in kind.__subclasses__():
        yield child
        yield from _descendants(child)


def _general() -> dict[str, dict[str, Any]]:
    kinds = {name: (status, words) for status, (name, words) in KINDS.items()}
    kinds[INVALID] = (400, "Some fields are not valid: `errors` lists them with the reasons.")
    return {
        name: {"name": name, "context": "the edge", "status": status, "message": words}
        for name, (status, words) in kinds.items()
    }


def _described(refusal: type[Refusal]) -> dict[str, Any]:
    return {
        "name": refusal.__name__,
        "context": refusal.__module__.partition(".")[0],
        "status": refusal.status,
        "field": refusal.field,
        "message": inspect.cleandoc(refusal.__doc__ or ""),
    }
