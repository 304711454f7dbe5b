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


@require_safe
def page(request: HttpRequest, kind: str = "") -> HttpResponse:
    """Show one refusal, or all."""
    told = {refusal.__name__: _told(refusal) for refusal in refusals()}
    if kind and kind not in told:
        raise Http404
    shown = [told[kind]] if kind else [told[name] for name in sorted(told)]
    return render(request, "problems.html", {"refusals": shown, "kind": kind})


def refusals() -> Iterator[type[Refusal]]:
    """Return every refusal of every room."""
    for room in settings.ROOMS:
        if module_has_submodule(import_module(room), "errors"):
            import_module(f"{room}.errors")
    yield from _descendants(Refusal)


def _descendants(kind: type[Refusal]) -> Iterator[type[Refusal]]:
    for child in kind.__subclasses__():
        yield child
        yield from _descendants(child)


def _told(refusal: type[Refusal]) -> dict[str, Any]:
    return {
        "name": refusal.__name__,
        "room": refusal.__module__.partition(".")[0],
        "status": refusal.status,
        "field": refusal.field,
        "message": inspect.cleandoc(refusal.__doc__ or ""),
    }
