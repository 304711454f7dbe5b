"""Webhooks: a signed and fresh one is accepted, once, and makes payments ask the bank."""

import datetime as dt
import itertools
import random
import time
from decimal import Decimal
from typing import Any
from uuid import uuid4

import pytest
import time_machine
from django.http import HttpResponse
from django.test import Client
from django.urls import reverse
from django.utils import timezone

from accounts.models import User
from eventbus.models import Event as Log
from eventbus.testing import said
from payments import api, services
from payments.errors import BadWebhook
from payments.events import BankAnswerDue, PaymentCaptured, PaymentDeclined, PaymentRefunded
from payments.gateway.webhooks import sign
from payments.models import Payment, Webhook
from tests.payments.conftest import new_payment, pin, reconcile, redeliver, reload
from tests.payments.webhook_requests import (
    ADDRESS,
    OLD_SECRET,
    SECRET,
    signed_headers,
    webhook_body,
)

PRICE = Decimal("20.00")


@pytest.fixture(autouse=True)
def secrets(settings, bank) -> None:
    known = {"bank": [SECRET, OLD_SECRET]}
    settings.PAYMENTS = {**settings.PAYMENTS, "WEBHOOK_SECRETS": known}


def call(raw: bytes, headers: dict[str, str], address: str = ADDRESS) -> HttpResponse:
    client = Client(raise_request_exception=False, enforce_csrf_checks=True)
    return client.post(address, raw, content_type="application/json", headers=headers)


def body_about(payment: Payment, kind: str = "captured", **changes: Any) -> bytes:
    return webhook_body(kind, **{"key": payment.capture_key, **changes})


def questions() -> list[object]:
    return [event for event in said("payments") if isinstance(event, BankAnswerDue)]


def ask_bank() -> None:
    """Let payments ask the bank after a webhook."""
    for id in Log.objects.filter(name="payments.BankAnswerDue").values_list("id", flat=True):
        redeliver(id)


# --- the signature -------------------------------------------------------------------------------
def test_a_signed_webhook_makes_payments_ask_the_bank():
    payment = new_payment()
    raw = body_about(payment, reference="capture_1")
    answer = call(raw, signed_headers(raw))

    assert (answer.status_code, answer.content) == (204, b"")
    assert questions() == [BankAnswerDue(payment_id=payment.id, round=0, reference="capture_1")]
    assert Webhook.objects.get().payment_id == payment.id
    assert Log.objects.get(name="payments.BankAnswerDue").actor == "provider:bank"


def test_the_example_of_the_standard_verifies():
    # Known from the reference libraries of Standard Webhooks.
    secret, raw = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw", b'{"test": 2432232314}'
    given = sign(secret, "msg_p5jXN8AQM9LWM0D4loKWxJek", "1614265330", raw)
    assert given == "v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE="


def _altered(raw: bytes, headers: dict[str, str]) -> tuple[bytes, dict[str, str]]:
    return raw.replace(b"20.00", b"00.02"), headers


def _a_second_later(raw: bytes, headers: dict[str, str]) -> tuple[bytes, dict[str, str]]:
    later = str(int(headers["webhook-timestamp"]) + 1)
    return raw, {**headers, "webhook-timestamp": later}


def _with(**changes: str) -> Any:
    names = {name.replace("_", "-"): value for name, value in changes.items()}
    return lambda raw, headers: (raw, {**headers, **names})


def _without(name: str) -> Any:
    return lambda raw, headers: (raw, {k: v for k, v in headers.items() if k != name})


def _resigned(**how: Any) -> Any:
    return lambda raw, headers: (raw, signed_headers(raw, **how))


def _aged(seconds: float) -> Any:
    return lambda raw, headers: (raw, signed_headers(raw, at=time.time() + seconds))


