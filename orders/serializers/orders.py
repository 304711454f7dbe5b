"""Bodies of orders."""

import pycountry
from drf_spectacular.utils import extend_schema_field
from rest_framework import serializers

from infra.serializers import StrictSerializer
from orders.models import Order, OrderLine

MAX_LINES, MAX_QUANTITY = 1000, 100_000


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
