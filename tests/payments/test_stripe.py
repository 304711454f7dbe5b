"""Stripe's own library against a stand-in that speaks its API; no network."""

import json
import threading
import time
from collections.abc import Iterator
from decimal import Decimal
from typing import Any

import pytest
import stripe
from django.test import Client

from eventbus.models import Event as Log
from eventbus.models import Retry
from eventbus.testing import said
from payments import gateway
from payments.errors import CardDeclined, NoClearAnswer, NotReached
from payments.events import BankAnswerDue
from payments.gateway.minor_units import from_minor, in_minor
from payments.gateway.port import Charge
from payments.gateway.stripe import StripeBank
from payments.models import Payment, Webhook
from tests.payments.conftest import (
    asked_again,
    cancelled,
    now,
    pinned,
    redelivered,
    requested,
)
from tests.payments.stripe_standin import KEY, SECRET, Standin

PRICE = Decimal("20.00")
PATIENCE = 0.3
ADDRESS = "/v1/payments/webhooks/stripe"


@pytest.fixture
def account() -> Iterator[Standin]:
    with Standin() as server:
        thread = threading.Thread(target=server.serve_forever, args=(0.02,))
        thread.start()
        yield server
        server.shutdown()
        thread.join()


@pytest.fixture
def bank(account) -> StripeBank:
    return StripeBank(KEY, account.url, PATIENCE)


@pytest.fixture
def shop(account, settings) -> Standin:
    """A shop that is paid by Stripe."""
    ours = {"BANK": "stripe", "STRIPE_API_KEY": KEY, "STRIPE_API_BASE": account.url}
    secrets = {"stripe": ["whsec_older", SECRET]}
    more = {"BANK_TIMEOUT": PATIENCE, "FRAUD_URL": "", "WEBHOOK_SECRETS": secrets}
    settings.PAYMENTS = {**settings.PAYMENTS, **ours, **more}
    return account


# --- amounts -------------------------------------------------------------------------------------
@pytest.mark.parametrize(
    ("amount", "currency", "minor"),
    [
        ("20.00", "EUR", 2000),
        ("20", "EUR", 2000),
        ("0.01", "USD", 1),
        ("500.00", "JPY", 500),
        ("100.00", "KRW", 100),
        ("7.00", "MGA", 7),
        ("5.12", "KWD", 5120),
        ("1.23", "IDR", 123),
        ("5.00", "ISK", 500),
        ("10.45", "HUF", 1045),
        ("999999999999.99", "EUR", 99999999999999),
    ],
)
def test_amounts_are_in_the_smallest_unit_there_and_back(amount, currency, minor):
    assert in_minor(Decimal(amount), currency) == minor
    assert from_minor(minor, currency) == Decimal(amount)


@pytest.mark.parametrize(
    ("amount", "currency"),
    [("5.50", "JPY"), ("5.50", "ISK"), ("5.001", "EUR"), ("5.125", "KWD"), ("5", "UGX")],
)
def test_what_cannot_be_said_exactly_is_not_rounded(amount, currency):
    with pytest.raises(CardDeclined, match="cannot be paid"):
        in_minor(Decimal(amount), currency)


# --- the port ------------------------------------------------------------------------------------
def test_a_capture_is_an_intent_that_carries_our_key(account, bank):
    reference = bank.capture("k", PRICE, "EUR", "tok_visa")

    (intent,) = account.intents.values()
    assert reference == intent["id"]
    assert (intent["amount"], intent["currency"], intent["metadata"]) == (2000, "eur", {"key": "k"})


def test_a_payment_method_will_do_too(account, bank):
    bank.capture("k", PRICE, "EUR", "pm_card_visa")
    assert account.requests[0][2]["payment_method"] == "pm_card_visa"


def test_the_same_key_moves_money_once(account, bank):
    assert len({bank.capture("k", PRICE, "EUR", "tok_visa") for _ in range(3)}) == 1
    bank.capture("l", PRICE, "EUR", "tok_visa")
    assert len(account.intents) == 2


@pytest.mark.parametrize(
    ("card", "why"),
    [("tok_chargeDeclined", "Your card was declined."), ("tok_nonsense", "not accepted")],
)
def test_a_no_is_a_no(bank, card, why):
    for _ in range(2):
        with pytest.raises(CardDeclined, match=why):
            bank.capture("k", PRICE, "EUR", card)


@pytest.mark.parametrize("card", ["tok_500", "tok_slow", "tok_lost"])
def test_without_a_clear_answer_it_is_asked_once_and_not_by_the_library_again(account, bank, card):
    with pytest.raises(NoClearAnswer):
        bank.capture("k", PRICE, "EUR", card)
    assert [what for _, what, _ in account.requests] == ["payment_intents"]


