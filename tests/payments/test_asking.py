"""A capture whose outcome nobody heard: the bank is asked what became of it, until it is known."""

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
from payments.gateway.fakes import Answer
from payments.models import Payment
from tests.payments.conftest import (
    SARI,
    answered,
    asked_again,
    cancelled,
    now,
    pinned,
    requested,
    retried,
)

PRICE = Decimal("20.00")


def facts(kind: type) -> list[object]:
    return [fact for fact in said("payments") if isinstance(fact, kind)]


def later(**span: float) -> None:
    clock.offset += dt.timedelta(**span)


def unclear(*_: object) -> None:
    raise NoClearAnswer(who="The bank", problem="timed out")


def hint(payment: Payment) -> None:
    """Let the bank say that something became of a payment."""
    answered(BankAnswerDue(payment_id=payment.id, round=0), None)


def pause() -> dt.timedelta:
    (alarm,) = Scheduled.objects.filter(name="payments.BankAnswerDue")
    return alarm.due_at - clock.now()


@pytest.fixture
def lost(bank) -> Payment:
    """A payment whose request got lost on the way: no answer, and no money."""
    payment = requested()
    bank.meanwhile = unclear
    pinned(payment)
    bank.meanwhile = lambda: None
    assert (now(payment).status, bank.moved) == ("requested", [])
    return payment


def test_captured_though_the_answer_was_not_heard(bank):
    payment = requested("tok_slow")
    pinned(payment)
    asked_again()

    assert now(payment).status == "captured"
    assert now(payment).bank_reference == bank.ledger[0].reference
    assert [m.key for m in bank.ledger] == [f"{payment.id}-capture"]
    assert len(facts(PaymentCaptured)) == 1


def test_declined_though_the_answer_was_not_heard(bank, monkeypatch):
    payment = requested("tok_insufficient_funds")
    take = bank.capture
    monkeypatch.setattr(bank, "capture", lambda *asked: unclear(take(*asked)))
    pinned(payment)
    assert now(payment).status == "requested"
    asked_again()

    (fact,) = facts(PaymentDeclined)
    assert (fact.reason, fact.final) == ("insufficient funds", True)


def test_not_captured_and_the_goods_stay_it_is_asked_for_again_with_the_same_key(bank, lost):
    asked_again()

    assert now(lost).status == "captured"
    assert [m.key for m in bank.ledger] == [f"{lost.id}-capture"]


def test_not_captured_and_the_goods_gone_it_ends_only_when_nothing_can_be_under_way(bank, lost):
    later(minutes=3)
    asked_again()
    assert now(lost).status == "requested"

    later(minutes=8)
    asked_again()

    (fact,) = facts(PaymentDeclined)
    assert (fact.reason, fact.final) == ("The bank did not take the money.", False)
    assert bank.moved == []


def test_not_captured_and_cancelled_no_money_is_asked_for(bank, lost):
    cancelled(lost.order_id)
    asked_again()
    assert (now(lost).status, now(lost).asked) == ("requested", 1)

    later(minutes=11)
    asked_again()
    assert (now(lost).status, bank.moved) == ("declined", [])


def test_what_arrives_while_nobody_can_know_is_found(bank, lost):
    later(minutes=3)
    asked_again()
    bank.capture(f"{lost.id}-capture", lost.amount, lost.currency, lost.card)  # it was under way
    asked_again()
    assert now(lost).status == "captured"


def test_still_unknown_it_is_asked_again_and_again_with_growing_pauses(bank, lost, settings):
    bank.while_asked = unclear
    pauses = [pause()]
    for _ in range(14):
        gateway.BANK.close()
        asked_again()
        pauses.append(pause())

    seconds = [round(pause.total_seconds()) for pause in pauses]
    assert seconds == [2, 4, 8, 16, 32, 64, 128, 256, 512, *[900] * 6]
    assert now(lost).status == "requested"
    assert not Retry.objects.exists() and not DeadLetter.objects.exists()

    bank.while_asked = lambda: None
    later(minutes=20)
    asked_again()
    assert now(lost).status == "declined"


def test_pauses_do_not_overflow_after_a_year(bank, lost):
    bank.while_asked = unclear
    services.ask_bank(lost.id, 40_000)()
    assert Scheduled.objects.filter(name="payments.BankAnswerDue").count() == 2


def test_the_bank_may_need_time(bank, lost, monkeypatch):
    told = {"state": "pending", "amount": "20.00", "currency": "EUR"}
    monkeypatch.setattr(bank, "charge_of", lambda key: Answer(200, told))
    later(hours=1)
    asked_again()
    assert now(lost).status == "requested"
    assert pause() > dt.timedelta(seconds=1)


