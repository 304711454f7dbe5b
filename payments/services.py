"""What payments does. Each function is one transaction, which locks the bill first;
`take_money` and `give_back` talk to the bank between theirs, and return what to record of it."""

import datetime as dt
from collections.abc import Callable
from decimal import Decimal
from functools import partial
from uuid import UUID

from django.conf import settings
from django.db import transaction
from django.utils import timezone

from eventbus import Event, TryLater, clock, publish
from payments import errors, gateway
from payments.events import PinTimedOut
from payments.gateway import Verdict
from payments.models import Bill, Payment

Record = Callable[[], None]

TOO_LATE = "The goods were not held long enough to take the money."


@transaction.atomic
def expect_payment(
    order_id: UUID, customer_id: UUID, amount: Decimal, currency: str, country: str
) -> None:
    """Write the bill of an order; one cancelled before stays cancelled."""
    bill = Bill(
        order_id=order_id,
        customer_id=customer_id,
        amount=amount,
        currency=currency,
        country=country,
    )
    Bill.objects.bulk_create(
        [bill],
        update_conflicts=True,
        unique_fields=["order_id"],
        update_fields=["amount", "currency", "country"],
    )


@transaction.atomic
def cancel_bill(order_id: UUID, customer_id: UUID, reason: str) -> None:
    """Want no money for an order any more, known or not, and give back what came."""
    known = Bill.objects.select_for_update().filter(pk=order_id).first()
    bill = known or Bill(order_id=order_id, customer_id=customer_id)
    if bill.cancelled:
        return
    bill.cancel(reason)
    bill.save()
    for payment in Payment.objects.filter(order_id=order_id, status__in=Payment.LIVE):
        _save(payment, payment.let_go(bill.reason))


@transaction.atomic
def request_payment(
    order_id: UUID, customer_id: UUID, card: str, paid_at: dt.datetime | None = None
) -> Payment:
    """Begin to take the money of an order; `paid_at` is an imported sale's own time.

    Raises NoSuchOrder, SaleIsOff, AlreadyBeingPaid.
    """
    bill = Bill.objects.select_for_update().filter(pk=order_id, customer_id=customer_id).first()
    if bill is None:
        raise errors.NoSuchOrder
    if bill.cancelled:
        raise errors.SaleIsOff
    live = Payment.objects.filter(order_id=order_id, status__in=Payment.LIVE).first()
    if live:
        raise errors.AlreadyBeingPaid(payment_id=live.pk)
    payment = bill.charge(card, timezone.now(), paid_at)
    _ask_stock(payment)
    return payment


def _ask_stock(payment: Payment) -> None:
    payment.question = publish(payment.pin_requested())
    alarm = PinTimedOut(payment_id=payment.id, question=payment.question)
    publish(alarm, due=settings.PAYMENTS["PIN_TIMEOUT"])
    payment.save()


@transaction.atomic
def time_out(payment_id: UUID, question: UUID) -> None:
    """Decline a payment whose question was never answered."""
    unanswered = Payment.objects.filter(pk=payment_id, question=question, pinned_until=None)
    if not unanswered.filter(status=Payment.Status.REQUESTED).exists():
        return  # for good, so most alarms need no lock
    _, payment = _locked(payment_id)
    if payment.awaits(question) and payment.pinned_until is None:
        _save(payment, payment.drop("Stock did not answer in time."))


@transaction.atomic
def decline_unpinned(payment_id: UUID, question: UUID | None, reason: str) -> None:
    """Decline a payment whose goods will not stay."""
    _, payment = _locked(payment_id)
    if payment.awaits(question):
        _save(payment, payment.drop(reason))


@transaction.atomic
def release_payment(payment_id: UUID, operator: str) -> Payment:
    """Go on with a held payment on an operator's word. Raises NotHeld."""
    payment = _held(payment_id)
    payment.release(f"released by {operator}")
    _ask_stock(payment)
    return payment


@transaction.atomic
def refuse_payment(payment_id: UUID, operator: str) -> Payment:
    """End a held payment, and with it the order, on an operator's word. Raises NotHeld."""
    payment = _held(payment_id)
    payment.verdict = f"refused by {operator}"
    _save(payment, payment.drop("The payment was refused.", final=True))
    return payment


def _held(payment_id: UUID) -> Payment:
    _, payment = _locked(payment_id)
    if payment.status != Payment.Status.HELD:
        raise errors.NotHeld(payment_id=payment_id, status=payment.status)
    return payment


def take_money(payment_id: UUID, question: UUID | None, until: dt.datetime) -> Record | None:
    """Take the money while the goods stay. The fraud check comes first, then the bank.

    Nothing is asked where the answer came too late, or to an old question.
    """
    payment = _pinned(payment_id, question, until)
    if payment is None:
        return None
    verdict = Verdict("go", payment.verdict) if payment.verdict else _judge(payment)
    if verdict.outcome != "go":
        return partial(_stop, payment_id, question, verdict)
    payment = _about_to_ask(payment_id, question, until, verdict)
    return _capture(payment) if payment else None


