"""What analytics shows, to operators: figures as decimal strings, days as UTC dates."""

from typing import Any, ClassVar

from drf_spectacular.utils import extend_schema
from rest_framework import serializers
from rest_framework.permissions import IsAdminUser
from rest_framework.request import Request
from rest_framework.response import Response
from rest_framework.views import APIView

from analytics import queries
from infra.serializers import StrictSerializer


class Period(StrictSerializer):
    """Which days: both ends are included, and each may be left open."""

    def get_fields(self) -> dict[str, Any]:
        """Name the ends as the address does; `from` is a word of Python's own."""
        start = serializers.DateField(required=False, source="start", help_text="first day, UTC")
        end = serializers.DateField(required=False, source="end", help_text="last day, UTC")
        return {**super().get_fields(), "from": start, "to": end}

    def validate(self, attrs: dict[str, Any]) -> dict[str, Any]:
        """Keep the ends in order."""
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


class Figures(APIView):
    """Figures for operators; each asks the query of its name."""

    permission_classes = [IsAdminUser]
    asked: ClassVar[type[Period]] = Period

    def parameters(self, request: Request) -> dict[str, Any]:
        """Read the query string. Raises ValidationError, one message a field."""
        asked = self.asked(data=request.query_params.dict())
        asked.is_valid(raise_exception=True)
        found: dict[str, Any] = asked.validated_data
        return found


class Sales(Figures):
    """Paid orders by the day they were placed. Refunds are not taken off: see refunds."""

    asked = SalesAsked

    @extend_schema(parameters=[SalesAsked], responses=SalesShown(many=True))
    def get(self, request: Request) -> Response:
        rows = queries.sales(**self.parameters(request))
        return Response(SalesShown(rows, many=True).data)


class Funnel(Figures):
    """What became of the orders placed in a period."""

    @extend_schema(parameters=[Period], responses=FunnelShown)
    def get(self, request: Request) -> Response:
        return Response(FunnelShown(queries.funnel(**self.parameters(request))).data)


class SignUps(Figures):
    """New customers by day."""

    @extend_schema(parameters=[Period], responses=SignUpsShown(many=True))
    def get(self, request: Request) -> Response:
        rows = queries.sign_ups(**self.parameters(request))
        return Response(SignUpsShown(rows, many=True).data)


class Refunds(Figures):
    """Money that went back, by the day it went."""

    @extend_schema(parameters=[Period], responses=RefundsShown(many=True))
    def get(self, request: Request) -> Response:
        rows = queries.refunds(**self.parameters(request))
        return Response(RefundsShown(rows, many=True).data)
