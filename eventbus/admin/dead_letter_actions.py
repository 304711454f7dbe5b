"""Admin actions on dead letters: retry, discard, note, edit; the commands do the same."""

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

from eventbus.admin.payload_access import PayloadGuardMixin, actor, redirect_to_actions
from eventbus.consuming import corrections
from eventbus.errors import EventBusError
from eventbus.models import DeadLetter
from eventbus.operations import dead_letters
from eventbus.operations.audit_log import record_view
from eventbus.operations.dead_letter_filter import DeadLetterFilter, group_by_signature
from eventbus.operations.permissions import DISCARD, EDIT_PAYLOAD, NOTE, REPLAY, VIEW_PAYLOAD
from infra import background
from infra.admin import link
from infra.command_options import parse_time

FILTERS = ("consumer", "name", "died_at__gte", "died_at__lt")


class IndentedEncoder(json.JSONEncoder):
    """JSON that is easy to read and edit."""

    def __init__(self, **options: Any) -> None:
        super().__init__(**options | {"indent": 2, "ensure_ascii": False})


class PayloadForm(forms.Form):
    """A payload to edit."""

    payload = forms.JSONField(
        encoder=IndentedEncoder,
        widget=forms.Textarea(attrs={"rows": 20, "class": "payload", "spellcheck": "false"}),
    )

    def clean_payload(self) -> Any:
        found = self.cleaned_data["payload"]
        if not isinstance(found, dict):
            raise forms.ValidationError("A payload is a JSON object.")
        return found


class DeadLetterActionsMixin(PayloadGuardMixin):
    """Adds retry, discard and note to the list, and a page that edits a payload."""

    actions = ["retry", "discard", "note"]
    change_form_outer_after_template = "eventbus/dead_letter.html"

    def has_replay_permission(self, request: HttpRequest) -> bool:
        return request.user.has_perm(REPLAY)

    def has_discard_permission(self, request: HttpRequest) -> bool:
        return request.user.has_perm(DISCARD)

    def has_note_permission(self, request: HttpRequest) -> bool:
        return request.user.has_perm(NOTE)

    def lookup_allowed(self, lookup: str, value: str, request: HttpRequest | None = None) -> bool:
        """Allow only lookups that `DeadLetterFilter` has, so that "all" means all that is shown."""
        return lookup in FILTERS

    def get_search_results(
        self, request: HttpRequest, queryset: QuerySet[DeadLetter], search_term: str
    ) -> tuple[QuerySet[DeadLetter], bool]:
        """Search by signature or a part of it, like `DeadLetterFilter`."""
        return queryset.filter(signature__contains=search_term.strip()), False

    @admin.action(description="Retry …", permissions=["replay"])
    def retry(self, request: HttpRequest, rows: QuerySet[DeadLetter]) -> HttpResponse | None:
        return self._confirm_and_run(request, rows, dead_letters.retry)

    @admin.action(description="Discard …", permissions=["discard"])
    def discard(self, request: HttpRequest, rows: QuerySet[DeadLetter]) -> HttpResponse | None:
        return self._confirm_and_run(request, rows, dead_letters.discard, "Reason")

    @admin.action(description="Add a note …", permissions=["note"])
    def note(self, request: HttpRequest, rows: QuerySet[DeadLetter]) -> HttpResponse | None:
        return self._confirm_and_run(request, rows, dead_letters.note, "Note")

    def _confirm_and_run(
        self,
        request: HttpRequest,
        rows: QuerySet[DeadLetter],
        operation: Callable[..., dead_letters.Counts],
        text_label: str = "",
    ) -> HttpResponse | None:
        selection, text = _selection(request, rows), request.POST.get("reason", "").strip()
        if "confirmed" not in request.POST or (text_label and not text):
            return self._confirm(request, rows, selection, operation.__name__, text_label)
        arguments = [selection, text] if text_label else [selection]
        result = background.run_in_background(partial(operation, *arguments, actor(request)))
        if result is None:
            return redirect_to_actions(request)
        _report(request, result)
        return None

    def _confirm(
        self,
        request: HttpRequest,
        rows: QuerySet[DeadLetter],
        selection: DeadLetterFilter,
        operation: str,
        text_label: str,
    ) -> HttpResponse:
        groups = group_by_signature(selection)
        page = {
            **self.admin_site.each_context(request),
            "title": TITLES[operation],
            "operation": operation,
            "button": BUTTONS[operation],
            "text_label": text_label,
            "groups": groups,
            "total": sum(group.count for group in groups),
            "ids": selection.ids or rows.values_list("pk", flat=True)[:1],
            "filter": selection.as_json(),
            "all_matching": not selection.ids,
            "text_missing": "confirmed" in request.POST,
        }
        return TemplateResponse(request, "eventbus/confirm.html", page)

    def page_context(self, request: HttpRequest, row: Any) -> dict[str, Any]:
        return {"may_note": self.has_note_permission(request)}

    def get_urls(self) -> Any:
        view = self.admin_site.admin_view(self.edit)
        page = path("<int:pk>/edit", view, name="eventbus_deadletter_edit")
        return [page, *super().get_urls()]

    def edit(self, request: HttpRequest, pk: int) -> HttpResponse:
        """Show the payload, then the changes, then deliver the edited payload."""
        if not request.user.has_perms([EDIT_PAYLOAD, VIEW_PAYLOAD]):
            raise PermissionDenied
        row = get_object_or_404(DeadLetter, pk=pk)
        before, diff = row.envelope["data"], []
        form = PayloadForm(request.POST or None, initial={"payload": before})
        if request.method != "POST":
            record_view(actor(request), "dead letter", pk)
        elif form.is_valid():
            edited = form.cleaned_data["payload"]
            try:
                diff = corrections.diff(before, corrections.checked(row.name, edited))
                if "confirmed" in request.POST:
                    dead_letters.edit_and_retry(pk, edited, actor(request))
                    messages.success(request, f"{row.consumer} will receive the edited payload.")
                    return redirect(reverse("admin:eventbus_deadletter_changelist"))
            except EventBusError as error:
                form.add_error("payload", str(error))
        page = {
            **self.admin_site.each_context(request),
            "title": f"Edit the payload of {row.name} for {row.consumer}",
            "form": form,
            "diff": diff,
        }
        return TemplateResponse(request, "eventbus/edit.html", page)

    @admin.display(description="edit")
    def edit_link(self, row: DeadLetter) -> str:
        return link("eventbus_deadletter_edit", "Edit the payload and retry …", row.pk)


TITLES = {
    "retry": "Retry dead letters",
    "discard": "Discard dead letters",
    "note": "Add a note to dead letters",
}
BUTTONS = {"retry": "Retry", "discard": "Discard", "note": "Add the note to"}


def _selection(request: HttpRequest, rows: QuerySet[DeadLetter]) -> DeadLetterFilter:
    """Return the selected rows, or the filter of the list, evaluated when the operation starts."""
    if request.POST.get("select_across") != "1":
        return DeadLetterFilter(ids=tuple(rows.values_list("pk", flat=True)) or (0,))
    get = request.GET.get
    since, until = get("died_at__gte"), get("died_at__lt")
    return DeadLetterFilter(
        consumer=get("consumer", ""),
        name=get("name", ""),
        signature=get("q", "").strip(),
        since=parse_time(since) if since else None,
        until=parse_time(until) if until else None,
    )


def _report(request: HttpRequest, result: dead_letters.Counts) -> None:
    for signature, counts in result.items():
        summary = ", ".join(f"{n} {outcome}" for outcome, n in counts.items())
        messages.success(request, f"{summary}: {signature}")
