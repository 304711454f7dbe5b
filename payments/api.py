"""The API of payments: a customer's payments, paying an order, and webhooks of banks."""

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

MAX_WAIT = 1.0  # seconds for `OrderPlaced` to arrive here
POLL_INTERVAL = 0.05  # seconds
MAX_WEBHOOK_BYTES = 256 * 1024


class OrderNotFound(NotFound):
    """The order does not exist, or `OrderPlaced` has not arrived yet: Retry-After is set."""

    default_detail = "There is no such order, or it is not known here yet; try again in a moment."
    wait = 1  # seconds; the exception handler sets Retry-After


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
    """Amount and currency are those of the order."""

    order_id = serializers.UUIDField()
    card = serializers.RegexField(
        r"^(tok|pm)_[A-Za-z0-9_]+$", max_length=64, help_text="the bank's token for a card"
    )


class Payments(generics.ListAPIView[Payment]):
    """Your payments, the latest first."""

    queryset = Payment.objects.none()
    moves_money = True
    throttle_scope = "payment"

    def initial(self, request: Request, *args: Any, **kwargs: Any) -> None:
        """Wait for the order to be known, before the transaction of `post` begins."""
        # Inside of it SQLite, which has one writer, could not record the order meanwhile.
        super().initial(request, *args, **kwargs)
        if request.method == "POST":
            data = PaymentWanted(data=request.data)
            if data.is_valid():  # else `post` answers with the errors
                _wait_for_order(data.validated_data["order_id"], _customer_id(request))

    def get_queryset(self) -> QuerySet[Payment]:
        return queries.payments_of(_customer_id(self.request))

    def get_serializer_class(self) -> Any:
        """Return the form for paying too, for the browsable page."""
        return PaymentWanted if self.request.method == "POST" else PaymentShown

    @extend_schema(responses=PaymentShown(many=True))
    def get(self, request: Request, *args: Any, **kwargs: Any) -> Response:
        """List your payments."""
        return super().get(request, *args, **kwargs)

    @extend_schema(request=PaymentWanted, responses={202: PaymentShown})
    def post(self, request: Request) -> Response:
        """Pay an order. The money is captured once the goods are reserved; `status` shows it."""
        data = PaymentWanted(data=request.data)
        data.is_valid(raise_exception=True)
        order_id, card = data.validated_data["order_id"], data.validated_data["card"]
        payment = services.request_payment(order_id, _customer_id(request), card)
        return Response(
            PaymentShown(payment).data,
            status.HTTP_202_ACCEPTED,
            headers={"Location": reverse("payment", [payment.pk], request=request)},
        )


class OnePayment(APIView):
    """One payment."""

    @extend_schema(responses=PaymentShown)
    def get(self, request: Request, payment_id: UUID) -> Response:
        """Show one of your payments; operators see the payments of all customers."""
        visible = (
            queries.all_payments()
            if request.user.is_staff
            else queries.payments_of(_customer_id(request))
        )
        return Response(PaymentShown(generics.get_object_or_404(visible, pk=payment_id)).data)


class Webhooks(APIView):
    """Webhooks of banks, which are authenticated by their signature."""

    authentication_classes = []
    permission_classes = [AllowAny]
    parser_classes = [JSONParser]

    @extend_schema(operation_id="call_shop", request=OpenApiTypes.OBJECT, responses={204: None})
    def post(self, request: Request, provider: str) -> Response:
        """Receive a webhook. A repeated one is accepted, and changes nothing."""
        if int(request.META.get("CONTENT_LENGTH") or 0) > MAX_WEBHOOK_BYTES:
            raise RequestDataTooBig
        # The bytes as they were sent: these are signed.
        raw = request._request.body
        with acting_as(f"provider:{provider}"[:100], origin().correlation):
            services.receive_webhook(provider, raw, request.headers)
        return Response(status=204)


def _customer_id(request: Request) -> UUID:
    customer_id = request.user.pk
    assert customer_id is not None, "IsAuthenticated refuses anonymous requests"
    return customer_id


def _wait_for_order(order_id: UUID, customer_id: UUID) -> None:
    # An order that was placed just now may not be known here yet. Raises OrderNotFound.
    deadline = time.monotonic() + MAX_WAIT
    while not queries.bill_exists(order_id, customer_id):
        if time.monotonic() > deadline:
            raise OrderNotFound
        time.sleep(POLL_INTERVAL)
