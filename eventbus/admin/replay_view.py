"""Admin page that replays events to one consumer: a form, a preview, then the replay."""

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
from eventbus.admin.payload_access import actor, redirect_to_actions
from eventbus.errors import EventBusError
from eventbus.operations import replay
from eventbus.operations.replay import ReplayRequest
from infra import background


class ReplayForm(forms.Form):
    """The consumer, the events and the rate of a replay."""

    consumer = forms.ChoiceField(widget=UnfoldAdminSelectWidget)
    name = forms.ChoiceField(label="Event", required=False, widget=UnfoldAdminSelectWidget)
    since = forms.DateTimeField(
        label="Recorded at or after (UTC)", required=False, widget=UnfoldAdminTextInputWidget
    )
    until = forms.DateTimeField(
        label="Recorded before (UTC)", required=False, widget=UnfoldAdminTextInputWidget
    )
    aggregate = forms.CharField(required=False, widget=UnfoldAdminTextInputWidget)
    rate = forms.FloatField(
        label="Events per second (0: no limit)",
        min_value=0,
        initial=0,
        widget=UnfoldAdminTextInputWidget,
    )
    again = forms.BooleanField(
        label="Include events that the consumer has handled",
        required=False,
        widget=UnfoldBooleanSwitchWidget,
    )

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        consumers = sorted(c.name for c in registry.consumers.values() if not c.external)
        events = sorted({name for c in registry.consumers.values() for name in c.events})
        fields: Any = self.fields
        fields["consumer"].choices = [(name, name) for name in consumers]
        fields["name"].choices = [
            ("", "all events that it subscribes to"),
            *((name, name) for name in events),
        ]

    def replay_request(self) -> ReplayRequest:
        """Return the cleaned data as a request."""
        names = ("consumer", "name", "since", "until", "aggregate")
        return ReplayRequest(**{name: self.cleaned_data[name] for name in names})


def page(request: HttpRequest, site_context: dict[str, Any]) -> HttpResponse:
    """Show the form, then a preview of the replay, then start it."""
    form, counts = ReplayForm(request.POST or None), None
    if request.method == "POST" and form.is_valid():
        wanted, again = form.replay_request(), form.cleaned_data["again"]
        try:
            counts = replay.preview(wanted, again)
            if "confirmed" in request.POST:
                return _start(request, wanted, again, form.cleaned_data["rate"])
        except EventBusError as error:
            form.add_error(None, str(error))
    context = {**site_context, "title": "Replay events", "form": form, "counts": counts}
    return TemplateResponse(request, "eventbus/replay.html", context)


def _start(request: HttpRequest, wanted: ReplayRequest, again: bool, rate: float) -> HttpResponse:
    sent = background.run_in_background(
        partial(replay.replay, wanted, actor(request), again=again, rate=rate)
    )
    if sent is None:
        return redirect_to_actions(request)
    messages.success(request, f"Queued {sent} events for {wanted.consumer}.")
    return redirect("admin:eventbus_action_changelist")
