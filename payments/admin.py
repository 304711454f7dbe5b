"""The admin of payments, read-only; operators release or refuse held payments here."""

from collections.abc import Callable

from django.contrib import admin, messages
from django.db.models import QuerySet
from django.http import HttpRequest

from eventbus import acting_as, origin
from infra.admin import ReadOnlyAdmin
from payments import services
from payments.errors import NotHeld
from payments.models import Bill, Payment, Webhook


@admin.register(Bill)
class BillAdmin(ReadOnlyAdmin):
    list_display = ["order_id", "state", "amount", "currency", "country"]
    list_filter = ["state", "currency"]
    search_fields = ["=order_id", "=customer_id"]


@admin.register(Payment)
class PaymentAdmin(ReadOnlyAdmin):
    list_display = [
        "id",
        "status",
        "amount",
        "currency",
        "verdict",
        "reason",
        "capture_attempts",
        "mismatch",
        "requested_at",
    ]
    list_filter = ["status", ("mismatch", admin.EmptyFieldListFilter), "currency", "verdict"]
    search_fields = ["=id", "=order_id", "=customer_id", "=bank_reference"]
    date_hierarchy = "requested_at"
    actions = ["release", "refuse"]

    def has_decide_permission(self, request: HttpRequest) -> bool:
        # Payments are read-only, so the permission to change them is free to mean this.
        return request.user.has_perm("payments.change_payment")

    @admin.action(description="Release held payments", permissions=["decide"])
    def release(self, request: HttpRequest, payments: QuerySet[Payment]) -> None:
        _decide(request, payments, services.release_payment, "was released")

    @admin.action(description="Refuse held payments", permissions=["decide"])
    def refuse(self, request: HttpRequest, payments: QuerySet[Payment]) -> None:
        _decide(request, payments, services.refuse_payment, "was refused")


@admin.register(Webhook)
class WebhookAdmin(ReadOnlyAdmin):
    list_display = ["received_at", "provider", "kind", "payment_id", "mismatch"]
    list_filter = ["provider", ("mismatch", admin.EmptyFieldListFilter), "kind"]
    search_fields = ["=webhook_id", "=payment_id"]
    date_hierarchy = "received_at"


def _decide(
    request: HttpRequest,
    payments: QuerySet[Payment],
    decide: Callable[..., Payment],
    result: str,
) -> None:
    with acting_as(f"operator:{request.user.pk}", origin().correlation):
        for payment in payments:
            try:
                decide(payment.pk, operator=str(request.user))
            except NotHeld as error:
                messages.warning(request, str(error))
            else:
                messages.success(request, f"{payment} {result}.")
