"""Stripe's library against a fake of its API on the loopback interface."""

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
from tests.payments.conftest import cancel_order, new_payment, pin, reconcile, redeliver, reload
from tests.payments.fake_stripe import KEY, SECRET, FakeStripe

PRICE = Decimal("20.00")
TIMEOUT = 0.3
ADDRESS = "/v1/payments/webhooks/stripe"


@pytest.fixture
def account() -> Iterator[FakeStripe]:
    with FakeStripe() as server:
        thread = threading.Thread(target=server.serve_forever, args=(0.02,))
        thread.start()
        yield server
        server.shutdown()
        thread.join()


@pytest.fixture
def bank(account) -> StripeBank:
    return StripeBank(KEY, account.url, TIMEOUT)


@pytest.fixture
def shop(account, settings) -> FakeStripe:
    """A shop whose bank is Stripe."""
    ours = {"BANK": "stripe", "STRIPE_API_KEY": KEY, "STRIPE_API_BASE": account.url}
    secrets = {"stripe": ["whsec_older", SECRET]}
    more = {"BANK_TIMEOUT": TIMEOUT, "FRAUD_URL": "", "WEBHOOK_SECRETS": secrets}
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
def test_an_amount_without_an_exact_value_is_not_rounded(amount, currency):
    with pytest.raises(CardDeclined, match="cannot be paid"):
        in_minor(Decimal(amount), currency)


# --- the port ------------------------------------------------------------------------------------
def test_a_capture_is_an_intent_that_carries_our_key(account, bank):
    reference = bank.capture("k", PRICE, "EUR", "tok_visa")

    (intent,) = account.intents.values()
    assert reference == intent["id"]
    assert (intent["amount"], intent["currency"], intent["metadata"]) == (2000, "eur", {"key": "k"})


def test_a_payment_method_is_accepted_too(account, bank):
    bank.capture("k", PRICE, "EUR", "pm_card_visa")
    assert account.requests[0][2]["payment_method"] == "pm_card_visa"


def test_the_same_key_moves_money_once(account, bank):
    assert len({bank.capture("k", PRICE, "EUR", "tok_visa") for _ in range(3)}) == 1
    bank.capture("l", PRICE, "EUR", "tok_visa")
    assert len(account.intents) == 2


@pytest.mark.parametrize(
    ("card", "reason"),
    [("tok_chargeDeclined", "Your card was declined."), ("tok_nonsense", "not accepted")],
)
def test_a_declined_card_is_declined(bank, card, reason):
    for _ in range(2):
        with pytest.raises(CardDeclined, match=reason):
            bank.capture("k", PRICE, "EUR", card)


@pytest.mark.parametrize("card", ["tok_500", "tok_slow", "tok_lost"])
def test_without_a_clear_answer_the_library_does_not_repeat_the_call(account, bank, card):
    with pytest.raises(NoClearAnswer):
        bank.capture("k", PRICE, "EUR", card)
    assert [path for _, path, _ in account.requests] == ["payment_intents"]


def test_a_key_used_for_another_request_is_no_clear_answer(bank):
    bank.capture("k", PRICE, "EUR", "tok_visa")
    with pytest.raises(NoClearAnswer, match="IdempotencyError"):
        bank.capture("k", PRICE + 1, "EUR", "tok_visa")


def test_an_intent_in_processing_is_no_clear_answer(account, bank):
    account.fixed_answer = 200, {"id": "pi_1", "object": "payment_intent", "status": "processing"}
    with pytest.raises(NoClearAnswer, match="processing"):
        bank.capture("k", PRICE, "EUR", "tok_visa")


@pytest.mark.parametrize("status", [401, 403, 429])
def test_refused_by_the_server_nothing_was_done(account, bank, status):
    account.fixed_answer = status, {"error": {"type": "x", "message": "no"}}
    with pytest.raises(NotReached):
        bank.capture("k", PRICE, "EUR", "tok_visa")


def test_an_unreachable_server_is_not_reached():
    with pytest.raises(NotReached):
        StripeBank(KEY, "http://127.0.0.1:9", TIMEOUT).capture("k", PRICE, "EUR", "tok_visa")


