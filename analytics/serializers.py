"""Queries and bodies of the analytics API: figures as decimal strings, days as UTC dates."""

from typing import Any

from rest_framework import serializers

from analytics import queries
from infra.serializers import StrictSerializer


class Period(StrictSerializer):
    """A range of days: both ends are included, and both are optional."""

    def get_fields(self) -> dict[str, Any]:
        # Not class attributes: `from` is a keyword of Python.
        start = serializers.DateField(required=False, source="start", help_text="first day, UTC")
        end = serializers.DateField(required=False, source="end", help_text="last day, UTC")
        return {**super().get_fields(), "from": start, "to": end}

    def validate(self, attrs: dict[str, Any]) -> dict[str, Any]:
        if "start" in attrs and "end" in attrs and attrs["start"] > attrs["end"]:
            raise serializers.ValidationError({"to": "This is before `from`."})
        return attrs


class SalesAsked(Period):
    group_by = serializers.ChoiceField(list(queries.GROUPS), default="day")


class SalesShown(serializers.Serializer[Any]):
    key = serializers.CharField(help_text="a day, a sku, or an ISO 3166-1 country code")
    name = serializers.CharField(allow_null=True, help_text="of a product, as it was last sold")
    orders = serializers.IntegerField()
    units = serializers.IntegerField()
    revenue = serializers.DecimalField(max_digits=20, decimal_places=2)
    currency = serializers.CharField(help_text="ISO 4217")


class TimeToPayShown(serializers.Serializer[Any]):
    median_seconds = serializers.FloatField(allow_null=True)
    p90_seconds = serializers.FloatField(allow_null=True)


class FunnelShown(serializers.Serializer[Any]):
    placed = serializers.IntegerField()
    reserved = serializers.IntegerField()
    paid = serializers.IntegerField()
    cancelled = serializers.DictField(child=serializers.IntegerField(), help_text="by code")
    refunded = serializers.IntegerField()
    conversion = serializers.FloatField(allow_null=True, help_text="paid of placed, 0 to 1")
    time_to_pay = TimeToPayShown()


class SignUpsShown(serializers.Serializer[Any]):
    day = serializers.DateField()
    customers = serializers.IntegerField()


class RefundsShown(serializers.Serializer[Any]):
    day = serializers.DateField()
    refunds = serializers.IntegerField()
    amount = serializers.DecimalField(max_digits=20, decimal_places=2)
    currency = serializers.CharField(help_text="ISO 4217")