def test_the_alarm_of_a_payment_that_is_over_asks_nobody(bank, lost):
    asked_again()
    bank.while_asked = unclear
    hear("payments.BankAnswerDue", payment_id=lost.id, round=1, reference="")


@pytest.mark.parametrize("told", [{"amount": "19.00"}, {"currency": "IDR"}, {"amount": "2000"}])
@pytest.mark.parametrize("state", ["captured", "declined", "refunded"])
def test_another_sum_changes_nothing_and_is_shown(bank, lost, monkeypatch, state, told, capsys):
    charge = {"state": state, "reference": "r", "amount": "20.00", "currency": "EUR", **told}
    monkeypatch.setattr(bank, "charge_of", lambda key: Answer(200, charge))
    asked_again()

    payment = now(lost)
    assert payment.status == "requested"
    assert payment.mismatch.endswith("not 20.00 EUR")
    assert facts(PaymentCaptured) == facts(PaymentDeclined) == []
    assert pause()


def test_what_the_bank_sets_right_is_taken_over(bank, lost, monkeypatch):
    charge = {"state": "captured", "reference": "r", "amount": "1.00", "currency": "EUR"}
    monkeypatch.setattr(bank, "charge_of", lambda key: Answer(200, charge))
    asked_again()
    charge["amount"] = "20.00"
    asked_again()
    assert (now(lost).status, now(lost).mismatch) == ("captured", "")


# --- hints ---------------------------------------------------------------------------------------
def test_a_hint_before_the_answer_is_heard_captures_once(bank):
    payment = requested("tok_slow")
    pinned(payment)
    hint(payment)
    asked_again()
    assert now(payment).status == "captured"
    assert len(facts(PaymentCaptured)) == 1


def test_a_hint_about_a_payment_the_bank_does_not_know_changes_nothing(bank):
    payment = requested()
    hint(payment)
    assert now(payment).status == "requested"


def test_refunded_before_it_was_known_to_be_captured(bank):
    payment = requested("tok_slow")
    pinned(payment)
    bank.refund("by hand", bank.ledger[0].reference, PRICE, "EUR")
    hint(payment)

    assert now(payment).status == "refunded"
    assert [len(facts(kind)) for kind in (PaymentCaptured, PaymentRefunded)] == [1, 1]


def test_a_refund_made_at_the_bank_is_heard_of_and_not_made_again(bank):
    payment = requested()
    pinned(payment)
    bank.refund("by hand", bank.ledger[0].reference, PRICE, "EUR")
    hint(payment)
    hint(payment)
    cancelled(payment.order_id)

    assert now(payment).status == "refunded"
    assert len(facts(PaymentRefunded)) == 1
    assert [m.kind for m in bank.ledger] == ["capture", "refund"]


def test_a_part_given_back_at_the_bank_changes_nothing(bank):
    payment = requested()
    pinned(payment)
    bank.refund("by hand", bank.ledger[0].reference, Decimal("5.00"), "EUR")
    hint(payment)
    assert now(payment).status == "captured"


def test_money_that_comes_after_a_payment_ended_goes_back(bank, lost):
    # given: nothing came, and the customer pays again
    later(minutes=11)
    asked_again()
    again = services.request_payment(lost.order_id, SARI, "tok_ok")
    pinned(again)
    assert (now(lost).status, now(again).status) == ("declined", "captured")

    # when: the first request comes through, after all that time
    bank.capture(f"{lost.id}-capture", lost.amount, lost.currency, lost.card)
    hint(lost)
    hint(lost)
    (due,) = facts(RefundDue)
    for _ in range(2):
        hear("payments.RefundDue", payment_id=due.payment_id, reason=due.reason)
    hint(lost)

    # then
    assert due.payment_id == lost.id
    assert (now(lost).status, now(again).status) == ("declined", "captured")
    assert now(lost).refunded_at
    assert [m.key for m in bank.ledger if m.kind == "refund"] == [f"{lost.id}-refund"]
    assert len(facts(PaymentCaptured)) == 1 and not facts(PaymentRefunded)


def test_a_hint_while_the_bank_is_away_is_not_lost(bank):
    payment = requested("tok_slow")
    pinned(payment)
    Scheduled.objects.all().delete()
    bank.while_asked = unclear
    hint(payment)
    assert (now(payment).status, Retry.objects.get().attempts) == ("requested", 1)

    bank.while_asked = lambda: None
    retried()
    assert now(payment).status == "captured"
