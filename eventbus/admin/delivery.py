"""Admin pages of deliveries: outbox, dispatches, retries, subscriptions, health, markers."""

from typing import Any

from django.contrib import admin, messages
from django.db.models import OuterRef, QuerySet, Subquery
from django.http import HttpRequest
from django.template.response import TemplateResponse

from eventbus.admin.links import event_link
from eventbus.admin.payload_access import PayloadGuardMixin, actor
from eventbus.consuming import streams
from eventbus.errors import NotParked
from eventbus.models import (
    ConsumerHealth,
    DeadLetter,
    Dispatch,
    Duplicates,
    Event,
    Outbox,
    Parked,
    Pause,
    QueueMarker,
    Retry,
    Subscription,
)
from eventbus.operations import parked, pauses, undelivered
from eventbus.operations.permissions import DISCARD, REPLAY
from eventbus.publishing import wakeup
from infra.admin import ReadOnlyAdmin, pretty


class SendAgainMixin(ReadOnlyAdmin):
    """Gives the permission for actions that send deliveries again."""

    def has_replay_permission(self, request: HttpRequest) -> bool:
        return request.user.has_perm(REPLAY)

    def send(self, request: HttpRequest, table: str, rows: QuerySet[Any]) -> None:
        """Send the rows again, and show how many."""
        ids = {"dispatches": [], "retries": []} | {table: list(rows.values_list("pk", flat=True))}
        sent = undelivered.send_rows(**ids, actor=actor(request), selection={table: ids[table]})
        result = ", ".join(f"{count} {label}" for label, count in sent.items())
        self.message_user(request, f"{result}; an event that was handled has no second effect.")


class EventRowAdmin(ReadOnlyAdmin):
    """Base for rows with an `event_id`; adds a column that links to the event."""

    def get_queryset(self, request: HttpRequest) -> QuerySet[Any]:
        names = Event.objects.filter(pk=OuterRef("event_id")).values("name")
        rows: QuerySet[Any] = super().get_queryset(request).annotate(event_name=Subquery(names))
        return rows

    @admin.display(description="event")
    def event(self, row: Any) -> str:
        return event_link(row.event_id, row.event_name or str(row.event_id))


@admin.register(Outbox)
class OutboxAdmin(EventRowAdmin, SendAgainMixin):
    list_display = ["id", "event"]
    fields = ["event"]
    actions = ["wake"]

    @admin.action(description="Wake the relays", permissions=["replay"])
    def wake(self, request: HttpRequest, rows: QuerySet[Outbox]) -> None:
        wakeup.wake_relays()
        self.message_user(request, "A relay that runs takes these events now.")


@admin.register(Dispatch)
class DispatchAdmin(SendAgainMixin):
    actions = ["send_again"]
    list_display = ["id", "consumer", "events", "claimed_at", "confirmed_at"]
    list_display += ["deliveries", "replayed"]
    search_fields = ["consumer"]

    @admin.action(description="Send again", permissions=["replay"])
    def send_again(self, request: HttpRequest, rows: QuerySet[Dispatch]) -> None:
        self.send(request, "dispatches", rows)

    @admin.display(description="events")
    def events(self, dispatch: Dispatch) -> int:
        return len(dispatch.event_ids)


class FailureAdmin(EventRowAdmin, PayloadGuardMixin):
    """Base of retries and dead letters."""

    guarded: tuple[str, ...] = ("error_text",)
    list_display = ["consumer", "event", "attempts", "next_at", "failed_at", "signature"]
    list_filter = ["consumer"]
    fields = ["consumer", "event", "attempts", "next_at", "failed_at", "replayed"]
    fields += ["signature", "error_text"]

    @admin.display(description="error")
    def error_text(self, row: Retry | DeadLetter) -> str:
        return pretty(row.error)


@admin.register(Retry)
class RetryAdmin(FailureAdmin, SendAgainMixin):
    actions = ["try_now"]

    @admin.action(description="Try now", permissions=["replay"])
    def try_now(self, request: HttpRequest, rows: QuerySet[Retry]) -> None:
        self.send(request, "retries", rows)


@admin.register(Parked)
class ParkedAdmin(EventRowAdmin):
    list_display = ["consumer", "aggregate", "event", "parked_at", "dispatched_at", "skipped"]
    list_filter = ["consumer"]
    search_fields = ["aggregate"]
    fields = [
        "consumer",
        "aggregate",
        "event",
        "waits_for",
        "parked_at",
        "dispatched_at",
        "skipped",
    ]
    fields += ["replayed"]

    actions = ["skip"]

    def has_discard_permission(self, request: HttpRequest) -> bool:
        return request.user.has_perm(DISCARD)

    @admin.action(description="Go on without the missing event …", permissions=["discard"])
    def skip(self, request: HttpRequest, rows: QuerySet[Parked]) -> TemplateResponse | None:
        reason = request.POST.get("reason", "").strip()
        waiting = rows.filter(dispatched_at=None).order_by("consumer", "aggregate")
        chosen = list(waiting.values_list("consumer", "aggregate").distinct())
        if chosen and not ("confirmed" in request.POST and reason):
            page = {
                **self.admin_site.each_context(request),
                "title": "Let streams go on without the event that they wait for",
                "streams": [parked.of_stream(*stream) for stream in chosen],
                "ids": [row.pk for row in rows],
                "text_missing": "confirmed" in request.POST,
            }
            return TemplateResponse(request, "eventbus/skip.html", page)
        for consumer, aggregate in chosen:
            try:
                after = parked.skip(consumer, aggregate, actor(request), reason)
            except NotParked as error:  # it has gone on meanwhile
                self.message_user(request, str(error), messages.WARNING)
                continue
            rest = f"; {after.events} events now wait for {after.waits_for}" if after.events else ""
            self.message_user(request, f"{aggregate} goes on for {consumer}{rest}.")
        return None

    @admin.display(description="waits for")
    def waits_for(self, row: Parked) -> str:
        missing = streams.missing(row.consumer, row.aggregate)
        return event_link(missing, str(missing)) if missing and not row.dispatched_at else "-"


@admin.register(Subscription)
class SubscriptionAdmin(ReadOnlyAdmin):
    list_display = ["consumer", "event", "since", "until", "generation"]
    search_fields = ["consumer", "event"]
    ordering = ["consumer", "event"]


@admin.register(ConsumerHealth)
class ConsumerHealthAdmin(ReadOnlyAdmin):
    list_display = ["consumer", "failures", "probe_at"]


@admin.register(Duplicates)
class DuplicatesAdmin(ReadOnlyAdmin):
    list_display = ["consumer", "absorbed", "superseded", "last_at"]
    ordering = ["-absorbed"]


@admin.register(Pause)
class PauseAdmin(ReadOnlyAdmin):
    list_display = ["name", "since", "actor", "reason", "waiting"]
    actions = ["resume"]

    @admin.display(description="waiting")
    def waiting(self, row: Pause) -> str:
        return str(pauses.backlog(row.name))

    def has_replay_permission(self, request: HttpRequest) -> bool:
        return request.user.has_perm(REPLAY)

    @admin.action(description="Resume", permissions=["replay"])
    def resume(self, request: HttpRequest, rows: QuerySet[Pause]) -> None:
        for row in rows:
            backlog = pauses.resume(row.name, f"operator:{request.user.pk}")
            self.message_user(request, f"{row.name} is delivered again: {backlog}.")


@admin.register(QueueMarker)
class QueueMarkerAdmin(ReadOnlyAdmin):
    list_display = ["queue", "sent_at", "received_up_to"]
