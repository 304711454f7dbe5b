"""The log, told as stories, and what will enter it when it is due."""

import datetime as dt
from typing import Any
from urllib.parse import urlencode
from uuid import UUID

from django.contrib import admin
from django.db.models import Q, QuerySet
from django.http import HttpRequest
from django.utils.html import format_html
from unfold.views import ChangeList

from eventbus import registry
from eventbus.admin.links import event_link
from eventbus.admin.payload_access import PayloadGuardMixin
from eventbus.models import Archive, Event, Scheduled
from eventbus.operations.causation import MOST, deliveries, lineage, story, tree
from eventbus.operations.permissions import SEE
from infra.admin import ReadOnlyAdmin, link, pretty, short


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
class EventAdmin(PayloadGuardMixin):
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

    def beside(self, request: HttpRequest, row: Any) -> dict[str, Any]:
        """Show the event with who heard it, and with the story it is part of."""
        return _about(row) | {"open": request.user.has_perm(SEE)}

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


@admin.register(Scheduled)
class ScheduledAdmin(PayloadGuardMixin):
    sealed = ("payload_told",)
    list_display = ["name", "about", "due_at", "because", "cause"]
    list_filter = ["name", "due_at"]
    search_fields = ["aggregate"]
    ordering = ["due_at"]
    fields = ["name", "payload_told", "aggregate", "due_at", "actor", "because", "cause"]
    about, because = EventAdmin.about, EventAdmin.because
    cause, payload_told = EventAdmin.cause, EventAdmin.payload_told


admin.site.register(Archive, ReadOnlyAdmin)


def _about(event: Event) -> dict[str, Any]:
    told = story(correlation=event.correlation)
    if event.pk not in {other.pk for _, other in told}:  # it comes late in a long story
        told = lineage([event])
    return {"subject": event, "told": told, "heard": deliveries(event)}


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
