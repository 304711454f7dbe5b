"""Orders, products and availability in the admin."""

from typing import Any

from django.contrib import admin, messages
from django.db.models import QuerySet
from django.http import HttpRequest
from django.urls import reverse
from django.utils.html import format_html
from unfold.admin import TabularInline

from infra.admin import ReadOnlyAdmin, ReadOnlyMixin, RepeatingAdmin
from orders import services
from orders.errors import AlreadyCancelled
from orders.models import Availability, Order, OrderLine, Product


class LineInline(ReadOnlyMixin, TabularInline):
    model = OrderLine
    fields = ["position", "sku", "name", "quantity", "unit_price"]
    extra = 0


@admin.register(Order)
class OrderAdmin(ReadOnlyAdmin):
    list_display = ["id", "status", "code", "total", "currency", "country", "placed_at"]
    list_filter = ["status", "code", "currency", "country"]
    search_fields = ["=id", "=customer_id"]
    date_hierarchy = "placed_at"
    inlines = [LineInline]
    readonly_fields = ["event_log"]
    actions = ["cancel_orders"]

    @admin.display(description="Events")
    def event_log(self, order: Order) -> str:
        """Link to the events of the order in the log."""
        events = reverse("admin:eventbus_event_changelist")
        return format_html(
            '<a href="{}?aggregate=order:{}">Events of this order</a>', events, order.pk
        )

    def has_cancel_permission(self, request: HttpRequest) -> bool:
        """Allow cancelling with the change permission; the fields themselves are read-only."""
        return request.user.has_perm("orders.change_order")

    @admin.action(description="Cancel, and refund what was paid", permissions=["cancel"])
    def cancel_orders(self, request: HttpRequest, orders: QuerySet[Order]) -> None:
        """Cancel each order, with a warning for those cancelled before."""
        for order in orders:
            try:
                services.cancel_on_request(
                    order.pk, Order.Code.BY_OPERATOR, f"Cancelled by {request.user}."
                )
            except AlreadyCancelled as refusal:
                messages.warning(request, f"{order}: {refusal}")
            else:
                messages.success(request, f"{order} is cancelled.")


@admin.register(Product)
class ProductAdmin(RepeatingAdmin):
    list_display = ["sku", "name", "unit_price", "currency", "active", "views"]
    list_filter = ["active", "currency"]
    search_fields = ["sku", "name"]

    def get_readonly_fields(self, request: HttpRequest, obj: Product | None = None) -> list[str]:
        return (
            ["views", "active"]
            if obj is None
            else ["sku", "name", "description", "currency", "views"]
        )

    def has_delete_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return False

    def save_model(self, request: HttpRequest, obj: Product, form: Any, change: bool) -> None:
        """Change the product by the services, which publish the events."""
        if not change:
            services.list_product(obj.sku, obj.name, obj.unit_price, obj.currency, obj.description)
            return
        if "unit_price" in form.changed_data:
            services.reprice_product(obj.sku, obj.unit_price)
        if "active" in form.changed_data and not obj.active:
            services.retire_product(obj.sku)


@admin.register(Availability)
class AvailabilityAdmin(ReadOnlyAdmin):
    list_display = ["sku", "available"]
    search_fields = ["sku"]