def test_a_key_used_for_something_else_is_no_answer(bank):
    bank.capture("k", PRICE, "EUR", "tok_visa")
    with pytest.raises(NoClearAnswer, match="IdempotencyError"):
        bank.capture("k", PRICE + 1, "EUR", "tok_visa")


def test_an_intent_under_way_is_no_answer(account, bank):
    account.trouble = 200, {"id": "pi_1", "object": "payment_intent", "status": "processing"}
    with pytest.raises(NoClearAnswer, match="processing"):
        bank.capture("k", PRICE, "EUR", "tok_visa")


@pytest.mark.parametrize("status", [401, 403, 429])
def test_turned_away_at_the_door_nothing_was_asked(account, bank, status):
    account.trouble = status, {"error": {"type": "x", "message": "no"}}
    with pytest.raises(NotReached):
        bank.capture("k", PRICE, "EUR", "tok_visa")


def test_who_is_not_there_was_not_asked():
    with pytest.raises(NotReached):
        StripeBank(KEY, "http://127.0.0.1:9", PATIENCE).capture("k", PRICE, "EUR", "tok_visa")


@pytest.mark.parametrize("answer", [(409, {}), (200, {}), (503, {}), (302, {}), (200, [])])
def test_a_strange_answer_is_no_answer(account, bank, answer):
    account.trouble = answer
    for ask in (
        lambda: bank.capture("k", PRICE, "EUR", "tok_visa"),
        lambda: bank.charge_of("k"),
        lambda: bank.charge_of("k", "pi_1"),
    ):
        with pytest.raises(NoClearAnswer):
            ask()


# --- asking --------------------------------------------------------------------------------------
def test_asked_by_key_or_reference_it_says_how_it_stands(account, bank):
    reference = bank.capture("k", PRICE, "EUR", "tok_visa")
    captured = Charge("captured", PRICE, "EUR", reference)
    assert bank.charge_of("k") == bank.charge_of("k", reference) == captured

    bank.refund("r", reference, Decimal("5.00"), "EUR")
    assert bank.charge_of("k") == captured
    bank.refund("s", reference, Decimal("15.00"), "EUR")
    assert bank.charge_of("k").state == bank.charge_of("k", reference).state == "refunded"


def test_asked_about_a_declined_one_it_says_why(bank):
    with pytest.raises(CardDeclined):
        bank.capture("k", PRICE, "EUR", "tok_chargeDeclined")
    charge = bank.charge_of("k")
    assert (charge.state, charge.reason) == ("declined", "Your card was declined.")


def test_asked_about_one_that_was_lost_there_is_none(bank):
    assert bank.charge_of("k") is None
    assert bank.charge_of("k", "pi_99") is None


def test_another_payments_intent_is_not_ours(bank):
    reference = bank.capture("k", PRICE, "EUR", "tok_visa")
    assert bank.charge_of("another", reference) is None


@pytest.mark.parametrize("status", ["processing", "requires_action", "something new"])
def test_what_is_not_over_is_pending(account, bank, status):
    reference = bank.capture("k", PRICE, "EUR", "tok_visa")
    account.intents[reference]["status"] = status
    assert bank.charge_of("k").state == "pending"


def test_of_two_intents_with_one_key_the_one_with_the_money_counts(account, bank):
    with pytest.raises(CardDeclined):
        bank.capture("k", PRICE, "EUR", "tok_chargeDeclined")
    account.forget_keys()
    reference = bank.capture("k", PRICE, "EUR", "tok_visa")
    assert bank.charge_of("k").reference == reference


# --- giving back ---------------------------------------------------------------------------------
def test_money_goes_back_once(account, bank):
    reference = bank.capture("k", PRICE, "EUR", "tok_visa")
    assert len({bank.refund("r", reference, PRICE, "EUR") for _ in range(2)}) == 1
    assert len(account.refunds) == 1


def test_a_refund_asked_for_again_after_days_is_the_same_refund(account, bank):
    reference = bank.capture("k", PRICE, "EUR", "tok_visa")
    first = bank.refund("r", reference, PRICE, "EUR")
    account.forget_keys()
    assert bank.refund("r", reference, PRICE, "EUR") == first
    assert len(account.refunds) == 1


def test_a_refund_that_failed_is_no_answer(account, bank):
    account.trouble = 200, {"id": "re_1", "object": "refund", "status": "failed"}
    with pytest.raises(NoClearAnswer, match="failed"):
        bank.refund("r", "pi_1", PRICE, "EUR")


# --- the shop ------------------------------------------------------------------------------------
def test_a_payment_is_captured_and_given_back(shop):
    payment = requested("tok_visa")
    pinned(payment)
    assert now(payment).status == "captured"
    assert now(payment).bank_reference in shop.intents

    cancelled(payment.order_id)
    (due,) = Log.objects.filter(name="payments.RefundDue")
    redelivered(due.id)
    assert now(payment).status == "refunded"
    assert [refund["amount"] for refund in shop.refunds] == [2000]


