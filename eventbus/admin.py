"""The bus to look at: the log and its tables, read-only for everybody.

They change by what happens, and dead letters by commands, never by a form.
"""

import datetime as dt
from typing import Any
from urllib.parse import urlencode
from uuid import UUID

from django.contrib import admin
from django.db.models import OuterRef, Q, QuerySet, Subquery
from django.http import HttpRequest, HttpResponse
from django.utils.html import format_html
from unfold.views import ChangeList

from eventbus import registry
from eventbus.desk import HANDLE, SEE, Desk, Sealed
from eventbus.looks import Looked, event_link, link, pretty, short
from eventbus.models import (
    Action,
    Archive,
    Correction,
    DeadLetter,
    Discarded,
    Event,
    Flight,
    Outbox,
    Retry,
    Scheduled,
    Subscription,
    Tick,
    Trouble,
)
from eventbus.story import MOST, hearings, last_line, lineage, story, tree


class NameFilter(admin.SimpleListFilter):
    """By event. The registry knows the names; asking a long log for them takes long."""

    title = "event"
    parameter_name = "name"

    def lookups(self, request: HttpRequest, model_admin: Any) -> list[tuple[str, str]]:
        return [(name, name) for name in sorted(registry.events)]

    def queryset(self, request: HttpRequest, queryset: QuerySet[Event]) -> QuerySet[Event]:
        return queryset.filter(name=self.value()) if self.value() else queryset


class AggregateFilter(admin.SimpleListFilter):
    """All that befell one thing: its events, what led to them, and what they led to."""

    title = parameter_name = "aggregate"

    def lookups(self, request: HttpRequest, model_admin: Any) -> list[tuple[str, str]]:
        asked = self.value()
        return [(asked, asked)] if asked else []

    def queryset(self, request: HttpRequest, queryset: QuerySet[Event]) -> QuerySet[Event]:
        asked = self.value()
        return self.told(queryset, asked) if asked else queryset

    def told(self, events: QuerySet[Event], aggregate: str) -> QuerySet[Event]:
        return events.filter(pk__in=[event.pk for _, event in story(aggregate=aggregate)])


class CorrelationFilter(AggregateFilter):
    """All that one request caused."""

    title = parameter_name = "correlation"

    def told(self, events: QuerySet[Event], correlation: str) -> QuerySet[Event]:
        asked = _uuid(correlation)
        return events.filter(correlation=asked) if asked else events.none()


class Telling(ChangeList):
    """A page of the log; a story is told in the order of its causes."""

    result_list: Any

    def get_results(self, request: HttpRequest) -> None:
        if _is_story(request):
            self.list_per_page = MOST
        super().get_results(request)
        if _is_story(request):
            self.result_list = [_indented(*told) for told in tree(self.result_list)]


