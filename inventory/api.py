"""Views of inventory, for operators: stock, movements, replenishments."""

from typing import Any

from django.db.models import QuerySet
from django.http import Http404
from drf_spectacular.utils import extend_schema
from rest_framework import generics, status
from rest_framework.permissions import IsAdminUser
from rest_framework.request import Request
from rest_framework.response import Response
from rest_framework.views import APIView

from inventory import queries, services
from inventory.models import Movement, StockItem
from inventory.serializers import MovementShown, Replenishment, StockShown


class Stock(generics.ListAPIView[StockItem]):
    """The stock of all products."""

    permission_classes = [IsAdminUser]
    serializer_class = StockShown
    queryset = queries.stock()


class OneStock(generics.RetrieveAPIView[StockItem]):
    """The stock of one product: on hand, reserved, available."""

    permission_classes = [IsAdminUser]
    serializer_class = StockShown
    queryset = StockItem.objects.none()
    lookup_field = "sku"

    def get_object(self) -> Any:
        stock = queries.cached_stock(self.kwargs["sku"])
        if stock is None:
            raise Http404
        return stock


class Movements(generics.ListAPIView[Movement]):
    """All changes of a product's quantities with their causes, the latest first."""

    permission_classes = [IsAdminUser]
    serializer_class = MovementShown
    queryset = Movement.objects.none()

    def get_queryset(self) -> QuerySet[Movement]:
        generics.get_object_or_404(StockItem, pk=self.kwargs["sku"])
        return queries.movements_of(self.kwargs["sku"])


class Replenishments(APIView):
    permission_classes = [IsAdminUser]

    @extend_schema(request=Replenishment, responses={201: MovementShown})
    def post(self, request: Request, sku: str) -> Response:
        """Add pieces of a product to the stock."""
        body = Replenishment(data=request.data)
        body.is_valid(raise_exception=True)
        movement = services.replenish(sku, body.validated_data["quantity"])
        return Response(MovementShown(movement).data, status.HTTP_201_CREATED)
