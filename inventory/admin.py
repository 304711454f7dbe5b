"""Stock, movements and reservations in the admin. Quantities change by events and services only."""

from typing import Any

from django.contrib import admin
from django.http import HttpRequest

from infra.admin import ReadOnlyAdmin
from inventory import cache
from inventory.models import Movement, Reservation, StockItem


@admin.register(StockItem)
class StockItemAdmin(ReadOnlyAdmin):
    list_display = ["sku", "on_hand", "reserved", "available", "low_stock_threshold"]
    search_fields = ["sku"]

    def has_change_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        """Allow changing the low-stock threshold, the only field that is not read-only."""
        return request.user.has_perm("inventory.change_stockitem")

    def get_readonly_fields(self, request: HttpRequest, obj: Any = None) -> list[str]:
        return ["sku", "on_hand", "reserved"]

    def save_model(self, request: HttpRequest, obj: StockItem, form: Any, change: bool) -> None:
        super().save_model(request, obj, form, change)
        cache.quantities.invalidate(obj.sku)


@admin.register(Movement)
class MovementAdmin(ReadOnlyAdmin):
    list_display = ["id", "moved_at", "kind", "sku", "on_hand", "reserved", "order_id", "cause"]
    list_filter = ["kind", "moved_at"]
    search_fields = ["sku", "=order_id", "cause"]


@admin.register(Reservation)
class ReservationAdmin(ReadOnlyAdmin):
    list_display = ["order_id", "state", "expires_at", "pinned_until"]
    list_filter = ["state"]
    search_fields = ["=order_id"]