@admin.register(Event)
class EventAdmin(Sealed):
    sealed = ("payload_told",)
    list_display = ["told", "about", "recorded", "who", "because"]
    list_filter = [NameFilter, "recorded_at", AggregateFilter, CorrelationFilter]
    search_fields = ["id", "name", "aggregate", "correlation"]
    search_help_text = "an event's name or id, an aggregate as order:0190…, a sku, a request's id"
    fields = ["name", "payload_told", "aggregate", "cause", ("recorded", "position")]
    fields += [("actor", "because"), ("id", "aggregate_version"), "traceparent"]
    change_form_outer_after_template = "eventbus/event.html"
    sortable_by = ()

    def get_changelist(self, request: HttpRequest, **kwargs: Any) -> type[ChangeList]:
        return Telling

    def get_ordering(self, request: HttpRequest) -> list[str]:
        return ["position"] if _is_story(request) else ["-position"]

    def get_search_results(
        self, request: HttpRequest, queryset: QuerySet[Event], search_term: str
    ) -> tuple[QuerySet[Event], bool]:
        """Search by what has an index: the log may be long."""
        term = search_term.strip()
        if not term:
            return queryset, False
        kinds = {
            event.about.removesuffix("_id") for event in registry.events.values() if event.about
        }
        names = [name for name in registry.events if term.lower() in name.lower()]
        found = Q(name__in=names) | Q(aggregate__in=[term, *(f"{kind}:{term}" for kind in kinds)])
        if wanted := _uuid(term):
            found |= Q(pk=wanted) | Q(correlation=wanted)
        return queryset.filter(found), False

    def change_view(
        self,
        request: HttpRequest,
        object_id: str,
        form_url: str = "",
        extra_context: dict[str, Any] | None = None,
    ) -> HttpResponse:
        """Show the event with who heard it, and with the story it is part of."""
        event = self.get_object(request, object_id)
        more = _about(event) if event and self.has_view_permission(request, event) else {}
        more |= extra_context or {}
        answer: HttpResponse = super().change_view(request, object_id, form_url, more)
        return answer

    @admin.display(description="event")
    def told(self, event: Event) -> str:
        depth = vars(event).get("depth", 0)
        mark = "└ " if depth else ""
        style = f"padding-left: {max(depth - 1, 0) * 1.25}rem; white-space: nowrap"
        return format_html('<span style="{}">{}{}</span>', style, mark, event.name)

    @admin.display(description="about")
    def about(self, event: Event) -> str:
        query = urlencode({"aggregate": event.aggregate})
        return link("eventbus_event_changelist", short(event.aggregate), query=query)

    @admin.display(description="recorded at, UTC")
    def recorded(self, event: Event) -> str:
        return event.recorded_at.astimezone(dt.UTC).isoformat(" ", "milliseconds")[:23]

    @admin.display(description="actor")
    def who(self, event: Event) -> str:
        return short(event.actor)

    @admin.display(description="request")
    def because(self, event: Event | Scheduled) -> str:
        query = f"correlation={event.correlation}"
        return link("eventbus_event_changelist", short(str(event.correlation)), query=query)

    @admin.display(description="caused by")
    def cause(self, event: Event) -> str:
        return event_link(event.causation) if event.causation else "the request itself"

    @admin.display(description="payload")
    def payload_told(self, event: Event) -> str:
        return pretty(event.payload)


class OfAnEvent(Looked):
    """Rows that belong to an event by its id."""

    def get_queryset(self, request: HttpRequest) -> QuerySet[Any]:
        names = Event.objects.filter(pk=OuterRef("event_id")).values("name")
        rows: QuerySet[Any] = super().get_queryset(request).annotate(event_name=Subquery(names))
        return rows

    @admin.display(description="event")
    def event(self, row: Any) -> str:
        return event_link(row.event_id, row.event_name or str(row.event_id))


@admin.register(Outbox)
class OutboxAdmin(OfAnEvent):
    list_display = ["id", "event"]
    fields = ["event"]


@admin.register(Flight)
class FlightAdmin(Looked):
    list_display = ["id", "consumer", "events", "claimed_at", "confirmed_at", "deliveries"]
    search_fields = ["consumer"]

    @admin.display(description="events")
    def events(self, flight: Flight) -> int:
        return len(flight.event_ids)


@admin.register(Retry)
class RetryAdmin(OfAnEvent):
    list_display = ["consumer", "event", "attempts", "next_at", "failed_at", "last"]
    list_filter = ["consumer"]
    fields = ["consumer", "event", "attempts", "next_at", "failed_at", "trouble"]

    @admin.display(description="error")
    def last(self, row: Retry | DeadLetter) -> str:
        return last_line(row.error)

    @admin.display(description="error")
    def trouble(self, row: Retry | DeadLetter) -> str:
        return pretty(row.error)


