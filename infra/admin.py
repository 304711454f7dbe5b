"""Base classes and helpers of read-only admin pages."""

import json
import re
from functools import partial
from typing import Any

from django.db.models import QuerySet
from django.http import HttpRequest
from django.urls import reverse
from django.utils.html import format_html
from unfold.admin import ModelAdmin

from infra.transactions import repeat_conflicts


class ReadOnlyMixin:
    """Forbids adding, changing and deleting, also for superusers."""

    def has_add_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return False

    def has_change_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return False

    def has_delete_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return False


class ReadOnlyAdmin(ReadOnlyMixin, ModelAdmin):
    """Base of admin pages for rows that only services and consumers write."""

    show_full_result_count = False


class RepeatingAdmin(ModelAdmin):
    """Base of admin pages with forms, whose transactions are repeated after a conflict.

    Django opens one around the services that save a form, so theirs are not repeated.
    """

    def add_view(self, *args: Any, **named: Any) -> Any:
        return repeat_conflicts(partial(super().add_view, *args, **named))

    def change_view(self, *args: Any, **named: Any) -> Any:
        return repeat_conflicts(partial(super().change_view, *args, **named))

    def delete_view(self, *args: Any, **named: Any) -> Any:
        return repeat_conflicts(partial(super().delete_view, *args, **named))

    def delete_queryset(self, request: HttpRequest, queryset: QuerySet[Any]) -> None:
        repeat_conflicts(partial(super().delete_queryset, request, queryset))


def link(page: str, text: str, *args: Any, query: str = "") -> str:
    """Return a link to an admin page, given the name of its URL."""
    address = reverse(f"admin:{page}", args=args)
    return format_html(
        '<a class="text-primary-600 dark:text-primary-500" href="{}">{}</a>',
        f"{address}?{query}" if query else address,
        text,
    )


def pretty(value: Any) -> str:
    """Return preformatted HTML: a text as it is, any other value as indented JSON."""
    text = value if isinstance(value, str) else json.dumps(value, indent=2, ensure_ascii=False)
    return format_html('<pre style="white-space: pre-wrap; font-size: .8rem">{}</pre>', text)


def short(text: str) -> str:
    """Return a text with its UUID cut to the last 12 digits, which differ between rows."""
    return re.sub(r"[0-9a-f]{8}-[0-9a-f-]{15}([0-9a-f]{12})", r"…\1", text)
