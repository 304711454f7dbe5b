"""What payments shows: each customer's own payments, and a way to pay."""

import time
from typing import Any
from uuid import UUID

from django.core.exceptions import RequestDataTooBig
from django.db.models import QuerySet
from drf_spectacular.types import OpenApiTypes
from drf_spectacular.utils import extend_schema
from rest_framework import generics, serializers, status
from rest_framework.exceptions import NotFound
from rest_framework.parsers import JSONParser
from rest_framework.permissions import AllowAny
from rest_framework.request import Request
from rest_framework.response import Response
from rest_framework.reverse import reverse
from rest_framework.views import APIView

from eventbus import acting_as, origin
from infra.serializers import StrictSerializer
from payments import queries, services
from payments.models import Payment

PATIENCE = 1.0  # seconds the news of an order may take to get here
MOST_BYTES = 256 * 1024  # of a webhook
GLANCE = 0.05  # seconds between two looks


class NotHeardOf(NotFound):
    """The order is not there, or its news is not here yet: ask again, the answer says when."""

    default_detail = "There is no such order here, or not yet."
    wait = 1  # seconds; the exception handler makes Retry-After of it


class PaymentShown(serializers.ModelSerializer[Payment]):
    class Meta:
        model = Payment
        fields = [
            "id",
            "order_id",
            "status",
            "amount",
            "currency",
            "reason",
            "requested_at",
            "captured_at",
            "refunded_at",
        ]
        read_only_fields = fields


class PaymentWanted(StrictSerializer):
    """Amount and currency are not asked for: payments knows them by the news."""

    order_id = serializers.UUIDField()
    card = serializers.RegexField(
        r"^(tok|pm)_[A-Za-z0-9_]+$", max_length=64, help_text="the bank's token for a card"
    )


class Payments(generics.ListAPIView[Payment]):
    """One's own payments, the latest first."""

    queryset = Payment.objects.none()
    moves_money = True
    throttle_scope = "payment"

    def initial(self, request: Request, *args: Any, **kwargs: Any) -> None:
        """Wait for an order's news before a transaction begins: SQLite has one writer."""
        super().initial(request, *args, **kwargs)
        if request.method == "POST":
            asked = PaymentWanted(data=request.data)
            if asked.is_valid():  # or `post` says what is wrong
                _await_news(asked.validated_data["order_id"], _customer(request))

    def get_queryset(self) -> QuerySet[Payment]:
        """Return the caller's."""
        return queries.payments_of(_customer(self.request))

    def get_serializer_class(self) -> Any:
        """Offer the browsable page the form for paying."""
        return PaymentWanted if self.request.method == "POST" else PaymentShown

    @extend_schema(responses=PaymentShown(many=True))
    def get(self, request: Request, *args: Any, **kwargs: Any) -> Response:
        """List one's own payments."""
        return super().get(request, *args, **kwargs)

    @extend_schema(request=PaymentWanted, responses={202: PaymentShown})
    def post(self, request: Request) -> Response:
        """Ask to pay. Money moves once the goods are sure; the payment says how it stands."""
        asked = PaymentWanted(data=request.data)
        asked.is_valid(raise_exception=True)
        order_id, customer_id = asked.validated_data["order_id"], _customer(request)
        payment = services.request_payment(order_id, customer_id, asked.validated_data["card"])
        return Response(
            PaymentShown(payment).data,
            status.HTTP_202_ACCEPTED,
            headers={"Location": reverse("payment", [payment.pk], request=request)},
        )


class OnePayment(APIView):
    """How a payment stands."""

    @extend_schema(responses=PaymentShown)
    def get(self, request: Request, payment_id: UUID) -> Response:
        """Show a payment; others' are not there, but for operators."""
        seen = (
            queries.all_payments()
            if request.user.is_staff
            else queries.payments_of(_customer(request))
        )
        return Response(PaymentShown(generics.get_object_or_404(seen, pk=payment_id)).data)


class Webhooks(APIView):
    """Where banks call. They prove who they are by signing what they say."""

    authentication_classes = []
    permission_classes = [AllowAny]
    parser_classes = [JSONParser]

    @extend_schema(operation_id="call_shop", request=OpenApiTypes.OBJECT, responses={204: None})
    def post(self, request: Request, provider: str) -> Response:
        """Take a webhook. The same one again is taken too, and changes nothing."""
        if int(request.META.get("CONTENT_LENGTH") or 0) > MOST_BYTES:
            raise RequestDataTooBig
        # As it was sent: what is signed are these bytes.
        raw = request._request.body
        with acting_as(f"provider:{provider}"[:100], origin().correlation):
            services.hear_webhook(provider, raw, request.headers)
        return Response(status=204)


def _customer(request: Request) -> UUID:
    customer = request.user.pk
    assert customer is not None, "IsAuthenticated lets nobody else in"
    return customer


def _await_news(order_id: UUID, customer_id: UUID) -> None:
    """Wait a little for an order placed just now; others' are never there. Raises NotHeardOf."""
    deadline = time.monotonic() + PATIENCE
    while not queries.bill_is_known(order_id, customer_id):
        if time.monotonic() > deadline:
            raise NotHeardOf
        time.sleep(GLANCE)