@pytest.mark.parametrize("answer", [(409, {}), (200, {}), (503, {}), (302, {}), (200, [])])
def test_an_unexpected_response_is_no_clear_answer(account, bank, answer):
    account.fixed_answer = answer
    for ask in (
        lambda: bank.capture("k", PRICE, "EUR", "tok_visa"),
        lambda: bank.charge_of("k"),
        lambda: bank.charge_of("k", "pi_1"),
    ):
        with pytest.raises(NoClearAnswer):
            ask()


# --- questions -----------------------------------------------------------------------------------
def test_a_capture_is_found_by_key_or_reference(account, bank):
    reference = bank.capture("k", PRICE, "EUR", "tok_visa")
    captured = Charge("captured", PRICE, "EUR", reference)
    assert bank.charge_of("k") == bank.charge_of("k", reference) == captured

    bank.refund("r", reference, Decimal("5.00"), "EUR")
    assert bank.charge_of("k") == captured
    bank.refund("s", reference, Decimal("15.00"), "EUR")
    assert bank.charge_of("k").state == bank.charge_of("k", reference).state == "refunded"


def test_a_declined_capture_has_the_reason(bank):
    with pytest.raises(CardDeclined):
        bank.capture("k", PRICE, "EUR", "tok_chargeDeclined")
    charge = bank.charge_of("k")
    assert (charge.state, charge.reason) == ("declined", "Your card was declined.")


def test_an_unknown_capture_is_none(bank):
    assert bank.charge_of("k") is None
    assert bank.charge_of("k", "pi_99") is None


def test_another_payments_intent_is_not_ours(bank):
    reference = bank.capture("k", PRICE, "EUR", "tok_visa")
    assert bank.charge_of("another", reference) is None


@pytest.mark.parametrize("status", ["processing", "requires_action", "something new"])
def test_an_intent_that_has_not_ended_is_pending(account, bank, status):
    reference = bank.capture("k", PRICE, "EUR", "tok_visa")
    account.intents[reference]["status"] = status
    assert bank.charge_of("k").state == "pending"


def test_of_two_intents_with_one_key_the_one_with_the_money_counts(account, bank):
    with pytest.raises(CardDeclined):
        bank.capture("k", PRICE, "EUR", "tok_chargeDeclined")
    account.forget_keys()
    reference = bank.capture("k", PRICE, "EUR", "tok_visa")
    assert bank.charge_of("k").reference == reference


# --- refunds -------------------------------------------------------------------------------------
def test_money_is_refunded_once(account, bank):
    reference = bank.capture("k", PRICE, "EUR", "tok_visa")
    assert len({bank.refund("r", reference, PRICE, "EUR") for _ in range(2)}) == 1
    assert len(account.refunds) == 1


def test_a_refund_repeated_after_days_is_the_same_refund(account, bank):
    reference = bank.capture("k", PRICE, "EUR", "tok_visa")
    first = bank.refund("r", reference, PRICE, "EUR")
    account.forget_keys()
    assert bank.refund("r", reference, PRICE, "EUR") == first
    assert len(account.refunds) == 1


def test_a_failed_refund_is_no_clear_answer(account, bank):
    account.fixed_answer = 200, {"id": "re_1", "object": "refund", "status": "failed"}
    with pytest.raises(NoClearAnswer, match="failed"):
        bank.refund("r", "pi_1", PRICE, "EUR")


# --- the shop ------------------------------------------------------------------------------------
def test_a_payment_is_captured_and_refunded(shop):
    payment = new_payment("tok_visa")
    pin(payment)
    assert reload(payment).status == "captured"
    assert reload(payment).bank_reference in shop.intents

    cancel_order(payment.order_id)
    (due,) = Log.objects.filter(name="payments.RefundDue")
    redeliver(due.id)
    assert reload(payment).status == "refunded"
    assert [refund["amount"] for refund in shop.refunds] == [2000]


def test_a_slow_capture_is_found_and_made_once(shop):
    payment = new_payment("tok_slow")
    pin(payment)
    assert reload(payment).status == "requested"

    reconcile()

    assert reload(payment).status == "captured"
    assert len(shop.intents) == 1