@pytest.mark.parametrize(
    ("change", "status"),
    [
        pytest.param(lambda raw, headers: (raw, headers), 204, id="as it was signed"),
        pytest.param(_resigned(secret=OLD_SECRET), 204, id="second secret"),
        pytest.param(_aged(-290), 204, id="nearly five minutes old"),
        pytest.param(_aged(290), 204, id="a clock that is ahead"),
        pytest.param(_aged(-310), 400, id="old"),
        pytest.param(_aged(310), 400, id="from the future"),
        pytest.param(_resigned(secret="another"), 400, id="wrong secret"),
        pytest.param(_resigned(secret=""), 400, id="no secret"),
        pytest.param(_altered, 400, id="altered body"),
        pytest.param(_with(webhook_id="msg_other"), 400, id="another id"),
        pytest.param(_a_second_later, 400, id="another time"),
        pytest.param(_with(webhook_timestamp="soon"), 400, id="no time"),
        pytest.param(_with(webhook_signature=""), 400, id="no signature"),
        pytest.param(_with(webhook_signature="v1,"), 400, id="empty signature"),
        pytest.param(_with(webhook_signature="v1,é"), 400, id="no ASCII"),
        pytest.param(_without("webhook-id"), 400, id="without id"),
        pytest.param(_without("webhook-timestamp"), 400, id="without time"),
        pytest.param(_without("webhook-signature"), 400, id="without signature"),
    ],
)
def test_only_a_signed_and_fresh_webhook_is_accepted(change, status):
    raw = body_about(new_payment())
    answer = call(*change(raw, signed_headers(raw)))

    assert answer.status_code == status
    assert len(questions()) == Webhook.objects.count() == (status == 204)
    if status == 400:
        assert answer["Content-Type"] == "application/problem+json"
        assert answer.json()["type"] == "/problems/BadWebhook"


def test_one_of_several_signatures_is_enough():
    raw = body_about(new_payment())
    headers = signed_headers(raw)
    headers["webhook-signature"] = f"v1,AAAA v1a,BBBB {headers['webhook-signature']}"
    assert call(raw, headers).status_code == 204


def test_a_timestamp_of_any_length_is_checked():
    raw = body_about(new_payment())
    for timestamp in ("9" * 400, "-1", "0", "1e9", "٣", "9" * 5000):
        headers = {"webhook-id": "m", "webhook-timestamp": timestamp}
        headers["webhook-signature"] = sign(SECRET, "m", timestamp, raw)
        with pytest.raises(BadWebhook):
            services.receive_webhook("bank", raw, headers)


@pytest.mark.parametrize(
    "raw",
    [
        b"",
        b"{",
        b"[]",
        b"null",
        b'"x"',
        b"[" * 100_000,
        b"\xff",
        b'{"type": "x"}',
        b'{"type": "x", "data": {"key": 7, "amount": "1", "currency": "EUR"}}',
        b'{"type": "x", "data": {"key": "k", "amount": "much", "currency": "EUR"}}',
        b'{"type": "\\u0000", "data": {"key": "k", "amount": "1", "currency": "EUR"}}',
    ],
)
def test_a_signed_webhook_without_content_is_refused(raw):
    assert call(raw, signed_headers(raw)).status_code == 400
    assert not Webhook.objects.exists()


def test_too_long_an_id_is_refused():
    raw = body_about(new_payment())
    assert call(raw, signed_headers(raw, id="m" * 300)).status_code == 400


def test_a_body_that_is_too_large_is_not_read():
    raw = b"x" * (api.MAX_WEBHOOK_BYTES + 1)
    assert call(raw, signed_headers(raw)).status_code == 413


def test_a_provider_without_a_secret_is_not_found(settings):
    raw = body_about(new_payment())
    for provider in ("unknown", "stripe", "%00", "b" * 500):
        address = f"/v1/payments/webhooks/{provider}"
        assert call(raw, signed_headers(raw), address).status_code == 404
    settings.PAYMENTS = {**settings.PAYMENTS, "WEBHOOK_SECRETS": {"bank": []}}
    assert call(raw, signed_headers(raw)).status_code == 404


def test_webhooks_cannot_be_read():
    assert Client().get(ADDRESS).status_code == 405


# --- again, late, and in any order ---------------------------------------------------------------
def test_replayed_it_is_accepted_without_effect():
    raw = body_about(new_payment())
    headers = signed_headers(raw)
    assert [call(raw, headers).status_code for _ in range(3)] == [204] * 3
    assert len(questions()) == Webhook.objects.count() == 1


def test_repeated_by_the_bank_with_a_new_time_it_has_no_effect():
    raw = body_about(new_payment())
    for age in (-200, -100, 0):
        call(raw, signed_headers(raw, id="msg_1", at=time.time() + age))
    assert len(questions()) == Webhook.objects.count() == 1


