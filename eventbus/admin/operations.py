"""The operators' desk: letters with what may be done about them, and what was done."""

from typing import Any

from django.contrib import admin
from django.db.models import QuerySet
from django.http import HttpRequest, HttpResponse
from unfold.decorators import action

from eventbus.admin import replay_view
from eventbus.admin.dead_letter_views import DeadLetterActionsMixin
from eventbus.admin.delivery import OfAnEvent, RetryAdmin
from eventbus.admin.payload_access import PayloadGuardMixin
from eventbus.models import Action, Correction, DeadLetter, Discarded, Outcome
from eventbus.operations.audit_log import state
from eventbus.operations.causation import delivery_status
from eventbus.operations.permissions import EDIT, REPLAY, SEE
from infra.admin import ReadOnlyAdmin, link, pretty


@admin.register(DeadLetter)
class DeadLetterAdmin(RetryAdmin, DeadLetterActionsMixin):
    sealed = ("trouble", "wire")
    list_display = ["consumer", "event", "attempts", "died_at", "signature"]
    list_filter = ["consumer", "name", "died_at"]
    search_fields = ["signature"]
    fields = ["consumer", "event", "attempts", "died_at", "signature", "trouble", "wire", "notes"]

    def get_fields(self, request: HttpRequest, obj: Any = None) -> Any:
        shown = super().get_fields(request, obj)
        return [*shown, "mending"] if request.user.has_perms([EDIT, SEE]) else shown

    @admin.display(description="envelope")
    def wire(self, row: DeadLetter) -> str:
        return pretty(row.envelope)


@admin.register(Action)
class ActionAdmin(ReadOnlyAdmin):
    list_display = ["verb", "actor", "started_at", "progress", "why"]
    list_filter = ["verb", "started_at"]
    search_fields = ["actor", "why"]
    ordering = ["-pk"]
    fields = ["verb", "actor", "why", "filter", "found", "progress", "came_of_it", "items"]
    fields += ["started_at", "heard_at", "ended_at"]
    actions_list = ["replay"]

    def has_replay_permission(self, request: HttpRequest) -> bool:
        return request.user.has_perm(REPLAY)

    @action(description="Replay events …", permissions=["replay"], url_path="replay")
    def replay(self, request: HttpRequest) -> HttpResponse:
        return replay_view.page(request, self.admin_site.each_context(request))

    def change_view(self, request: HttpRequest, object_id: str, *args: Any) -> HttpResponse:
        """Show an action; while it is under way, how far it is."""
        answer: HttpResponse = super().change_view(request, object_id, *args)
        row = self.get_object(request, object_id)
        if row and state(row) == "under way":
            answer["Refresh"] = "2"
        return answer

    @admin.display(description="filter")
    def filter(self, row: Action) -> str:
        return pretty(row.chosen)

    @admin.display(description="preview")
    def found(self, row: Action) -> str:
        return pretty(row.preview)

    @admin.display(description="result")
    def came_of_it(self, row: Action) -> str:
        return pretty(row.result)

    @admin.display(description="progress")
    def progress(self, row: Action) -> str:
        return f"{row.done:,} of {row.total:,}, {state(row)}" if row.total else state(row)

    @admin.display(description="letter by letter")
    def items(self, row: Action) -> str:
        count = row.outcome_set.count()
        query = f"action__id__exact={row.pk}"
        return link("eventbus_outcome_changelist", f"{count:,} letters", query=query)


@admin.register(Outcome)
class OutcomeAdmin(OfAnEvent):
    list_display = ["consumer", "event", "came", "now", "action"]
    list_filter = ["came", "consumer"]
    ordering = ["pk"]
    fields = ["action", "consumer", "event", "came", "now"]

    def get_queryset(self, request: HttpRequest) -> QuerySet[Outcome]:
        rows: QuerySet[Outcome] = super().get_queryset(request)
        return rows.select_related("action").annotate(now=delivery_status())

    @admin.display(description="and now is")
    def now(self, row: Any) -> str:
        return str(row.now)


@admin.register(Discarded)
class DiscardedAdmin(OfAnEvent, PayloadGuardMixin):
    list_display = ["consumer", "event", "action"]
    list_filter = ["consumer"]
    ordering = ["-pk"]
    fields = ["consumer", "event", "action", "kept"]
    sealed = ("kept",)

    @admin.display(description="letter")
    def kept(self, row: Discarded) -> str:
        return pretty(row.letter)


@admin.register(Correction)
class CorrectionAdmin(OfAnEvent, PayloadGuardMixin):
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