def test_a_slow_capture_is_found_by_asking_and_made_once(shop):
    payment = requested("tok_slow")
    pinned(payment)
    assert now(payment).status == "requested"

    asked_again()

    assert now(payment).status == "captured"
    assert len(shop.intents) == 1


def test_a_search_that_lags_moves_no_money_twice(shop):
    payment = requested("tok_slow")
    pinned(payment)
    shop.indexed = False
    asked_again()  # not found, so it is asked for again with the same key
    shop.indexed = True
    asked_again()

    assert now(payment).status == "captured"
    assert len(shop.intents) == 1


def test_cards_that_are_no_cards_do_not_open_the_breaker(shop):
    for _ in range(6):
        payment = requested("tok_nonsense")
        pinned(payment)
        assert now(payment).status == "declined"
    assert gateway.BANK.state == "closed"


def test_stripe_in_trouble_opens_the_breaker(shop):
    shop.trouble = 500, {"error": {"type": "api_error", "message": "down"}}
    for _ in range(6):
        pinned(requested("tok_visa"))
    assert len(shop.requests) == 5
    assert Retry.objects.get().attempts == 0


# --- its webhooks --------------------------------------------------------------------------------
def event(it: dict[str, Any], kind: str = "payment_intent.succeeded", id: str = "evt_1") -> str:
    return json.dumps({"id": id, "object": "event", "type": kind, "data": {"object": it}})


def call(raw: str, secret: str = SECRET, off: int = 0, **changes: str) -> int:
    stamp = int(time.time()) + off
    header = stripe.WebhookSignature.generate_signature_header(raw, secret, stamp)
    headers = {"stripe-signature": header, **changes}
    answer = Client().post(ADDRESS, raw, content_type="application/json", headers=headers)
    return int(answer.status_code)


@pytest.fixture
def slow(shop) -> Payment:
    """A payment captured without our knowing."""
    payment = requested("tok_slow")
    pinned(payment)
    return now(payment)


def test_a_webhook_tells_before_the_search_knows(shop, slow):
    (intent,) = shop.intents.values()
    shop.indexed = False
    assert call(event(intent)) == call(event(intent)) == 204
    for id in Log.objects.filter(name="payments.BankAnswerDue").values_list("id", flat=True):
        redelivered(id)
    assert now(slow).status == "captured"
    assert len([f for f in said("payments") if isinstance(f, BankAnswerDue)]) == 1


def test_a_refund_made_in_the_dashboard_is_heard_of(shop):
    payment = requested("tok_visa")
    pinned(payment)
    (intent,) = shop.intents.values()
    shop.make_refund({"payment_intent": intent["id"], "amount": "2000"})

    assert call(event(intent["latest_charge"], "charge.refunded")) == 204
    assert call(event(shop.refunds[0], "refund.created", "evt_2")) == 204
    for id in Log.objects.filter(name="payments.BankAnswerDue").values_list("id", flat=True):
        redelivered(id)
    assert now(payment).status == "refunded"
    assert set(Webhook.objects.values_list("payment_id", flat=True)) == {payment.id}


def test_another_sum_in_a_webhook_is_shown(shop, slow):
    (intent,) = shop.intents.values()
    assert call(event({**intent, "amount": 1999})) == 204
    assert Webhook.objects.get().mismatch == "19.99 EUR, not 20.00 EUR"
    assert not [f for f in said("payments") if isinstance(f, BankAnswerDue)]


@pytest.mark.parametrize(
    ("changes", "status"),
    [
        ({}, 204),
        ({"secret": "whsec_older"}, 204),
        ({"off": -290}, 204),
        ({"off": -310}, 400),
        ({"off": 310}, 400),
        ({"secret": "whsec_forged"}, 400),
        ({"stripe-signature": ""}, 400),
        ({"stripe-signature": "t=1,v1=é"}, 400),
        ({"stripe-signature": "nonsense"}, 400),
    ],
)
def test_its_signature_is_checked_by_its_library_and_its_clock_by_ours(shop, slow, changes, status):
    (intent,) = shop.intents.values()
    assert call(event(intent), **changes) == status
    assert Webhook.objects.count() == (status == 204)


@pytest.mark.parametrize(
    "raw", ["", "{}", "[]", "null", '{"object": "v2.core.event"}', '{"id": "e", "type": "t"}']
)
def test_what_is_no_event_is_refused(shop, raw):
    assert call(raw) == 400


def test_what_is_about_something_else_is_taken_and_left(shop):
    assert call(event({"id": "cus_1", "object": "customer"}, "customer.created")) == 204
    assert Webhook.objects.get().payment_id is None


def test_a_webhook_of_the_other_bank_is_not_stripes(shop):
    raw = event({"id": "cus_1", "object": "customer"})
    answer = Client().post("/v1/payments/webhooks/bank", raw, content_type="application/json")
    assert answer.status_code == 404
