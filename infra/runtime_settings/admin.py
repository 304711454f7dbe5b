"""The form of the runtime settings, their history, and its reversal. For superusers."""

from typing import Any

from constance.admin import Config, ConstanceAdmin
from django.apps import apps
from django.contrib import admin, messages
from django.db.models import QuerySet
from django.http import HttpRequest, HttpResponse

from infra.admin import ReadOnlyAdmin
from infra.runtime_settings import store
from infra.runtime_settings.models import Change, as_text

admin.site.unregister([Config])
# The menu names the settings, not the library that shows them.
apps.get_app_config("constance").verbose_name = "Runtime settings"
Config._meta.verbose_name_plural = "values"


@admin.register(Config)
class RuntimeSettingsAdmin(ConstanceAdmin):
    """Constance's form; each change is recorded with the operator's name."""

    def changelist_view(self, request: HttpRequest, extra_context: Any = None) -> HttpResponse:
        """Show the form, or save it."""
        with store.changed_by(f"operator:{request.user.pk}"):
            page: HttpResponse = super().changelist_view(request, extra_context)
        return page


@admin.register(Change)
class ChangeAdmin(ReadOnlyAdmin):
    """The history: when, which setting, before, after, by which operator."""

    list_display = ["at", "name", "was", "became", "by"]
    list_filter = ["name"]
    search_fields = ["name", "by"]
    date_hierarchy = "at"
    fields = ["at", "name", "was", "became", "by"]
    actions = ["revert"]

    @admin.display(description="before")
    def was(self, change: Change) -> str:
        """Show the value that this change ended."""
        return as_text(change.before.value if change.before else None)

    @admin.display(description="after")
    def became(self, change: Change) -> str:
        """Show the value."""
        return as_text(change.value)

    def has_revert_permission(self, request: HttpRequest) -> bool:
        """Return whether the operator may revert: superusers may."""
        return bool(request.user.is_superuser)

    @admin.action(description="Revert to the value before", permissions=["revert"])
    def revert(self, request: HttpRequest, changes: QuerySet[Change]) -> None:
        """Revert changes, the latest first, so that the value before the oldest remains."""
        for change in changes.order_by("-id"):
            store.revert(change, f"operator:{request.user.pk}")
            messages.success(
                request, f"{change.name} has the value from before {change.at:%F %T} again."
            )
