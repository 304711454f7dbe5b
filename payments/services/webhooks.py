"""What the bank says unasked: kept so that it counts once, and only as a reason to ask."""

import datetime as dt
from collections.abc import Mapping
from uuid import UUID

import structlog
from django.db import transaction
from django.utils import timezone

from eventbus import publish
from payments import gateway
from payments.events import BankAnswerDue
from payments.gateway import Hint
from payments.models import Payment, Webhook

log = structlog.get_logger(__name__)

KEPT = dt.timedelta(days=30)  # longer than any provider goes on repeating a call
SWEPT = 100  # old rows at a time


def hear_webhook(provider: str, raw: bytes, headers: Mapping[str, str]) -> None:
    """Take a call of the bank's, once. Raises NoSuchProvider, BadWebhook."""
    _take(provider, gateway.hint_in(provider, raw, headers))


@transaction.atomic
def _take(provider: str, hint: Hint) -> None:
    payment = _meant(hint)
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
        _forget_old()
        _follow(payment, hint, mismatch)


def _follow(payment: Payment | None, hint: Hint, mismatch: str) -> None:
    if payment is None:
        log.info("webhook about no payment of ours", webhook=hint.id, kind=hint.kind)
    elif mismatch:
        log.error("webhook and payment differ", payment=str(payment.pk), webhook_says=mismatch)
    else:
        publish(BankAnswerDue(payment_id=payment.pk, round=0, reference=hint.reference))


def _mismatch(payment: Payment | None, hint: Hint) -> str:
    """Compare the sums, where the webhook names one."""
    if payment is None or hint.amount is None:
        return ""
    return payment.differs(hint.amount, hint.currency)


def _meant(hint: Hint) -> Payment | None:
    """Find the payment by the key of its capture, else by what the bank calls it."""
    try:
        return Payment.objects.filter(pk=UUID(hint.key.removesuffix("-capture"))).first()
    except ValueError:
        known = Payment.objects.filter(bank_reference=hint.reference) if hint.reference else None
        return known.first() if known else None


def _forget_old() -> None:
    """Sweep a few rows that nobody repeats any more; what another call sweeps is left to it."""
    old = Webhook.objects.filter(received_at__lt=timezone.now() - KEPT).order_by("pk")
    rows = old.select_for_update(skip_locked=True)[:SWEPT]
    Webhook.objects.filter(pk__in=[row.pk for row in rows]).delete()