@transaction.atomic
def _pinned(payment_id: UUID, question: UUID | None, until: dt.datetime) -> Payment | None:
    """Note that stock answered: from here on the alarm does not end the payment, we do."""
    _, payment = _locked(payment_id)
    if not payment.awaits(question) or _late(payment, until):
        return None
    payment.pinned_until = until
    payment.save()
    return payment


@transaction.atomic
def _about_to_ask(
    payment_id: UUID, question: UUID | None, until: dt.datetime, verdict: Verdict
) -> Payment | None:
    """Note, before it is asked, that the bank is: from here on only its answer counts."""
    _, payment = _locked(payment_id)
    if not payment.awaits(question) or _late(payment, until):
        return None
    payment.verdict = verdict.words
    payment.asked += 1
    payment.save()
    return payment


def _late(payment: Payment, until: dt.datetime) -> bool:
    """Decline where the goods will not stay as long as both calls may take."""
    # Once asked, the bank is asked on, however late: the money may have moved.
    seconds = settings.PAYMENTS["BANK_TIMEOUT"] + settings.PAYMENTS["FRAUD_TIMEOUT"]
    if payment.asked or until - clock.now() > dt.timedelta(seconds=seconds):
        return False
    _save(payment, payment.drop(TOO_LATE))
    return True


def _judge(payment: Payment) -> Verdict:
    bill = Bill.objects.get(pk=payment.order_id)
    desk, key = gateway.fraud_desk(), f"{payment.id}-assess"
    try:
        return desk.assess(key, payment.amount, payment.currency, payment.card, bill.country)
    except (TryLater, errors.NoClearAnswer):
        return _unjudged(payment.amount)


def _unjudged(amount: Decimal) -> Verdict:
    """Decide what holds while nobody can tell fraud: refuse, hold, or allow small amounts."""
    wish = settings.PAYMENTS["FRAUD_AWAY"]
    if wish == "refuse":
        return Verdict("refuse", "refused: fraud service away")
    if wish == "allow" and amount < Decimal(settings.PAYMENTS["FRAUD_ALLOW_BELOW"]):
        return Verdict("go", "allowed: fraud service away")
    return Verdict("hold", "held: fraud service away")


@transaction.atomic
def _stop(payment_id: UUID, question: UUID | None, verdict: Verdict) -> None:
    _, payment = _locked(payment_id)
    if not payment.awaits(question) or payment.asked:
        return
    if verdict.outcome == "hold":
        payment.hold(verdict.words)
        _save(payment, None)
    else:
        payment.verdict = verdict.words
        _save(payment, payment.drop("The payment was refused.", final=True))


def _capture(payment: Payment) -> Record:
    bank, key = gateway.bank(), f"{payment.id}-capture"
    try:
        reference = bank.capture(key, payment.amount, payment.currency, payment.card)
    except errors.CardDeclined as no:
        return partial(_note_declined, payment.id, str(no))
    except TryLater:
        _was_not_asked(payment.id)
        raise
    return partial(_note_captured, payment.id, reference)


@transaction.atomic
def _was_not_asked(payment_id: UUID) -> None:
    _, payment = _locked(payment_id)
    if payment.asked == 1:  # with more, an earlier call, or one beside us, may have reached it
        payment.asked = 0
        payment.save()


@transaction.atomic
def _note_declined(payment_id: UUID, reason: str) -> None:
    _, payment = _locked(payment_id)
    _save(payment, payment.decline(reason, final=True))


@transaction.atomic
def _note_captured(payment_id: UUID, reference: str) -> None:
    bill, payment = _locked(payment_id)
    fact = payment.capture(reference, timezone.now())
    _save(payment, fact)
    if fact and bill.cancelled:
        publish(payment.refund_due(bill.reason))


def give_back(payment_id: UUID, reason: str) -> Record | None:
    """Give captured money back."""
    payment = Payment.objects.get(pk=payment_id)
    if payment.status != Payment.Status.CAPTURED:
        return None
    bank, key = gateway.bank(), f"{payment.id}-refund"
    bank.refund(key, payment.bank_reference, payment.amount, payment.currency)
    return partial(_note_refunded, payment_id, reason)


@transaction.atomic
def _note_refunded(payment_id: UUID, reason: str) -> None:
    _, payment = _locked(payment_id)
    _save(payment, payment.refund(reason, timezone.now()))


def _locked(payment_id: UUID) -> tuple[Bill, Payment]:
    """Lock the bill, then read the payment: nobody changes one without the other's lock."""
    order_id = Payment.objects.filter(pk=payment_id).values("order_id")
    bill = Bill.objects.select_for_update().get(pk__in=order_id)
    return bill, Payment.objects.get(pk=payment_id)


def _save(payment: Payment, fact: Event | None) -> None:
    payment.version += 1
    payment.save()
    if fact:
        publish(fact, version=payment.version)
