"""Views of orders, for their customer and for operators."""

from dataclasses import asdict
from typing import cast
from uuid import UUID

from django.db.models import QuerySet
from drf_spectacular.utils import extend_schema
from rest_framework import generics, status
from rest_framework.request import Request
from rest_framework.response import Response
from rest_framework.reverse import reverse
from rest_framework.views import APIView

from eventbus.operations.freshness import handled_until
from orders import queries, services
from orders.models import Order
from orders.serializers import (
    CancellationWanted,
    OrderOverview,
    OrderShown,
    OrderWanted,
)


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
