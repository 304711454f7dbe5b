"""A plain shop: a REST framework view that inserts rows, behind Django's own middleware.

It writes the same rows as a checkout of Kabar, without rate limits, keys and contracts.
"""

import json
from collections.abc import Callable
from decimal import Decimal
from typing import Any, cast
from uuid import UUID

from django.db import connection, transaction
from django.http import HttpRequest, HttpResponse
from django.urls import path
from django.utils import timezone
from rest_framework import serializers
from rest_framework.exceptions import ValidationError
from rest_framework.request import Request
from rest_framework.response import Response
from rest_framework.views import APIView

from eventbus.models import Outbox
from infra.ids import new_id
from orders.models import Order, OrderLine, Product

MIDDLEWARE = [
    "tools.bench.plain_django.OwnRoutes",
    "django.middleware.security.SecurityMiddleware",
    "django.contrib.sessions.middleware.SessionMiddleware",
    "django.middleware.common.CommonMiddleware",
    "django.middleware.csrf.CsrfViewMiddleware",
    "django.contrib.auth.middleware.AuthenticationMiddleware",
    "django.contrib.messages.middleware.MessageMiddleware",
    "django.middleware.clickjacking.XFrameOptionsMiddleware",
]

EVENT = """
    INSERT INTO eventbus_event (id, name, aggregate, payload, correlation, traceparent, tracestate,
                                actor)
    VALUES (%s, 'orders.OrderPlaced', '', %s, %s, '', '', '')
"""


class OwnRoutes:
    """Sets the routes of this module in a process that has the shop's."""

    def __init__(self, answer: Callable[[HttpRequest], HttpResponse]) -> None:
        self.answer = answer

    def __call__(self, request: HttpRequest) -> HttpResponse:
        request.urlconf = __name__
        return self.answer(request)


class LineRequest(serializers.Serializer[Any]):
    """A line of the request."""

    sku = serializers.CharField(max_length=40)
    quantity = serializers.IntegerField(min_value=1)


class OrderRequest(serializers.Serializer[Any]):
    """The request."""

    lines = LineRequest(many=True)
    country = serializers.CharField(max_length=2)


class LineResponse(serializers.ModelSerializer[OrderLine]):
    """A line of the response."""

    class Meta:
        model = OrderLine
        fields = ["sku", "name", "quantity", "unit_price"]


class OrderResponse(serializers.ModelSerializer[Order]):
    """The response."""

    lines = LineResponse(many=True)

    class Meta:
        model = Order
        fields = ["id", "customer_id", "status", "lines", "total", "currency", "placed_at"]


class Orders(APIView):
    """Places orders."""

    throttle_classes = []

    @transaction.atomic
    def post(self, request: Request) -> Response:
        """Insert order, lines, event and outbox row."""
        received = OrderRequest(data=request.data)
        received.is_valid(raise_exception=True)
        wanted = received.validated_data["lines"]
        products = Product.objects.in_bulk({line["sku"] for line in wanted})
        if not all(line["sku"] in products for line in wanted):
            raise ValidationError("There is no such product.")
        lines = [_line(at, line, products[line["sku"]]) for at, line in enumerate(wanted)]
        order = Order.objects.create(
            customer_id=cast(UUID, request.user.pk),
            country=received.validated_data["country"],
            currency=products[wanted[0]["sku"]].currency,
            total=sum((line.amount for line in lines), Decimal()),
            placed_at=timezone.now(),
        )
        for line in lines:
            line.order = order
        OrderLine.objects.bulk_create(lines)
        response = OrderResponse(order).data
        payload = {"order_id": str(order.pk), "lines": list(map(dict, response["lines"]))}
        with connection.cursor() as cursor:
            # Django would write NULL into the column that the database fills.
            cursor.execute(EVENT, [event := new_id(), json.dumps(payload), new_id()])
        Outbox.objects.create(event_id=event)
        return Response(response, 201)


def _line(at: int, line: dict[str, Any], product: Product) -> OrderLine:
    return OrderLine(position=at, name=product.name, unit_price=product.unit_price, **line)


urlpatterns = [path("v1/orders", Orders.as_view())]
