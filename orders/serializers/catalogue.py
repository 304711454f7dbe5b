"""Bodies of the catalogue."""

import pycountry
from rest_framework import serializers

from infra.serializers import StrictSerializer
from orders.models import Product


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
