"""Bodies of the orders API: first the catalogue, then orders."""

from typing import Any

import pycountry
from drf_spectacular.utils import extend_schema_field
from rest_framework import serializers

from infra.serializers import StrictSerializer
from orders.models import Order, OrderLine, Product

MAX_LINES, MAX_QUANTITY = 1000, 100_000


# --- catalogue ----------------------------------------------------------------------------------


class ProductShown(serializers.ModelSerializer[Product]):
    available = serializers.IntegerField(read_only=True)

    class Meta:
        model = Product
        fields = ["sku", "name", "description", "unit_price", "currency", "active", "available"]


class ProductListing(StrictSerializer):
    sku = serializers.RegexField(r"^[A-Za-z0-9._-]{1,40}$")
    name = serializers.CharField(max_length=200)
    description = serializers.CharField(max_length=5000, required=False, default="")
    unit_price = serializers.DecimalField(max_digits=12, decimal_places=2, min_value=0)
    currency = serializers.CharField(max_length=3)

    def validate_currency(self, code: str) -> str:
        if not pycountry.currencies.get(alpha_3=code):
            raise serializers.ValidationError("Not an ISO 4217 currency, such as EUR.")
        return code


class ProductChange(StrictSerializer):
    unit_price = serializers.DecimalField(
        max_digits=12, decimal_places=2, min_value=0, required=False
    )
    active = serializers.BooleanField(required=False)

    def validate_active(self, active: bool) -> bool:
        if active:
            raise serializers.ValidationError(
                "Only false is accepted: a retired product cannot be put back on sale."
            )
        return active


# --- orders -------------------------------------------------------------------------------------


class WantedLine(StrictSerializer):
    sku = serializers.CharField(max_length=40)
    quantity = serializers.IntegerField(min_value=1, max_value=MAX_QUANTITY)


class OrderWanted(StrictSerializer):
    lines = serializers.ListField(child=WantedLine(), min_length=1, max_length=MAX_LINES)
    country = serializers.CharField(max_length=2)

    def validate_country(self, code: str) -> str:
        if not pycountry.countries.get(alpha_2=code):
            raise serializers.ValidationError("Not an ISO 3166-1 country code, such as ID.")
        return code


class CancellationWanted(StrictSerializer):
    reason = serializers.CharField(max_length=300, required=False, default="No reason given.")


class LineShown(serializers.ModelSerializer[OrderLine]):
    amount = serializers.DecimalField(max_digits=14, decimal_places=2, read_only=True)

    class Meta:
        model = OrderLine
        fields = ["sku", "name", "quantity", "unit_price", "amount"]


class OrderShown(serializers.ModelSerializer[Order]):
    lines = LineShown(many=True, read_only=True)
    cancellation = serializers.SerializerMethodField()

    class Meta:
        model = Order
        fields = [
            "id",
            "customer_id",
            "status",
            "lines",
            "total",
            "currency",
            "country",
            "placed_at",
            "paid_at",
            "cancelled_at",
            "cancellation",
        ]

    @extend_schema_field(
        {
            "type": "object",
            "nullable": True,
            "properties": {"code": {"type": "string"}, "reason": {"type": "string"}},
        }
    )
    def get_cancellation(self, order: Order) -> dict[str, str] | None:
        return {"code": order.code, "reason": order.reason} if order.code else None


# --- the overview of an order -------------------------------------------------------------------


class ShortageShown(serializers.Serializer[Any]):
    sku = serializers.CharField()
    wanted = serializers.IntegerField()
    available = serializers.IntegerField()


class OrderStock(serializers.Serializer[Any]):
    status = serializers.CharField(
        help_text="reserved, rejected, or the reason of the release: lapsed, cancelled, returned"
    )
    until = serializers.DateTimeField(required=False, help_text="end of the reservation")
    shortages = ShortageShown(many=True, required=False, help_text="if rejected: missing products")
    told_at = serializers.DateTimeField(source="recorded_at")


class OrderPayment(serializers.Serializer[Any]):
    id = serializers.UUIDField()
    status = serializers.CharField(help_text="captured, declined or refunded")
    amount = serializers.DecimalField(max_digits=14, decimal_places=2, required=False)
    currency = serializers.CharField(required=False)
    reason = serializers.CharField(required=False)
    told_at = serializers.DateTimeField(source="recorded_at")


class OrderMessage(serializers.Serializer[Any]):
    id = serializers.UUIDField()
    kind = serializers.CharField(help_text="such as order_received, invoice, cancelled")
    channel = serializers.CharField(help_text="mail, sms or push")
    sent_at = serializers.DateTimeField()


class OrderOverview(serializers.Serializer[Any]):
    as_of = serializers.DateTimeField(
        help_text="Every event of the order recorded before this time is included."
    )
    heard_at = serializers.DateTimeField(
        source="latest_activity_at",
        allow_null=True,
        help_text="When the latest event of another context about the order was recorded.",
    )
    order = OrderShown()
    stock = OrderStock(allow_null=True)
    payments = OrderPayment(many=True)
    messages = OrderMessage(many=True)
