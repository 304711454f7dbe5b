"""Views of orders: the catalogue for all callers, an order for its customer and for operators."""

from dataclasses import asdict
from typing import Any, cast
from uuid import UUID

from django.db.models import QuerySet
from django.http import Http404
from drf_spectacular.utils import extend_schema
from rest_framework import generics, status
from rest_framework.permissions import SAFE_METHODS, BasePermission, IsAdminUser
from rest_framework.request import Request
from rest_framework.response import Response
from rest_framework.reverse import reverse
from rest_framework.views import APIView

from eventbus.operations.freshness import handled_until
from orders import queries, services
from orders.models import Order, Product
from orders.serializers import (
    CancellationWanted,
    OrderOverview,
    OrderShown,
    OrderWanted,
    ProductChange,
    ProductListing,
    ProductShown,
)

# --- catalogue ----------------------------------------------------------------------------------


class IsOperatorOrReadOnly(BasePermission):
    """Every caller may read; operators may write."""

    def has_permission(self, request: Request, view: Any) -> bool:
        return request.method in SAFE_METHODS or IsAdminUser().has_permission(request, view)


class Products(generics.ListAPIView[Product]):
    """The catalogue, the most viewed product first. Operators add products."""

    permission_classes = [IsOperatorOrReadOnly]
    serializer_class = ProductShown
    queryset = Product.objects.none()

    def list(self, request: Request, *args: Any, **kwargs: Any) -> Response:
        """Return a page of the catalogue, from the cache."""
        page: Any = self.paginate_queryset(queries.Catalogue())  # type: ignore[arg-type]
        return self.get_paginated_response(ProductShown(page, many=True).data)

    @extend_schema(request=ProductListing, responses={201: ProductShown})
    def post(self, request: Request) -> Response:
        """List a product for sale."""
        body = ProductListing(data=request.data)
        body.is_valid(raise_exception=True)
        product = services.list_product(**body.validated_data)
        return Response(
            _product(product.sku),
            status.HTTP_201_CREATED,
            headers={"Location": reverse("product", [product.sku], request=request)},
        )


class OneProduct(APIView):
    """One product. Operators change its price and retire it."""

    permission_classes = [IsOperatorOrReadOnly]

    @extend_schema(responses=ProductShown)
    def get(self, request: Request, sku: str) -> Response:
        """Return a product, and count the view."""
        product: Any = queries.cached_product(sku)
        if product is None:
            raise Http404
        services.count_view(sku)
        return Response(ProductShown(product).data)

    @extend_schema(request=ProductChange, responses=ProductShown)
    def patch(self, request: Request, sku: str) -> Response:
        """Change the price of a product, or retire it."""
        generics.get_object_or_404(Product, pk=sku)
        body = ProductChange(data=request.data)
        body.is_valid(raise_exception=True)
        if "unit_price" in body.validated_data:
            services.reprice_product(sku, body.validated_data["unit_price"])
        if "active" in body.validated_data:
            services.retire_product(sku)
        return Response(_product(sku))


def _product(sku: str) -> dict[str, Any]:
    return ProductShown(queries.products().get(pk=sku)).data


# --- orders -------------------------------------------------------------------------------------


def _visible_orders(request: Request) -> QuerySet[Order]:
    if request.user.is_staff:
        return queries.all_orders()
    return queries.orders_of(_customer_id(request))


def _customer_id(request: Request) -> UUID:
    return cast(UUID, request.user.pk)


class Orders(generics.ListAPIView[Order]):
    """The caller's orders; operators see all orders."""

    serializer_class = OrderShown
    queryset = Order.objects.none()
    throttle_scope = "checkout"

    def get_queryset(self) -> QuerySet[Order]:
        return _visible_orders(self.request)

    @extend_schema(request=OrderWanted, responses={201: OrderShown})
    def post(self, request: Request) -> Response:
        """Place an order. Reservation and payment follow; poll the order for its status."""
        body = OrderWanted(data=request.data)
        body.is_valid(raise_exception=True)
        lines = [services.RequestedLine(**line) for line in body.validated_data["lines"]]
        order = services.place_order(_customer_id(request), lines, body.validated_data["country"])
        return Response(
            OrderShown(order).data,
            status.HTTP_201_CREATED,
            headers={"Location": reverse("order", [order.pk], request=request)},
        )


class OneOrder(APIView):
    """One order and its status."""

    @extend_schema(responses=OrderShown)
    def get(self, request: Request, order_id: UUID) -> Response:
        """Return an order; 404 for an order of another customer."""
        order = generics.get_object_or_404(_visible_orders(request), pk=order_id)
        return Response(OrderShown(order).data)


class Overview(APIView):
    """An order with its stock, its payments and the messages to its customer."""

    @extend_schema(responses=OrderOverview)
    def get(self, request: Request, order_id: UUID) -> Response:
        """Return all that is known of an order and how fresh it is; 404 for another customer's."""
        as_of = handled_until("orders")  # first: what is read after it is at least as fresh
        order = generics.get_object_or_404(_visible_orders(request), pk=order_id)
        overview = asdict(queries.overview_of(order_id))
        return Response(OrderOverview({"as_of": as_of, "order": order, **overview}).data)


class Cancellation(APIView):
    """The cancellation of an order on request."""

    @property
    def moves_money(self) -> bool:
        """Whether cancelling refunds a payment, which requires an idempotency key."""
        orders = _visible_orders(self.request).filter(pk=self.kwargs["order_id"])
        return orders.filter(status=Order.Status.PAID).exists()

    @extend_schema(request=CancellationWanted, responses={202: OrderShown})
    def post(self, request: Request, order_id: UUID) -> Response:
        """Cancel an order; a captured payment is refunded."""
        generics.get_object_or_404(_visible_orders(request), pk=order_id)
        body = CancellationWanted(data=request.data)
        body.is_valid(raise_exception=True)
        code = Order.Code.BY_OPERATOR if request.user.is_staff else Order.Code.BY_CUSTOMER
        services.cancel_on_request(order_id, code, body.validated_data["reason"])
        return Response(OrderShown(_visible_orders(request).get(pk=order_id)).data, 202)
