"""Rows with something in them that not every operator may see; looking is written down."""

from typing import Any

from django.contrib import admin, messages
from django.http import HttpRequest, HttpResponse
from django.shortcuts import redirect

from eventbus.operations.audit_log import record_view
from eventbus.operations.permissions import SEE
from infra.admin import ReadOnlyAdmin


class PayloadGuardMixin(ReadOnlyAdmin):
    """Rows with something in them that not every operator may see; looking is written down."""

    sealed: tuple[str, ...] = ()

    def get_fields(self, request: HttpRequest, obj: Any = None) -> Any:
        """Leave out what is sealed, and say so once."""
        shown: Any = super().get_fields(request, obj)
        if request.user.has_perm(SEE):
            return shown
        kept = [field for field in shown if field not in self.sealed]
        return [*kept, "hidden"] if len(kept) < len(shown) else shown

    def lookup_allowed(self, lookup: str, value: str, request: HttpRequest | None = None) -> bool:
        """Allow the list's filters only: by others one could guess what is sealed."""
        filters: Any = self.list_filter
        return lookup.partition("__")[0] in [getattr(f, "parameter_name", f) for f in filters]

    def change_view(
        self,
        request: HttpRequest,
        object_id: str,
        form_url: str = "",
        extra_context: dict[str, Any] | None = None,
    ) -> HttpResponse:
        """Show a row, and write down that somebody saw all of it."""
        row = self.get_object(request, object_id)
        beside = {}
        if row and self.has_view_permission(request, row):
            if request.user.has_perm(SEE):
                record_view(actor(request), self.model._meta.model_name, row.pk)
            beside = self.beside(request, row)
        more = beside | (extra_context or {})
        answer: HttpResponse = super().change_view(request, object_id, form_url, more)
        return answer

    def beside(self, request: HttpRequest, row: Any) -> dict[str, Any]:
        """Return what else the row's page shows."""
        return {}

    @admin.display(description="the rest")
    def hidden(self, row: Any) -> str:
        """Say that something is there."""
        return "Not shown: that takes the right to see payloads."


def under_way(request: HttpRequest) -> HttpResponse:
    """Lead an operator who has waited long enough to where the verb tells how far it is."""
    messages.info(request, "It is under way: its action, here, tells how far it is.")
    return redirect("admin:eventbus_action_changelist")


def actor(request: HttpRequest) -> str:
    """Name the operator, for the record."""
    return f"operator:{request.user.pk}"
