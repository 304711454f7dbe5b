"""A capture of unknown outcome: the bank is asked about it until it is known."""

import datetime as dt
from decimal import Decimal

import pytest

from eventbus.models import DeadLetter, Retry, Scheduled
from eventbus.testing import hear, said
from infra import clock
from payments import gateway, services
from payments.errors import NoClearAnswer
from payments.events import (
    BankAnswerDue,
    PaymentCaptured,
    PaymentDeclined,
    PaymentRefunded,
    RefundDue,
)
from payments.gateway.in_memory import Response
from payments.models import Payment
from tests.payments.conftest import (
    SARI,
    cancel_order,
    new_payment,
    pin,
    reconcile,
    reload,
    reply,
    retry_failed,
)

PRICE = Decimal("20.00")


def published(kind: type) -> list[object]:
    return [fact for fact in said("payments") if isinstance(fact, kind)]


def later(**span: float) -> None:
    clock.offset += dt.timedelta(**span)


def unclear(*_: object) -> None:
    raise NoClearAnswer(service="The bank", problem="timed out")


def receive_hint(payment: Payment) -> None:
    """Let a webhook ask for a reconciliation."""
    reply(BankAnswerDue(payment_id=payment.id, round=0), None)


def pause() -> dt.timedelta:
    (timer,) = Scheduled.objects.filter(name="payments.BankAnswerDue")
    return timer.due_at - clock.now()


@pytest.fixture
def lost(bank) -> Payment:
    """A payment whose capture got lost on the way to the bank: no answer, and no money."""
    payment = new_payment()
    bank.during_call = unclear
    pin(payment)
    bank.during_call = lambda: None
    assert (reload(payment).status, bank.movements) == ("requested", [])
    return payment


def test_a_capture_without_an_answer_is_found(bank):
    payment = new_payment("tok_slow")
    pin(payment)
    reconcile()

    assert reload(payment).status == "captured"
    assert reload(payment).bank_reference == bank.ledger[0].reference
    assert [m.key for m in bank.ledger] == [f"{payment.id}-capture"]
    assert len(published(PaymentCaptured)) == 1


def test_a_decline_without_an_answer_is_found(bank, monkeypatch):
    payment = new_payment("tok_insufficient_funds")
    take = bank.capture
    monkeypatch.setattr(bank, "capture", lambda *request: unclear(take(*request)))
    pin(payment)
    assert reload(payment).status == "requested"
    reconcile()

    (fact,) = published(PaymentDeclined)
    assert (fact.reason, fact.final) == ("insufficient funds", True)


def test_not_captured_while_the_goods_are_pinned_it_is_sent_again_with_the_same_key(bank, lost):
    reconcile()

    assert reload(lost).status == "captured"
    assert [m.key for m in bank.ledger] == [f"{lost.id}-capture"]


def test_not_captured_it_ends_only_when_no_request_can_be_in_transit(bank, lost):
    later(minutes=3)
    reconcile()
    assert reload(lost).status == "requested"

    later(minutes=8)
    reconcile()

    (fact,) = published(PaymentDeclined)
    assert (fact.reason, fact.final) == ("The bank did not take the money.", False)
    assert bank.movements == []


def test_not_captured_and_cancelled_no_capture_is_sent(bank, lost):
    cancel_order(lost.order_id)
    reconcile()
    assert (reload(lost).status, reload(lost).capture_attempts) == ("requested", 1)

    later(minutes=11)
    reconcile()
    assert (reload(lost).status, bank.movements) == ("declined", [])


def test_a_capture_that_arrives_late_at_the_bank_is_found(bank, lost):
    later(minutes=3)
    reconcile()
    bank.capture(f"{lost.id}-capture", lost.amount, lost.currency, lost.card)  # it was in transit
    reconcile()
    assert reload(lost).status == "captured"


def test_while_unknown_the_bank_is_asked_again_with_growing_pauses(bank, lost, settings):
    bank.during_query = unclear
    pauses = [pause()]
    for _ in range(14):
        gateway.BANK_BREAKER.close()
        reconcile()
        pauses.append(pause())

    seconds = [round(pause.total_seconds()) for pause in pauses]
    assert seconds == [2, 4, 8, 16, 32, 64, 128, 256, 512, *[900] * 6]
    assert reload(lost).status == "requested"
    assert not Retry.objects.exists() and not DeadLetter.objects.exists()

    bank.during_query = lambda: None
    later(minutes=20)
    reconcile()
    assert reload(lost).status == "declined"


def test_pauses_do_not_overflow_after_a_year(bank, lost):
    bank.during_query = unclear
    services.reconcile_capture(lost.id, 40_000)()
    assert Scheduled.objects.filter(name="payments.BankAnswerDue").count() == 2


