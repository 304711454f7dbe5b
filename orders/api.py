"""What orders shows: the catalogue to all, orders to those who placed them."""

from dataclasses import asdict
from typing import Any, cast
from uuid import UUID

import pycountry
from django.db.models import QuerySet
from django.http import Http404
from drf_spectacular.utils import extend_schema, extend_schema_field
from rest_framework import generics, serializers, status
from rest_framework.permissions import BasePermission, IsAdminUser
from rest_framework.request import Request
from rest_framework.response import Response
from rest_framework.reverse import reverse
from rest_framework.views import APIView

from eventbus.operations.freshness import handled_until
from infra.serializers import StrictSerializer
from orders import queries, services
from orders.models import Order, OrderLine, Product

MOST_LINES, MOST_PIECES = 1000, 100_000


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
        """Know the currency by ISO 4217."""
        if not pycountry.currencies.get(alpha_3=code):
            raise serializers.ValidationError("Not an ISO 4217 currency, such as EUR.")
        return code


class ProductChange(StrictSerializer):
    unit_price = serializers.DecimalField(
        max_digits=12, decimal_places=2, min_value=0, required=False
    )
    active = serializers.BooleanField(required=False)

    def validate_active(self, active: bool) -> bool:
        """Retire only: a product that comes back is listed anew."""
        if active:
            raise serializers.ValidationError("Only false: a product can be retired.")
        return active


class WantedLine(StrictSerializer):
    sku = serializers.CharField(max_length=40)
    quantity = serializers.IntegerField(min_value=1, max_value=MOST_PIECES)


class OrderWanted(StrictSerializer):
    lines = serializers.ListField(child=WantedLine(), min_length=1, max_length=MOST_LINES)
    country = serializers.CharField(max_length=2)

    def validate_country(self, code: str) -> str:
        """Know the country by ISO 3166-1."""
        if not pycountry.countries.get(alpha_2=code):
            raise serializers.ValidationError("Not an ISO 3166-1 country code, such as ID.")
        return code


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
        """Say why, where the order is cancelled."""
        return {"code": order.code, "reason": order.reason} if order.code else None


class ShortageShown(serializers.Serializer[Any]):
    sku = serializers.CharField()
    wanted = serializers.IntegerField()
    available = serializers.IntegerField()


class OrderStock(serializers.Serializer[Any]):
    status = serializers.CharField(
        help_text="reserved, rejected, or why it was released: lapsed, cancelled, returned"
    )
    until = serializers.DateTimeField(required=False, help_text="of what is reserved")
    shortages = ShortageShown(many=True, required=False, help_text="of what is rejected")
    told_at = serializers.DateTimeField()


class OrderPayment(serializers.Serializer[Any]):
    id = serializers.UUIDField()
    status = serializers.CharField(help_text="captured, declined or refunded")
    amount = serializers.DecimalField(max_digits=14, decimal_places=2, required=False)
    currency = serializers.CharField(required=False)
    reason = serializers.CharField(required=False)
    told_at = serializers.DateTimeField()


class OrderMessage(serializers.Serializer[Any]):
    id = serializers.UUIDField()
    kind = serializers.CharField(help_text="such as order_received, invoice, cancelled")
    channel = serializers.CharField(help_text="mail, sms or push")
    sent_at = serializers.DateTimeField()


class OrderOverview(serializers.Serializer[Any]):
    as_of = serializers.DateTimeField(
        help_text="Everything that happened to the order before this moment is in here."
    )
    heard_at = serializers.DateTimeField(
        allow_null=True, help_text="When another part of the shop last had news of it."
    )
    order = OrderShown()
    stock = OrderStock(allow_null=True)
    payments = OrderPayment(many=True)
    messages = OrderMessage(many=True)


class CancellationWanted(StrictSerializer):
    reason = serializers.CharField(max_length=300, required=False, default="No reason given.")


class OperatorsWrite(BasePermission):
    """All may look; operators may change."""

    def has_permission(self, request: Request, view: Any) -> bool:
        """Let everybody look."""
        return request.method in ("GET", "HEAD", "OPTIONS") or IsAdminUser().has_permission(
            request, view
        )


