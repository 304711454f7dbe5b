"""What operators do with letters: the verbs of the commands, behind pages."""

import json
from typing import Any

from django import forms
from django.contrib import admin, messages
from django.core.exceptions import PermissionDenied
from django.db.models import QuerySet
from django.http import HttpRequest, HttpResponse
from django.shortcuts import get_object_or_404, redirect
from django.template.response import TemplateResponse
from django.urls import path, reverse

from eventbus import corrections, letters
from eventbus.actions import looked
from eventbus.admin.sealed import SEE, Sealed, actor
from eventbus.errors import EventBusError
from eventbus.letters import Selection
from eventbus.looks import link
from eventbus.models import DeadLetter

HANDLE = "eventbus.change_deadletter"


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


class Desk(Sealed):
    """The letters, with what may be done about them."""

    actions = ["retry", "discard"]

    def has_handle_permission(self, request: HttpRequest) -> bool:
        """Let those act who may change letters, though nobody edits them in place."""
        return request.user.has_perm(HANDLE)

    @admin.action(description="Retry …", permissions=["handle"])
    def retry(self, request: HttpRequest, rows: QuerySet[DeadLetter]) -> HttpResponse | None:
        """Ask, then deliver again."""
        if "sure" not in request.POST:
            return self._ask(request, rows, "retry", "Retry")
        _report(request, letters.retry(_chosen(rows), actor(request)))
        return None

    @admin.action(description="Discard …", permissions=["handle"])
    def discard(self, request: HttpRequest, rows: QuerySet[DeadLetter]) -> HttpResponse | None:
        """Ask why, then give up for good."""
        why = request.POST.get("why", "").strip()
        if "sure" not in request.POST or not why:
            return self._ask(request, rows, "discard", "Discard")
        _report(request, letters.discard(_chosen(rows), why, actor(request)))
        return None

    def _ask(
        self, request: HttpRequest, rows: QuerySet[DeadLetter], action: str, verb: str
    ) -> HttpResponse:
        everything = request.POST.get("select_across") == "1"
        found = rows.order_by("pk").values_list("pk", flat=True)
        page = {
            **self.admin_site.each_context(request),
            "title": f"{verb} dead letters",
            "verb": verb,
            "action": action,
            "groups": letters.groups(_chosen(rows)),
            "total": rows.count(),
            "ids": list(found[:1] if everything else found),
            "everything": everything,
            "unanswered": "sure" in request.POST,
        }
        return TemplateResponse(request, "eventbus/ask.html", page)

    def get_urls(self) -> Any:
        """Add the page on which a letter is mended."""
        mend = self.admin_site.admin_view(self.mend)
        page = path("<int:letter>/mend", mend, name="eventbus_deadletter_mend")
        return [page, *super().get_urls()]

    def mend(self, request: HttpRequest, letter: int) -> HttpResponse:
        """Show the payload, then what would change, then send it."""
        if not request.user.has_perms([HANDLE, SEE]):
            raise PermissionDenied
        row = get_object_or_404(DeadLetter, pk=letter)
        before, diff = row.envelope["data"], []
        form = Payload(request.POST or None, initial={"payload": before})
        if request.method != "POST":
            looked(actor(request), "deadletter", letter)
        elif form.is_valid():
            edited = form.cleaned_data["payload"]
            try:
                diff = corrections.diff(before, corrections.checked(row.name, edited))
                if "sure" in request.POST:
                    letters.edit_and_retry(letter, edited, actor(request))
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


def _chosen(rows: QuerySet[DeadLetter]) -> Selection:
    return Selection(ids=tuple(rows.values_list("pk", flat=True)) or (0,))


def _report(request: HttpRequest, result: letters.Result) -> None:
    for signature, counts in result.items():
        told = ", ".join(f"{n} {what}" for what, n in counts.items())
        messages.success(request, f"{told}: {signature}")
