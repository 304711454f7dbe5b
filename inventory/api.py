"""What inventory shows to operators."""

from typing import Any

from django.http import Http404
from drf_spectacular.utils import extend_schema
from rest_framework import generics, serializers, status
from rest_framework.permissions import IsAdminUser
from rest_framework.request import Request
from rest_framework.response import Response
from rest_framework.views import APIView

from infra.serializers import StrictSerializer
from inventory import queries, services
from inventory.models import Movement, StockItem


class StockShown(serializers.ModelSerializer[StockItem]):
    available = serializers.IntegerField(read_only=True)

    class Meta:
        model = StockItem
        fields = ["sku", "on_hand", "reserved", "available", "low_at"]


class MovementShown(serializers.ModelSerializer[Movement]):
    class Meta:
        model = Movement
        fields = ["id", "kind", "on_hand", "reserved", "order_id", "cause", "actor", "moved_at"]


class Replenishment(StrictSerializer):
    quantity = serializers.IntegerField(min_value=1, max_value=1_000_000)


class Stock(generics.ListAPIView[StockItem]):
    """All shelves."""

    permission_classes = [IsAdminUser]
    serializer_class = StockShown
    queryset = queries.stock()


class OneStock(generics.RetrieveAPIView[StockItem]):
    """One shelf: on hand, reserved, available."""

    permission_classes = [IsAdminUser]
    serializer_class = StockShown
    queryset = StockItem.objects.none()
    lookup_field = "sku"

    def get_object(self) -> Any:
        """Return its quantities."""
        found = queries.one_stock(self.kwargs["sku"])
        if found is None:
            raise Http404
        return found


class Movements(generics.ListAPIView[Movement]):
    """Every change of a product's quantities, and what caused it; the latest first."""

    permission_classes = [IsAdminUser]
    serializer_class = MovementShown
    queryset = Movement.objects.none()

    def get_queryset(self) -> Any:
        """Return the ledger of the product."""
        generics.get_object_or_404(StockItem, pk=self.kwargs["sku"])
        return queries.movements_of(self.kwargs["sku"])


class Replenishments(APIView):
    """More of a product arrived."""

    permission_classes = [IsAdminUser]

    @extend_schema(request=Replenishment, responses={201: MovementShown})
    def post(self, request: Request, sku: str) -> Response:
        """Put pieces on the shelf."""
        asked = Replenishment(data=request.data)
        asked.is_valid(raise_exception=True)
        movement = services.replenish(sku, asked.validated_data["quantity"])
        return Response(MovementShown(movement).data, status.HTTP_201_CREATED)
