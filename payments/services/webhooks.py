"""Webhooks of banks: each counts once, and only as a reason to ask the bank."""

import datetime as dt
from collections.abc import Mapping
from uuid import UUID

import structlog
from django.utils import timezone

from eventbus import publish
from infra.transactions import atomic
from payments import gateway
from payments.events import BankAnswerDue
from payments.gateway import Hint
from payments.models import Payment, Webhook

log = structlog.get_logger(__name__)

RETENTION = dt.timedelta(days=30)  # longer than any provider repeats a webhook
DELETE_AT_ONCE = 100  # rows


def receive_webhook(provider: str, raw: bytes, headers: Mapping[str, str]) -> None:
    """Check and record a webhook, once. Raises NoSuchProvider, BadWebhook."""
    _record(provider, gateway.read_webhook(provider, raw, headers))


@atomic
def _record(provider: str, hint: Hint) -> None:
    payment = _payment_of(hint)
    mismatch = _mismatch(payment, hint)
    _, new = Webhook.objects.get_or_create(
        provider=provider,
        webhook_id=hint.id,
        defaults={
            "kind": hint.kind[:100],
            "payment_id": payment.pk if payment else None,
            "mismatch": mismatch,
            "received_at": timezone.now(),
        },
    )
    if new:
        _delete_old()
        _follow(payment, hint, mismatch)


def _follow(payment: Payment | None, hint: Hint, mismatch: str) -> None:
    if payment is None:
        log.info("webhook about an unknown payment", webhook=hint.id, kind=hint.kind)
    elif mismatch:
        log.error("webhook and payment differ", payment=str(payment.pk), webhook=mismatch)
    else:
        publish(BankAnswerDue(payment_id=payment.pk, round=0, reference=hint.reference))


def _mismatch(payment: Payment | None, hint: Hint) -> str:
    if payment is None or hint.amount is None:
        return ""
    return payment.difference(hint.amount, hint.currency)


def _payment_of(hint: Hint) -> Payment | None:
    """Find the payment by the key of its capture, else by the bank's reference."""
    try:
        return Payment.objects.filter(pk=UUID(hint.key.removesuffix("-capture"))).first()
    except ValueError:
        known = Payment.objects.filter(bank_reference=hint.reference) if hint.reference else None
        return known.first() if known else None


def _delete_old() -> None:
    old = Webhook.objects.filter(received_at__lt=timezone.now() - RETENTION).order_by("pk")
    # Rows that another request deletes are left to it.
    rows = old.select_for_update(skip_locked=True)[:DELETE_AT_ONCE]
    Webhook.objects.filter(pk__in=[row.pk for row in rows]).delete()