def test_replayed_after_five_minutes_it_is_refused():
    raw = body_about(new_payment())
    headers = signed_headers(raw)
    assert call(raw, headers).status_code == 204
    with time_machine.travel(time.time() + 301):
        assert call(raw, headers).status_code == 400
    assert len(questions()) == 1


def test_about_an_unknown_payment_it_is_accepted_without_effect():
    for key in (f"{uuid4()}-capture", "of another shop", "-capture", ""):
        raw = webhook_body(key=key)
        assert call(raw, signed_headers(raw)).status_code == 204
    assert questions() == []
    assert set(Webhook.objects.values_list("payment_id", flat=True)) == {None}


@pytest.mark.parametrize("changes", [{"amount": "19.99"}, {"currency": "IDR"}, {"amount": "0"}])
def test_another_amount_has_no_effect_and_is_shown(changes, capsys):
    payment = new_payment()
    raw = body_about(payment, **changes)

    assert call(raw, signed_headers(raw)).status_code == 204

    assert questions() == []
    assert Webhook.objects.get().mismatch.endswith("not 20.00 EUR")
    operator = User.objects.create_superuser("op@example.org", "x", name="Op")
    admin = Client()
    admin.force_login(operator)
    page = admin.get(reverse("admin:payments_webhook_changelist") + "?mismatch__isempty=0")
    assert "not 20.00 EUR" in page.content.decode()


def test_an_amount_may_be_written_without_decimals(bank):
    payment = new_payment()
    raw = body_about(payment, amount="20")
    call(raw, signed_headers(raw))
    assert len(questions()) == 1


def test_a_webhook_that_claims_too_much_is_not_believed(bank):
    payment = new_payment("tok_slow")
    pin(payment)
    for kind in ("refunded", "declined"):
        raw = body_about(payment, kind)
        call(raw, signed_headers(raw))
    ask_bank()
    assert reload(payment).status == "captured"
    assert not [f for f in said("payments") if isinstance(f, PaymentRefunded | PaymentDeclined)]


KINDS = ("captured", "refunded", "declined")
ORDERS = [
    order
    for length in (1, 2, 3)
    for order in itertools.permutations(KINDS, length)
    if order != ("declined",)
]


@pytest.mark.parametrize("order", ORDERS, ids="-".join)
@pytest.mark.parametrize("card", ["tok_ok", "tok_slow"])
def test_in_any_order_and_doubled_they_have_the_same_result(bank, order, card):
    # given: captured, and refunded by hand at the bank
    payment = new_payment(card)
    pin(payment)
    bank.refund("by hand", bank.ledger[0].reference, PRICE, "EUR")

    # when
    calls = [(raw, signed_headers(raw)) for kind in order for raw in [body_about(payment, kind)]]
    for raw, headers in calls + calls:
        call(raw, headers)
    ask_bank()
    reconcile()

    # then
    assert reload(payment).status == "refunded"
    kinds = [type(f) for f in said("payments") if isinstance(f, PaymentCaptured | PaymentRefunded)]
    assert kinds == [PaymentCaptured, PaymentRefunded]


@pytest.mark.parametrize("seed", range(12))
def test_shuffled_with_other_events_they_have_the_same_result(bank, seed):
    dice, payment = random.Random(seed), new_payment("tok_slow")
    raws = [body_about(payment, kind) for kind in ("captured", "captured", "declined", "refunded")]
    calls = [(raw, signed_headers(raw)) for raw in raws]
    steps = [lambda c=c: call(*c) for c in calls * 2]
    steps += [lambda: pin(payment), lambda: pin(payment), ask_bank, ask_bank, reconcile]
    dice.shuffle(steps)
    for step in steps:
        step()
    pin(payment)
    reconcile()

    assert reload(payment).status == "captured"
    assert len([f for f in said("payments") if isinstance(f, PaymentCaptured)]) == 1
    assert [m.kind for m in bank.ledger] == ["capture"]


def test_old_webhooks_are_deleted():
    long_ago = timezone.now() - dt.timedelta(days=31)
    lately = timezone.now() - dt.timedelta(days=29)
    for n, at in enumerate([long_ago, long_ago, lately]):
        Webhook.objects.create(provider="bank", webhook_id=f"m{n}", kind=f"k{n}", received_at=at)
    raw = body_about(new_payment())
    call(raw, signed_headers(raw))
    assert set(Webhook.objects.values_list("kind", flat=True)) == {"k2", "charge.captured"}
