"""What the `type` of a problem leads to: a page about each thing the shop may refuse."""

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
# What is refused before a context is asked, by status.
KINDS = {
    400: ("BadRequest", "The request cannot be read: malformed or endless JSON, or a bad address."),
    401: ("NotLoggedIn", "Say who you are: `Authorization: Bearer` with a token that is valid."),
    403: ("NotAllowed", "You are known, and may not do this."),
    404: ("NotFound", "There is nothing here; or it is not yours, which is told the same way."),
    405: ("MethodNotAllowed", "This cannot be done here; the header `Allow` says what can."),
    406: ("NotAcceptable", "The answer cannot be had in the form that `Accept` asks for."),
    413: ("TooLarge", "The request is larger than anything that is asked for here."),
    415: ("UnsupportedMediaType", "Requests are read as JSON, and this one says it is not."),
    429: ("TooManyRequests", "This was asked too often; `Retry-After` says when to come again."),
    500: ("OurFault", "Something went wrong here. The `request_id` finds it in the log."),
    503: ("Away", "What is needed for this is away; `Retry-After` says when to come again."),
}


def kind_of(status: int) -> str:
    """Name the kind of problem that a status alone tells."""
    name, _ = KINDS.get(status) or KINDS[400 if status < 500 else 500]
    return name


@require_safe
def page(request: HttpRequest, kind: str = "") -> HttpResponse:
    """Show one refusal, or all."""
    told = _general() | {refusal.__name__: _told(refusal) for refusal in refusals()}
    if kind and kind not in told:
        raise Http404
    shown = [told[kind]] if kind else [told[name] for name in sorted(told)]
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
    kinds[INVALID] = (400, "Some fields are not as they should be: `errors` says which, and why.")
    return {
        name: {"name": name, "context": "the front door", "status": status, "message": words}
        for name, (status, words) in kinds.items()
    }


def _told(refusal: type[Refusal]) -> dict[str, Any]:
    return {
        "name": refusal.__name__,
        "context": refusal.__module__.partition(".")[0],
        "status": refusal.status,
        "field": refusal.field,
        "message": inspect.cleandoc(refusal.__doc__ or ""),
    }
