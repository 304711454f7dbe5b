"""What operators do with letters: the verbs of the commands, behind pages."""

import json
from collections.abc import Callable
from functools import partial
from typing import Any

from django import forms
from django.contrib import admin, messages
from django.core.exceptions import PermissionDenied
from django.db.models import QuerySet
from django.http import HttpRequest, HttpResponse
from django.shortcuts import get_object_or_404, redirect
from django.template.response import TemplateResponse
from django.urls import path, reverse

from eventbus.admin.payload_access import PayloadGuardMixin, actor, under_way
from eventbus.consuming import corrections
from eventbus.errors import EventBusError
from eventbus.models import DeadLetter
from eventbus.operations import dead_letters
from eventbus.operations.audit_log import record_view
from eventbus.operations.permissions import DISCARD, EDIT, NOTE, REPLAY, SEE
from eventbus.operations.selection import DeadLetterFilter, groups
from infra import background
from infra.admin import link
from infra.command_options import time

FILTERS = ("consumer", "name", "died_at__gte", "died_at__lt")


class Indented(json.JSONEncoder):
    """JSON to read and to edit."""

    def __init__(self, **how: Any) -> None:
        super().__init__(**how | {"indent": 2, "ensure_ascii": False})


class Payload(forms.Form):
    """What a letter's consumer is to be told."""

    payload = forms.JSONField(
        encoder=Indented,
        widget=forms.Textarea(attrs={"rows": 20, "class": "desk-payload", "spellcheck": "false"}),
    )

    def clean_payload(self) -> Any:
        """Take an object only."""
        found = self.cleaned_data["payload"]
        if not isinstance(found, dict):
            raise forms.ValidationError("A payload is a JSON object.")
        return found


class DeadLetterActionsMixin(PayloadGuardMixin):
    """The letters, with what may be done about them."""

    actions = ["retry", "discard", "note"]
    change_form_outer_after_template = "eventbus/letter.html"

    def has_replay_permission(self, request: HttpRequest) -> bool:
        """Let those retry who may have things delivered again."""
        return request.user.has_perm(REPLAY)

    def has_discard_permission(self, request: HttpRequest) -> bool:
        """Let those discard who may."""
        return request.user.has_perm(DISCARD)

    def has_note_permission(self, request: HttpRequest) -> bool:
        """Let those add notes who may change letters, though nobody edits them in place."""
        return request.user.has_perm(NOTE)

    def lookup_allowed(self, lookup: str, value: str, request: HttpRequest | None = None) -> bool:
        """Allow what a selection knows: all that match must be what is shown."""
        return lookup in FILTERS

    def get_search_results(
        self, request: HttpRequest, queryset: QuerySet[DeadLetter], search_term: str
    ) -> tuple[QuerySet[DeadLetter], bool]:
        """Search as a selection does: a signature, or a part of it."""
        return queryset.filter(signature__contains=search_term.strip()), False

    @admin.action(description="Retry …", permissions=["replay"])
    def retry(self, request: HttpRequest, rows: QuerySet[DeadLetter]) -> HttpResponse | None:
        """Ask, then deliver again."""
        return self._act(request, rows, dead_letters.retry)

    @admin.action(description="Discard …", permissions=["discard"])
    def discard(self, request: HttpRequest, rows: QuerySet[DeadLetter]) -> HttpResponse | None:
        """Ask why, then give up for good."""
        return self._act(request, rows, dead_letters.discard, "Why, for those who come after")

    @admin.action(description="Add a note …", permissions=["note"])
    def note(self, request: HttpRequest, rows: QuerySet[DeadLetter]) -> HttpResponse | None:
        """Ask for the words, then add them."""
        return self._act(request, rows, dead_letters.note, "What those who come after should know")

    def _act(
        self,
        request: HttpRequest,
        rows: QuerySet[DeadLetter],
        verb: Callable[..., dead_letters.Result],
        words: str = "",
    ) -> HttpResponse | None:
        chosen, said = _chosen(request, rows), request.POST.get("why", "").strip()
        if "sure" not in request.POST or (words and not said):
            return self._ask(request, rows, chosen, verb.__name__, words)
        given = [chosen, said] if words else [chosen]
        result = background.run_in_background(partial(verb, *given, actor(request)))
        if result is None:
            return under_way(request)
        _report(request, result)
        return None

    def _ask(
        self,
        request: HttpRequest,
        rows: QuerySet[DeadLetter],
        chosen: DeadLetterFilter,
        verb: str,
        words: str,
    ) -> HttpResponse:
        found = groups(chosen)
        page = {
            **self.admin_site.each_context(request),
            "title": f"{verb.title()} dead letters",
            "verb": verb,
            "words": words,
            "groups": found,
            "total": sum(group.letters for group in found),
            "ids": chosen.ids or rows.values_list("pk", flat=True)[:1],
            "chosen": chosen.told(),
            "everything": not chosen.ids,
            "unanswered": "sure" in request.POST,
        }
        return TemplateResponse(request, "eventbus/ask.html", page)

    def beside(self, request: HttpRequest, row: Any) -> dict[str, Any]:
        """Offer those who may to add a note."""
        return {"noting": self.has_note_permission(request)}

    def get_urls(self) -> Any:
        """Add the page on which a letter is mended."""
        mend = self.admin_site.admin_view(self.mend)
        page = path("<int:letter>/mend", mend, name="eventbus_deadletter_mend")
        return [page, *super().get_urls()]

    def mend(self, request: HttpRequest, letter: int) -> HttpResponse:
        """Show the payload, then what would change, then send it."""
        if not request.user.has_perms([EDIT, SEE]):
            raise PermissionDenied
        row = get_object_or_404(DeadLetter, pk=letter)
        before, diff = row.envelope["data"], []
        form = Payload(request.POST or None, initial={"payload": before})
        if request.method != "POST":
            record_view(actor(request), "deadletter", letter)
        elif form.is_valid():
            edited = form.cleaned_data["payload"]
            try:
                diff = corrections.diff(before, corrections.checked(row.name, edited))
                if "sure" in request.POST:
                    dead_letters.edit_and_retry(letter, edited, actor(request))
                    messages.success(request, f"{row.consumer} is told the edited payload.")
                    return redirect(reverse("admin:eventbus_deadletter_changelist"))
            except EventBusError as refusal:
                form.add_error("payload", str(refusal))
        page = {
            **self.admin_site.each_context(request),
            "title": f"Edit {row.name} for {row.consumer}",
            "form": form,
            "diff": diff,
        }
        return TemplateResponse(request, "eventbus/mend.html", page)

    @admin.display(description="edit")
    def mending(self, row: DeadLetter) -> str:
        """Link to the page on which the letter is mended."""
        return link("eventbus_deadletter_mend", "Edit the payload and retry …", row.pk)


def _chosen(request: HttpRequest, rows: QuerySet[DeadLetter]) -> DeadLetterFilter:
    """Return what is ticked, or the filter of the list, which the verb evaluates."""
    if request.POST.get("select_across") != "1":
        return DeadLetterFilter(ids=tuple(rows.values_list("pk", flat=True)) or (0,))
    asked = request.GET.get
    since, until = asked("died_at__gte"), asked("died_at__lt")
    return DeadLetterFilter(
        consumer=asked("consumer", ""),
        name=asked("name", ""),
        signature=asked("q", "").strip(),
        since=time(since) if since else None,
        until=time(until) if until else None,
    )


def _report(request: HttpRequest, result: dead_letters.Result) -> None:
    for signature, counts in result.items():
        told = ", ".join(f"{n} {what}" for what, n in counts.items())
        messages.success(request, f"{told}: {signature}")
