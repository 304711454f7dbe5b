"""The operators' desk: letters with what may be done about them, and what was done."""

from typing import Any

from django.contrib import admin
from django.http import HttpRequest

from eventbus.admin.delivery import OfAnEvent, RetryAdmin
from eventbus.admin.letters import HANDLE, Desk
from eventbus.admin.sealed import SEE, Sealed
from eventbus.looks import Looked, pretty
from eventbus.models import Action, Correction, DeadLetter, Discarded


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
