"""The body of the overview of an order."""

from typing import Any

from rest_framework import serializers

from orders.serializers.orders import OrderShown


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
