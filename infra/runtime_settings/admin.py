"""The form of the live settings, their history, and the way back. For superusers."""

from typing import Any

from constance.admin import Config, ConstanceAdmin
from django.contrib import admin, messages
from django.db.models import QuerySet
from django.http import HttpRequest, HttpResponse

from infra.admin import ReadOnlyAdmin
from infra.runtime_settings import store
from infra.runtime_settings.models import Change, shown

admin.site.unregister([Config])


@admin.register(Config)
class LiveSettings(ConstanceAdmin):
    """Constance's form; whoever sends it is written down."""

    def changelist_view(self, request: HttpRequest, extra_context: Any = None) -> HttpResponse:
        """Show the form, or take it."""
        with store.changed_by(f"operator:{request.user.pk}"):
            page: HttpResponse = super().changelist_view(request, extra_context)
        return page


@admin.register(Change)
class ChangeAdmin(ReadOnlyAdmin):
    """Who changed what; a change is undone by another change."""

    list_display = ["at", "name", "was", "became", "by"]
    list_filter = ["name"]
    search_fields = ["name", "by"]
    date_hierarchy = "at"
    fields = ["at", "name", "was", "became", "by"]
    actions = ["put_back"]

    @admin.display(description="before")
    def was(self, change: Change) -> str:
        """Show the value that this change ended."""
        return shown(change.before.value if change.before else None)

    @admin.display(description="after")
    def became(self, change: Change) -> str:
        """Show the value."""
        return shown(change.value)

    def has_put_back_permission(self, request: HttpRequest) -> bool:
        """Let those put back who may change."""
        return bool(request.user.is_superuser)

    @admin.action(description="Back to what it was before", permissions=["put_back"])
    def put_back(self, request: HttpRequest, changes: QuerySet[Change]) -> None:
        """Undo, the latest first, so that of several the oldest is undone in the end."""
        for change in changes.order_by("-id"):
            store.put_back(change, f"operator:{request.user.pk}")
            messages.success(request, f"{change.name} is what it was before {change.at:%F %T}.")
