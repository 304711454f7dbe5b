"""Admin pages that hide payloads without permission, and record each view of one."""

from typing import Any

from django.contrib import admin, messages
from django.http import HttpRequest, HttpResponse
from django.shortcuts import redirect

from eventbus.operations.audit_log import record_view
from eventbus.operations.permissions import VIEW_PAYLOAD
from infra.admin import ReadOnlyAdmin


class PayloadGuardMixin(ReadOnlyAdmin):
    """Hides `guarded` fields from operators without permission, and records each view of them."""

    guarded: tuple[str, ...] = ()

    def get_fields(self, request: HttpRequest, obj: Any = None) -> Any:
        shown: Any = super().get_fields(request, obj)
        if request.user.has_perm(VIEW_PAYLOAD):
            return shown
        kept = [field for field in shown if field not in self.guarded]
        return [*kept, "hidden"] if len(kept) < len(shown) else shown

    def lookup_allowed(self, lookup: str, value: str, request: HttpRequest | None = None) -> bool:
        """Allow only lookups of the list's filters: with others a payload could be guessed."""
        filters: Any = self.list_filter
        return lookup.partition("__")[0] in [getattr(f, "parameter_name", f) for f in filters]

    def change_view(
        self,
        request: HttpRequest,
        object_id: str,
        form_url: str = "",
        extra_context: dict[str, Any] | None = None,
    ) -> HttpResponse:
        """Show a row; record the view if it includes a payload."""
        row = self.get_object(request, object_id)
        more = extra_context or {}
        if row and self.has_view_permission(request, row):
            if request.user.has_perm(VIEW_PAYLOAD):
                record_view(actor(request), str(self.model._meta.verbose_name), row.pk)
            more = self.page_context(request, row) | more
        answer: HttpResponse = super().change_view(request, object_id, form_url, more)
        return answer

    def page_context(self, request: HttpRequest, row: Any) -> dict[str, Any]:
        """Return variables for the template of the row's page."""
        return {}

    @admin.display(description="payload")
    def hidden(self, row: Any) -> str:
        return "Hidden: viewing it takes the permission to view payloads."


def redirect_to_actions(request: HttpRequest) -> HttpResponse:
    """Redirect to the list of actions, which shows the progress of a long operation."""
    messages.info(request, "The operation is still running. Its progress is shown in this list.")
    return redirect("admin:eventbus_action_changelist")


def actor(request: HttpRequest) -> str:
    """Return the operator's name for the audit record."""
    return f"operator:{request.user.pk}"
