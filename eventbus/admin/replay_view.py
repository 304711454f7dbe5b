"""Telling one consumer again, from a page: asked for, counted, then done."""

from functools import partial
from typing import Any

from django import forms
from django.contrib import messages
from django.http import HttpRequest, HttpResponse
from django.shortcuts import redirect
from django.template.response import TemplateResponse
from unfold.widgets import (
    UnfoldAdminSelectWidget,
    UnfoldAdminTextInputWidget,
    UnfoldBooleanSwitchWidget,
)

from eventbus import registry
from eventbus.admin.payload_access import actor, under_way
from eventbus.errors import EventBusError
from eventbus.operations import replay
from eventbus.operations.replay import ReplayRequest
from infra import background


class Asked(forms.Form):
    """Who is told what, and how fast."""

    consumer = forms.ChoiceField(widget=UnfoldAdminSelectWidget)
    name = forms.ChoiceField(label="Event", required=False, widget=UnfoldAdminSelectWidget)
    since = forms.DateTimeField(
        label="Recorded since, UTC", required=False, widget=UnfoldAdminTextInputWidget
    )
    until = forms.DateTimeField(
        label="Recorded before, UTC", required=False, widget=UnfoldAdminTextInputWidget
    )
    aggregate = forms.CharField(required=False, widget=UnfoldAdminTextInputWidget)
    rate = forms.FloatField(
        label="Events per second, 0 for no limit",
        min_value=0,
        initial=0,
        widget=UnfoldAdminTextInputWidget,
    )
    again = forms.BooleanField(
        label="Also what it has handled", required=False, widget=UnfoldBooleanSwitchWidget
    )

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        fit = sorted(c.name for c in registry.consumers.values() if not c.external)
        heard = sorted({name for c in registry.consumers.values() for name in c.hears})
        fields: Any = self.fields
        fields["consumer"].choices = [(name, name) for name in fit]
        fields["name"].choices = [("", "all it hears"), *((name, name) for name in heard)]

    def selection(self) -> ReplayRequest:
        """Return what was asked for."""
        kinds = ("consumer", "name", "since", "until", "aggregate")
        return ReplayRequest(**{kind: self.cleaned_data[kind] for kind in kinds})


def page(request: HttpRequest, around: dict[str, Any]) -> HttpResponse:
    """Take what is asked for, show what that would meet, and do it where that was seen."""
    form, found = Asked(request.POST or None), None
    if request.method == "POST" and form.is_valid():
        selection, again = form.selection(), form.cleaned_data["again"]
        try:
            found = replay.preview(selection, again)
            if "sure" in request.POST:
                return _begin(request, selection, again, form.cleaned_data["rate"])
        except EventBusError as refusal:
            form.add_error(None, str(refusal))
    context = {**around, "title": "Replay events", "form": form, "found": found}
    return TemplateResponse(request, "eventbus/replay.html", context)


def _begin(
    request: HttpRequest, selection: ReplayRequest, again: bool, rate: float
) -> HttpResponse:
    sent = background.run_in_background(
        partial(replay.replay, selection, actor(request), again=again, rate=rate)
    )
    if sent is None:
        return under_way(request)
    messages.success(request, f"{sent} events are on their way to {selection.consumer}.")
    return redirect("admin:eventbus_action_changelist")