@admin.register(DeadLetter)
class DeadLetterAdmin(RetryAdmin, Desk):
    sealed = ("wire",)
    list_display = ["consumer", "event", "attempts", "died_at", "signature", "last"]
    list_filter = ["consumer", "name", "died_at"]
    search_fields = ["signature", "error"]
    fields = ["consumer", "event", "attempts", "died_at", "signature", "trouble", "wire", "notes"]

    def get_fields(self, request: HttpRequest, obj: Any = None) -> Any:
        shown = super().get_fields(request, obj)
        return [*shown, "mending"] if request.user.has_perms([HANDLE, SEE]) else shown

    @admin.display(description="envelope")
    def wire(self, row: DeadLetter) -> str:
        return pretty(row.envelope)


@admin.register(Scheduled)
class ScheduledAdmin(Sealed):
    sealed = ("payload_told",)
    list_display = ["name", "about", "due_at", "because", "cause"]
    list_filter = ["name", "due_at"]
    search_fields = ["aggregate"]
    ordering = ["due_at"]
    fields = ["name", "payload_told", "aggregate", "due_at", "actor", "because", "cause"]
    about, because = EventAdmin.about, EventAdmin.because
    cause, payload_told = EventAdmin.cause, EventAdmin.payload_told


@admin.register(Subscription)
class SubscriptionAdmin(Looked):
    list_display = ["consumer", "event", "since", "until", "generation"]
    search_fields = ["consumer", "event"]
    ordering = ["consumer", "event"]


@admin.register(Trouble)
class TroubleAdmin(Looked):
    list_display = ["consumer", "failures", "probe_at"]


@admin.register(Tick)
class TickAdmin(Looked):
    list_display = ["queue", "sent_at", "heard_at"]


@admin.register(Action)
class ActionAdmin(Looked):
    list_display = ["verb", "actor", "started_at", "ended_at", "why"]
    list_filter = ["verb", "started_at"]
    search_fields = ["actor", "why"]
    ordering = ["-pk"]
    fields = ["verb", "actor", "why", "filter", "found", "came_of_it", "started_at", "ended_at"]

    @admin.display(description="filter")
    def filter(self, action: Action) -> str:
        return pretty(action.chosen)

    @admin.display(description="preview")
    def found(self, action: Action) -> str:
        return pretty(action.preview)

    @admin.display(description="result")
    def came_of_it(self, action: Action) -> str:
        return pretty(action.result)


@admin.register(Discarded)
class DiscardedAdmin(OfAnEvent, Sealed):
    list_display = ["consumer", "event", "action"]
    list_filter = ["consumer"]
    ordering = ["-pk"]
    fields = ["consumer", "event", "action", "kept"]
    sealed = ("kept",)

    @admin.display(description="letter")
    def kept(self, row: Discarded) -> str:
        return pretty(row.letter)


@admin.register(Correction)
class CorrectionAdmin(OfAnEvent, Sealed):
    list_display = ["consumer", "event", "actor", "at"]
    list_filter = ["consumer"]
    ordering = ["-pk"]
    fields = ["consumer", "event", "actor", "at", "told_instead", "logged"]
    sealed = ("told_instead", "logged")

    @admin.display(description="told instead")
    def told_instead(self, row: Correction) -> str:
        return pretty(row.payload)

    @admin.display(description="in the log")
    def logged(self, row: Correction) -> str:
        return pretty(row.original)


admin.site.register(Archive, Looked)


def _about(event: Event) -> dict[str, Any]:
    told = story(correlation=event.correlation)
    if event.pk not in {other.pk for _, other in told}:  # it comes late in a long story
        told = lineage([event])
    return {"subject": event, "told": told, "heard": hearings(event)}


def _indented(depth: int, event: Event) -> Event:
    vars(event)["depth"] = depth
    return event


def _is_story(request: HttpRequest) -> bool:
    return any(request.GET.get(name) for name in ("aggregate", "correlation"))


def _uuid(text: str) -> UUID | None:
    try:
        return UUID(text)
    except ValueError:
        return None