def test_a_pending_capture_is_asked_about_again(bank, lost, monkeypatch):
    charge = {"state": "pending", "amount": "20.00", "currency": "EUR"}
    monkeypatch.setattr(bank, "charge_of", lambda key: Response(200, charge))
    later(hours=1)
    reconcile()
    assert reload(lost).status == "requested"
    assert pause() > dt.timedelta(seconds=1)


def test_the_timer_of_an_ended_payment_asks_no_bank(bank, lost):
    reconcile()
    bank.during_query = unclear
    hear("payments.BankAnswerDue", payment_id=lost.id, round=1, reference="")


@pytest.mark.parametrize("change", [{"amount": "19.00"}, {"currency": "IDR"}, {"amount": "2000"}])
@pytest.mark.parametrize("state", ["captured", "declined", "refunded"])
def test_another_amount_changes_nothing_and_is_shown(
    bank, lost, monkeypatch, state, change, capsys
):
    charge = {"state": state, "reference": "r", "amount": "20.00", "currency": "EUR", **change}
    monkeypatch.setattr(bank, "charge_of", lambda key: Response(200, charge))
    reconcile()

    payment = reload(lost)
    assert payment.status == "requested"
    assert payment.mismatch.endswith("not 20.00 EUR")
    assert published(PaymentCaptured) == published(PaymentDeclined) == []
    assert pause()


def test_an_amount_that_the_bank_corrects_is_accepted(bank, lost, monkeypatch):
    charge = {"state": "captured", "reference": "r", "amount": "1.00", "currency": "EUR"}
    monkeypatch.setattr(bank, "charge_of", lambda key: Response(200, charge))
    reconcile()
    charge["amount"] = "20.00"
    reconcile()
    assert (reload(lost).status, reload(lost).mismatch) == ("captured", "")


# --- after a webhook -----------------------------------------------------------------------------
def test_a_webhook_before_the_reconciliation_captures_once(bank):
    payment = new_payment("tok_slow")
    pin(payment)
    receive_hint(payment)
    reconcile()
    assert reload(payment).status == "captured"
    assert len(published(PaymentCaptured)) == 1


def test_a_webhook_about_a_payment_the_bank_does_not_know_changes_nothing(bank):
    payment = new_payment()
    receive_hint(payment)
    assert reload(payment).status == "requested"


def test_refunded_before_it_was_known_to_be_captured(bank):
    payment = new_payment("tok_slow")
    pin(payment)
    bank.refund("by hand", bank.ledger[0].reference, PRICE, "EUR")
    receive_hint(payment)

    assert reload(payment).status == "refunded"
    assert [len(published(kind)) for kind in (PaymentCaptured, PaymentRefunded)] == [1, 1]


def test_a_refund_made_at_the_bank_is_recorded_and_not_made_again(bank):
    payment = new_payment()
    pin(payment)
    bank.refund("by hand", bank.ledger[0].reference, PRICE, "EUR")
    receive_hint(payment)
    receive_hint(payment)
    cancel_order(payment.order_id)

    assert reload(payment).status == "refunded"
    assert len(published(PaymentRefunded)) == 1
    assert [m.kind for m in bank.ledger] == ["capture", "refund"]


def test_a_partial_refund_made_at_the_bank_changes_nothing(bank):
    payment = new_payment()
    pin(payment)
    bank.refund("by hand", bank.ledger[0].reference, Decimal("5.00"), "EUR")
    receive_hint(payment)
    assert reload(payment).status == "captured"


def test_money_that_arrives_after_a_payment_ended_is_refunded(bank, lost):
    # given: no money arrived, and the customer pays again
    later(minutes=11)
    reconcile()
    again = services.request_payment(lost.order_id, SARI, "tok_ok")
    pin(again)
    assert (reload(lost).status, reload(again).status) == ("declined", "captured")

    # when: the first request reaches the bank after all
    bank.capture(f"{lost.id}-capture", lost.amount, lost.currency, lost.card)
    receive_hint(lost)
    receive_hint(lost)
    (due,) = published(RefundDue)
    for _ in range(2):
        hear("payments.RefundDue", payment_id=due.payment_id, reason=due.reason)
    receive_hint(lost)

    # then
    assert due.payment_id == lost.id
    assert (reload(lost).status, reload(again).status) == ("declined", "captured")
    assert reload(lost).refunded_at
    assert [m.key for m in bank.ledger if m.kind == "refund"] == [f"{lost.id}-refund"]
    assert len(published(PaymentCaptured)) == 1 and not published(PaymentRefunded)


def test_a_webhook_while_the_bank_is_unavailable_is_not_lost(bank):
    payment = new_payment("tok_slow")
    pin(payment)
    Scheduled.objects.all().delete()
    bank.during_query = unclear
    receive_hint(payment)
    assert (reload(payment).status, Retry.objects.get().attempts) == ("requested", 1)

    bank.during_query = lambda: None
    retry_failed()
    assert reload(payment).status == "captured"