def test_a_search_that_lags_moves_no_money_twice(shop):
    payment = new_payment("tok_slow")
    pin(payment)
    shop.indexed = False
    reconcile()  # not found, so it is sent again with the same key
    shop.indexed = True
    reconcile()

    assert reload(payment).status == "captured"
    assert len(shop.intents) == 1


def test_invalid_cards_do_not_open_the_breaker(shop):
    for _ in range(6):
        payment = new_payment("tok_nonsense")
        pin(payment)
        assert reload(payment).status == "declined"
    assert gateway.BANK_BREAKER.state == "closed"


def test_errors_of_stripe_open_the_breaker(shop):
    shop.fixed_answer = 500, {"error": {"type": "api_error", "message": "down"}}
    for _ in range(6):
        pin(new_payment("tok_visa"))
    assert len(shop.requests) == 5
    assert Retry.objects.get().attempts == 0


# --- its webhooks --------------------------------------------------------------------------------
def webhook_body(
    it: dict[str, Any], kind: str = "payment_intent.succeeded", id: str = "evt_1"
) -> str:
    return json.dumps({"id": id, "object": "event", "type": kind, "data": {"object": it}})


def call(raw: str, secret: str = SECRET, off: int = 0, **changes: str) -> int:
    stamp = int(time.time()) + off
    header = stripe.WebhookSignature.generate_signature_header(raw, secret, stamp)
    headers = {"stripe-signature": header, **changes}
    answer = Client().post(ADDRESS, raw, content_type="application/json", headers=headers)
    return int(answer.status_code)


@pytest.fixture
def slow(shop) -> Payment:
    """A payment whose capture got no answer."""
    payment = new_payment("tok_slow")
    pin(payment)
    return reload(payment)


def test_a_webhook_arrives_before_the_search_finds_the_capture(shop, slow):
    (intent,) = shop.intents.values()
    shop.indexed = False
    assert call(webhook_body(intent)) == call(webhook_body(intent)) == 204
    for id in Log.objects.filter(name="payments.BankAnswerDue").values_list("id", flat=True):
        redeliver(id)
    assert reload(slow).status == "captured"
    assert len([f for f in said("payments") if isinstance(f, BankAnswerDue)]) == 1


def test_a_refund_made_in_the_dashboard_is_recorded(shop):
    payment = new_payment("tok_visa")
    pin(payment)
    (intent,) = shop.intents.values()
    shop.make_refund({"payment_intent": intent["id"], "amount": "2000"})

    assert call(webhook_body(intent["latest_charge"], "charge.refunded")) == 204
    assert call(webhook_body(shop.refunds[0], "refund.created", "evt_2")) == 204
    for id in Log.objects.filter(name="payments.BankAnswerDue").values_list("id", flat=True):
        redeliver(id)
    assert reload(payment).status == "refunded"
    assert set(Webhook.objects.values_list("payment_id", flat=True)) == {payment.id}


def test_another_amount_in_a_webhook_is_shown(shop, slow):
    (intent,) = shop.intents.values()
    assert call(webhook_body({**intent, "amount": 1999})) == 204
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
    assert call(webhook_body(intent), **changes) == status
    assert Webhook.objects.count() == (status == 204)


@pytest.mark.parametrize(
    "raw", ["", "{}", "[]", "null", '{"object": "v2.core.event"}', '{"id": "e", "type": "t"}']
)
def test_a_body_that_is_no_event_is_refused(shop, raw):
    assert call(raw) == 400


def test_a_webhook_about_another_object_is_accepted_without_effect(shop):
    assert call(webhook_body({"id": "cus_1", "object": "customer"}, "customer.created")) == 204
    assert Webhook.objects.get().payment_id is None


def test_a_webhook_of_the_other_bank_is_not_stripes(shop):
    raw = webhook_body({"id": "cus_1", "object": "customer"})
    answer = Client().post("/v1/payments/webhooks/bank", raw, content_type="application/json")
    assert answer.status_code == 404
