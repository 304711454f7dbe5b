"""Views of analytics, for operators."""

from typing import Any, ClassVar

from drf_spectacular.utils import extend_schema
from rest_framework.permissions import IsAdminUser
from rest_framework.request import Request
from rest_framework.response import Response
from rest_framework.views import APIView

from analytics import queries
from analytics.serializers import (
    FunnelShown,
    Period,
    RefundsShown,
    SalesAsked,
    SalesShown,
    SignUpsShown,
)


class Figures(APIView):
    """Base of the figures, for operators. Each view calls the query of its name."""

    permission_classes = [IsAdminUser]
    query_serializer: ClassVar[type[Period]] = Period

    def parameters(self, request: Request) -> dict[str, Any]:
        """Return the validated query string. Raises ValidationError, one message a field."""
        query = self.query_serializer(data=request.query_params.dict())
        query.is_valid(raise_exception=True)
        validated: dict[str, Any] = query.validated_data
        return validated


class Sales(Figures):
    """Sales of paid orders, by the day they were placed. Refunds are not subtracted."""

    query_serializer = SalesAsked

    @extend_schema(parameters=[SalesAsked], responses=SalesShown(many=True))
    def get(self, request: Request) -> Response:
        rows = queries.sales(**self.parameters(request))
        return Response(SalesShown(rows, many=True).data)


class Funnel(Figures):
    """How many orders placed in a period were reserved, paid, cancelled and refunded."""

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
    """Refunds, by the day of the refund."""

    @extend_schema(parameters=[Period], responses=RefundsShown(many=True))
    def get(self, request: Request) -> Response:
        rows = queries.refunds(**self.parameters(request))
        return Response(RefundsShown(rows, many=True).data)
