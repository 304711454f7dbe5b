"""The rows of the read models, read-only."""

from typing import Any

from django.contrib import admin
from django.http import HttpRequest

from analytics.models import OrderFact, Refund, SaleLine, SignUp
from infra.admin import ReadOnlyAdmin


class FigureAdmin(ReadOnlyAdmin):
    """Read-only for every operator, as in the API."""

    def has_module_permission(self, request: HttpRequest) -> bool:
        return self.has_view_permission(request)

    def has_view_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return request.user.is_active and request.user.is_staff


@admin.register(OrderFact)
class OrderFactAdmin(FigureAdmin):
    list_display = ["order_id", "placed_at", "country", "total", "currency"]
    list_display += ["reserved_at", "paid_at", "cancelled_at", "cancel_code"]
    list_filter = ["cancel_code", "currency", "placed_at"]
    search_fields = ["=order_id"]
    ordering = ["-placed_at"]


@admin.register(SaleLine)
class SaleLineAdmin(FigureAdmin):
    list_display = ["day", "sku", "name", "quantity", "amount", "currency", "country", "order_id"]
    list_filter = ["day", "currency"]
    search_fields = ["sku", "name", "=order_id"]
    ordering = ["-day", "order_id", "position"]


@admin.register(Refund)
class RefundAdmin(FigureAdmin):
    list_display = ["day", "amount", "currency", "order_id", "payment_id"]
    list_filter = ["day", "currency"]
    search_fields = ["=order_id", "=payment_id"]
    ordering = ["-day"]


@admin.register(SignUp)
class SignUpAdmin(FigureAdmin):
    list_display = ["day", "country", "customer_id"]
    list_filter = ["day"]
    search_fields = ["=customer_id"]
    ordering = ["-day"]