class Products(generics.ListAPIView[Product]):
    """The catalogue, the most looked-at first; operators list products."""

    permission_classes = [OperatorsWrite]
    serializer_class = ProductShown
    queryset = Product.objects.none()

    def list(self, request: Request, *args: Any, **kwargs: Any) -> Response:
        """Show a page of it, from the cache."""
        page: Any = self.paginate_queryset(queries.Catalogue())  # type: ignore[arg-type]
        return self.get_paginated_response(ProductShown(page, many=True).data)

    @extend_schema(request=ProductListing, responses={201: ProductShown})
    def post(self, request: Request) -> Response:
        """List a product."""
        asked = ProductListing(data=request.data)
        asked.is_valid(raise_exception=True)
        product = services.list_product(**asked.validated_data)
        shown = queries.products().get(pk=product.sku)
        return Response(
            ProductShown(shown).data,
            status.HTTP_201_CREATED,
            headers={"Location": reverse("product", [product.sku], request=request)},
        )


class OneProduct(APIView):
    """One product; operators reprice and retire it."""

    permission_classes = [OperatorsWrite]

    @extend_schema(responses=ProductShown)
    def get(self, request: Request, sku: str) -> Response:
        """Show a product, and count the view."""
        product: Any = queries.one_product(sku)
        if product is None:
            raise Http404
        services.note_view(sku)
        return Response(ProductShown(product).data)

    @extend_schema(request=ProductChange, responses=ProductShown)
    def patch(self, request: Request, sku: str) -> Response:
        """Give a product another price, or take it off sale."""
        generics.get_object_or_404(Product, pk=sku)
        asked = ProductChange(data=request.data)
        asked.is_valid(raise_exception=True)
        if "unit_price" in asked.validated_data:
            services.reprice_product(sku, asked.validated_data["unit_price"])
        if "active" in asked.validated_data:
            services.retire_product(sku)
        return Response(ProductShown(queries.products().get(pk=sku)).data)


def _mine(request: Request) -> QuerySet[Order]:
    if request.user.is_staff:
        return queries.all_orders()
    return queries.orders_of(_customer(request))


def _customer(request: Request) -> UUID:
    return cast(UUID, request.user.pk)


class Orders(generics.ListAPIView[Order]):
    """One's own orders; operators see all."""

    serializer_class = OrderShown
    queryset = Order.objects.none()
    throttle_scope = "checkout"

    def get_queryset(self) -> QuerySet[Order]:
        """Return what the caller may see."""
        return _mine(self.request)

    @extend_schema(request=OrderWanted, responses={201: OrderShown})
    def post(self, request: Request) -> Response:
        """Place an order. Goods and money follow; ask the order how it stands."""
        asked = OrderWanted(data=request.data)
        asked.is_valid(raise_exception=True)
        wanted = [services.Wanted(**line) for line in asked.validated_data["lines"]]
        order = services.place_order(_customer(request), wanted, asked.validated_data["country"])
        return Response(
            OrderShown(order).data,
            status.HTTP_201_CREATED,
            headers={"Location": reverse("order", [order.pk], request=request)},
        )


class OneOrder(APIView):
    """How an order stands."""

    @extend_schema(responses=OrderShown)
    def get(self, request: Request, order_id: UUID) -> Response:
        """Show an order; others' are not there."""
        return Response(OrderShown(generics.get_object_or_404(_mine(request), pk=order_id)).data)


class Overview(APIView):
    """An order with its goods, its payments and what its customer was told."""

    @extend_schema(responses=OrderOverview)
    def get(self, request: Request, order_id: UUID) -> Response:
        """Show all that is known of an order, and how fresh that is; others' are not there."""
        as_of = handled_until("orders")  # first: what is read after it is at least as fresh
        order = generics.get_object_or_404(_mine(request), pk=order_id)
        told = asdict(queries.told_of(order_id))
        return Response(OrderOverview({"as_of": as_of, "order": order, **told}).data)


class Cancellation(APIView):
    """The end of an order, on request."""

    @property
    def moves_money(self) -> bool:
        """Know that what was paid is refunded."""
        mine = _mine(self.request).filter(pk=self.kwargs["order_id"])
        return mine.filter(status=Order.Status.PAID).exists()

    @extend_schema(request=CancellationWanted, responses={202: OrderShown})
    def post(self, request: Request, order_id: UUID) -> Response:
        """Cancel an order; what was paid is refunded."""
        generics.get_object_or_404(_mine(request), pk=order_id)
        asked = CancellationWanted(data=request.data)
        asked.is_valid(raise_exception=True)
        code = Order.Code.BY_OPERATOR if request.user.is_staff else Order.Code.BY_CUSTOMER
        services.withdraw_order(order_id, code, asked.validated_data["reason"])
        return Response(OrderShown(_mine(request).get(pk=order_id)).data, 202)
