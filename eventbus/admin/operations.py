"""Admin pages of dead letters, actions, outcomes, discarded dead letters and corrections."""

from typing import Any

from django.contrib import admin
from django.db.models import QuerySet
from django.http import HttpRequest, HttpResponse
from unfold.decorators import action

from eventbus.admin import replay_view
from eventbus.admin.dead_letter_actions import DeadLetterActionsMixin
from eventbus.admin.delivery import EventRowAdmin, FailureAdmin
from eventbus.admin.payload_access import PayloadGuardMixin
from eventbus.models import Action, Correction, DeadLetter, DiscardedDeadLetter, Outcome
from eventbus.operations.audit_log import status
from eventbus.operations.causation import delivery_status
from eventbus.operations.permissions import EDIT_PAYLOAD, REPLAY, VIEW_PAYLOAD
from infra.admin import ReadOnlyAdmin, link, pretty


@admin.register(DeadLetter)
class DeadLetterAdmin(FailureAdmin, DeadLetterActionsMixin):
    guarded = ("error_text", "envelope_json")
    list_display = ["consumer", "event", "attempts", "died_at", "signature"]
    list_filter = ["consumer", "name", "died_at"]
    search_fields = ["signature"]
    search_help_text = "a signature, or a part of it"
    fields = ["consumer", "event", "attempts", "died_at", "signature"]
    fields += ["error_text", "envelope_json", "notes"]

    def get_fields(self, request: HttpRequest, obj: Any = None) -> Any:
        shown = super().get_fields(request, obj)
        may_edit = request.user.has_perms([EDIT_PAYLOAD, VIEW_PAYLOAD])
        return [*shown, "edit_link"] if may_edit else shown

    @admin.display(description="envelope")
    def envelope_json(self, row: DeadLetter) -> str:
        return pretty(row.envelope)


@admin.register(Action)
class ActionAdmin(ReadOnlyAdmin):
    list_display = ["operation", "actor", "started_at", "progress", "reason"]
    list_filter = ["operation", "started_at"]
    search_fields = ["actor", "reason"]
    ordering = ["-pk"]
    fields = ["operation", "actor", "reason", "filter_json", "preview_json", "progress"]
    fields += ["result_json", "outcomes", "started_at", "last_progress_at", "ended_at"]
    actions_list = ["replay"]

    def has_replay_permission(self, request: HttpRequest) -> bool:
        return request.user.has_perm(REPLAY)

    @action(description="Replay events …", permissions=["replay"], url_path="replay")
    def replay(self, request: HttpRequest) -> HttpResponse:
        return replay_view.page(request, self.admin_site.each_context(request))

    def change_view(self, request: HttpRequest, object_id: str, *args: Any) -> HttpResponse:
        """Show an action; reload the page every 2 seconds while it is running."""
        answer: HttpResponse = super().change_view(request, object_id, *args)
        row = self.get_object(request, object_id)
        if row and status(row) == "running":
            answer["Refresh"] = "2"
        return answer

    @admin.display(description="filter")
    def filter_json(self, row: Action) -> str:
        return pretty(row.selection)

    @admin.display(description="preview")
    def preview_json(self, row: Action) -> str:
        return pretty(row.preview)

    @admin.display(description="result")
    def result_json(self, row: Action) -> str:
        return pretty(row.result)

    @admin.display(description="progress")
    def progress(self, row: Action) -> str:
        return f"{row.processed:,} of {row.total:,}, {status(row)}" if row.total else status(row)

    @admin.display(description="outcomes")
    def outcomes(self, row: Action) -> str:
        count = row.outcome_set.count()
        query = f"action__id__exact={row.pk}"
        return link("eventbus_outcome_changelist", f"{count:,} dead letters", query=query)


@admin.register(Outcome)
class OutcomeAdmin(EventRowAdmin):
    list_display = ["consumer", "event", "result", "status_now", "action"]
    list_filter = ["result", "consumer"]
    ordering = ["pk"]
    fields = ["action", "consumer", "event", "result", "status_now"]

    def get_queryset(self, request: HttpRequest) -> QuerySet[Outcome]:
        rows: QuerySet[Outcome] = super().get_queryset(request)
        return rows.select_related("action").annotate(status_now=delivery_status())

    @admin.display(description="delivery status now")
    def status_now(self, row: Any) -> str:
        return str(row.status_now)


@admin.register(DiscardedDeadLetter)
class DiscardedDeadLetterAdmin(EventRowAdmin, PayloadGuardMixin):
    list_display = ["consumer", "event", "action"]
    list_filter = ["consumer"]
    ordering = ["-pk"]
    fields = ["consumer", "event", "action", "dead_letter_json"]
    guarded = ("dead_letter_json",)

    @admin.display(description="dead letter")
    def dead_letter_json(self, row: DiscardedDeadLetter) -> str:
        return pretty(row.dead_letter)


@admin.register(Correction)
class CorrectionAdmin(EventRowAdmin, PayloadGuardMixin):
    list_display = ["consumer", "event", "actor", "created_at"]
    list_filter = ["consumer"]
    ordering = ["-pk"]
    fields = ["consumer", "event", "actor", "created_at", "payload_json", "original_json"]
    guarded = ("payload_json", "original_json")

    @admin.display(description="edited payload")
    def payload_json(self, row: Correction) -> str:
        return pretty(row.payload)

    @admin.display(description="payload in the log")
    def original_json(self, row: Correction) -> str:
        return pretty(row.original)
