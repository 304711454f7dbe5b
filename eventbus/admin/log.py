"""Admin pages of the event log, scheduled events and archives."""

import datetime as dt
from typing import Any
from urllib.parse import urlencode
from uuid import UUID

from django.contrib import admin
from django.db.models import Q, QuerySet
from django.http import HttpRequest
from django.utils.html import format_html
from unfold.views import ChangeList

from eventbus.admin.links import event_link
from eventbus.admin.payload_access import PayloadGuardMixin
from eventbus.events import event_types
from eventbus.models import Archive, Event, Scheduled
from eventbus.operations.causation import (
    MAX_EVENTS,
    as_tree,
    causation_tree,
    causes_and_effects,
    deliveries,
)
from eventbus.operations.permissions import VIEW_PAYLOAD
from infra.admin import ReadOnlyAdmin, link, pretty, short


class NameFilter(admin.SimpleListFilter):
    """Filters by event name; the choices are those of the registry, as a long log is slow."""

    title = "event"
    parameter_name = "name"

    def lookups(self, request: HttpRequest, model_admin: Any) -> list[tuple[str, str]]:
        return [(name, name) for name in sorted(event_types)]

    def queryset(self, request: HttpRequest, queryset: QuerySet[Event]) -> QuerySet[Event]:
        return queryset.filter(name=self.value()) if self.value() else queryset


class AggregateFilter(admin.SimpleListFilter):
    """Filters by aggregate: its events, with their causes and effects."""

    title = parameter_name = "aggregate"

    def lookups(self, request: HttpRequest, model_admin: Any) -> list[tuple[str, str]]:
        value = self.value()
        return [(value, value)] if value else []

    def queryset(self, request: HttpRequest, queryset: QuerySet[Event]) -> QuerySet[Event]:
        value = self.value()
        return self.filter(queryset, value) if value else queryset

    def filter(self, events: QuerySet[Event], value: str) -> QuerySet[Event]:
        return events.filter(pk__in=[event.pk for _, event in causation_tree(aggregate=value)])


class CorrelationFilter(AggregateFilter):
    """Filters by correlation id: all events that one request caused."""

    title = parameter_name = "correlation"

    def filter(self, events: QuerySet[Event], value: str) -> QuerySet[Event]:
        correlation = _uuid(value)
        return events.filter(correlation=correlation) if correlation else events.none()


class CausationChangeList(ChangeList):
    """A list of the log; filtered by aggregate or correlation it becomes a causation tree."""

    result_list: Any

    def get_results(self, request: HttpRequest) -> None:
        if _is_tree(request):
            self.list_per_page = MAX_EVENTS
        super().get_results(request)
        if _is_tree(request):
            self.result_list = [_with_depth(*row) for row in as_tree(self.result_list)]


@admin.register(Event)
class EventAdmin(PayloadGuardMixin):
    guarded = ("payload_json",)
    list_display = ["event_name", "aggregate_link", "recorded", "actor_short", "request_link"]
    list_filter = [NameFilter, "recorded_at", AggregateFilter, CorrelationFilter]
    search_fields = ["id", "name", "aggregate", "correlation"]
    search_help_text = (
        "an event name, an id, an aggregate like order:0190…, a sku, a correlation id"
    )
    fields = ["name", "payload_json", "aggregate", "cause", ("recorded", "position")]
    fields += [("actor", "request_link"), ("id", "aggregate_version"), "traceparent"]
    change_form_outer_after_template = "eventbus/event.html"
    sortable_by = ()

    def get_changelist(self, request: HttpRequest, **kwargs: Any) -> type[ChangeList]:
        return CausationChangeList

    def get_ordering(self, request: HttpRequest) -> list[str]:
        return ["position"] if _is_tree(request) else ["-position"]

    def get_search_results(
        self, request: HttpRequest, queryset: QuerySet[Event], search_term: str
    ) -> tuple[QuerySet[Event], bool]:
        """Search only indexed columns: the log may be long."""
        term = search_term.strip()
        if not term:
            return queryset, False
        kinds = {event.about.removesuffix("_id") for event in event_types.values() if event.about}
        names = [name for name in event_types if term.lower() in name.lower()]
        found = Q(name__in=names) | Q(aggregate__in=[term, *(f"{kind}:{term}" for kind in kinds)])
        if id := _uuid(term):
            found |= Q(pk=id) | Q(correlation=id)
        return queryset.filter(found), False

    def page_context(self, request: HttpRequest, row: Any) -> dict[str, Any]:
        tree = causation_tree(correlation=row.correlation)
        if row.pk not in {event.pk for _, event in tree}:  # beyond the first MAX_EVENTS
            tree = causes_and_effects([row])
        return {
            "subject": row,
            "tree": tree,
            "deliveries": deliveries(row),
            "may_view_payload": request.user.has_perm(VIEW_PAYLOAD),
        }

    @admin.display(description="event")
    def event_name(self, event: Event) -> str:
        depth = vars(event).get("depth", 0)
        mark = "└ " if depth else ""
        style = f"padding-left: {max(depth - 1, 0) * 1.25}rem; white-space: nowrap"
        return format_html('<span style="{}">{}{}</span>', style, mark, event.name)

    @admin.display(description="aggregate")
    def aggregate_link(self, event: Event) -> str:
        query = urlencode({"aggregate": event.aggregate})
        return link("eventbus_event_changelist", short(event.aggregate), query=query)

    @admin.display(description="recorded at, UTC")
    def recorded(self, event: Event) -> str:
        return event.recorded_at.astimezone(dt.UTC).isoformat(" ", "milliseconds")[:23]

    @admin.display(description="actor")
    def actor_short(self, event: Event) -> str:
        return short(event.actor)

    @admin.display(description="correlation")
    def request_link(self, event: Event | Scheduled) -> str:
        query = f"correlation={event.correlation}"
        return link("eventbus_event_changelist", short(str(event.correlation)), query=query)

    @admin.display(description="caused by")
    def cause(self, event: Event) -> str:
        return event_link(event.causation) if event.causation else "a request, not an event"

    @admin.display(description="payload")
    def payload_json(self, event: Event) -> str:
        return pretty(event.payload)


@admin.register(Scheduled)
class ScheduledAdmin(PayloadGuardMixin):
    guarded = ("payload_json",)
    list_display = ["name", "aggregate_link", "due_at", "request_link", "cause"]
    list_filter = ["name", "due_at"]
    search_fields = ["aggregate"]
    ordering = ["due_at"]
    fields = ["name", "payload_json", "aggregate", "due_at", "actor", "request_link", "cause"]
    aggregate_link, request_link = EventAdmin.aggregate_link, EventAdmin.request_link
    cause, payload_json = EventAdmin.cause, EventAdmin.payload_json


@admin.register(Archive)
class ArchiveAdmin(ReadOnlyAdmin):
    list_display = ["file", "events", "since", "until", "archived_at"]
    ordering = ["-last_position"]


def _with_depth(depth: int, event: Event) -> Event:
    vars(event)["depth"] = depth
    return event


def _is_tree(request: HttpRequest) -> bool:
    return any(request.GET.get(name) for name in ("aggregate", "correlation"))


def _uuid(text: str) -> UUID | None:
    try:
        return UUID(text)
    except ValueError:
        return None
