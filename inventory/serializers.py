"""Bodies of the inventory API."""

from rest_framework import serializers

from infra.serializers import StrictSerializer
from inventory.models import Movement, StockItem


class StockShown(serializers.ModelSerializer[StockItem]):
    available = serializers.IntegerField(read_only=True)
    low_at = serializers.IntegerField(
        source="low_stock_threshold",
        min_value=0,
        required=False,
        help_text="StockLow is published when fewer are available",
    )

    class Meta:
        model = StockItem
        fields = ["sku", "on_hand", "reserved", "available", "low_at"]


class MovementShown(serializers.ModelSerializer[Movement]):
    class Meta:
        model = Movement
        fields = ["id", "kind", "on_hand", "reserved", "order_id", "cause", "actor", "moved_at"]


class Replenishment(StrictSerializer):
    quantity = serializers.IntegerField(min_value=1, max_value=1_000_000)
