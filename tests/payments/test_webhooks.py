"""Webhooks: only a signed and fresh one is taken, once, and it is no more than a hint."""

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
from tests.payments.calls import ADDRESS, OLD_SECRET, SECRET, signed, written
from tests.payments.conftest import asked_again, now, pinned, redelivered, requested

PRICE = Decimal("20.00")


@pytest.fixture(autouse=True)
def secrets(settings, bank) -> None:
    known = {"bank": [SECRET, OLD_SECRET]}
    settings.PAYMENTS = {**settings.PAYMENTS, "WEBHOOK_SECRETS": known}


def call(raw: bytes, headers: dict[str, str], address: str = ADDRESS) -> HttpResponse:
    client = Client(raise_request_exception=False, enforce_csrf_checks=True)
    return client.post(address, raw, content_type="application/json", headers=headers)


def told(payment: Payment, kind: str = "captured", **changes: Any) -> bytes:
    return written(kind, **{"key": payment.capture_key, **changes})


def news() -> list[object]:
    return [fact for fact in said("payments") if isinstance(fact, BankAnswerDue)]


def heard() -> None:
    """Let payments ask the bank, now that it has called."""
    for id in Log.objects.filter(name="payments.BankAnswerDue").values_list("id", flat=True):
        redelivered(id)


# --- the signature -------------------------------------------------------------------------------
def test_a_signed_webhook_makes_payments_ask_the_bank():
    payment = requested()
    raw = told(payment, reference="capture_1")
    answer = call(raw, signed(raw))

    assert (answer.status_code, answer.content) == (204, b"")
    assert news() == [BankAnswerDue(payment_id=payment.id, round=0, reference="capture_1")]
    assert Webhook.objects.get().payment_id == payment.id
    assert Log.objects.get(name="payments.BankAnswerDue").actor == "provider:bank"


def test_the_example_of_the_standard_fits():
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
    return lambda raw, headers: (raw, signed(raw, **how))


def _aged(seconds: float) -> Any:
    return lambda raw, headers: (raw, signed(raw, at=time.time() + seconds))


@pytest.mark.parametrize(
    ("forge", "status"),
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
def test_what_is_taken_and_what_is_refused(forge, status):
    raw = told(requested())
    answer = call(*forge(raw, signed(raw)))

    assert answer.status_code == status
    assert len(news()) == Webhook.objects.count() == (status == 204)
    if status == 400:
        assert answer["Content-Type"] == "application/problem+json"
        assert answer.json()["type"] == "/problems/BadWebhook"


def test_one_of_several_signatures_is_enough():
    raw = told(requested())
    headers = signed(raw)
    headers["webhook-signature"] = f"v1,AAAA v1a,BBBB {headers['webhook-signature']}"
    assert call(raw, headers).status_code == 204


def test_an_old_time_stays_old_with_a_number_of_any_length():
    raw = told(requested())
    for timestamp in ("9" * 400, "-1", "0", "1e9", "٣", "9" * 5000):
        headers = {"webhook-id": "m", "webhook-timestamp": timestamp}
        headers["webhook-signature"] = sign(SECRET, "m", timestamp, raw)
        with pytest.raises(BadWebhook):
            services.hear_webhook("bank", raw, headers)


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
def test_a_signed_one_that_says_nothing_is_refused(raw):
    assert call(raw, signed(raw)).status_code == 400
    assert not Webhook.objects.exists()


def test_too_long_an_id_is_refused():
    raw = told(requested())
    assert call(raw, signed(raw, id="m" * 300)).status_code == 400


def test_a_body_without_end_is_not_read():
    raw = b"x" * (api.MOST_BYTES + 1)
    assert call(raw, signed(raw)).status_code == 413


def test_who_has_no_secret_here_does_not_exist(settings):
    raw = told(requested())
    for provider in ("nobody", "stripe", "%00", "b" * 500):
        address = f"/v1/payments/webhooks/{provider}"
        assert call(raw, signed(raw), address).status_code == 404
    settings.PAYMENTS = {**settings.PAYMENTS, "WEBHOOK_SECRETS": {"bank": []}}
    assert call(raw, signed(raw)).status_code == 404


def test_nobody_looks_at_webhooks():
    assert Client().get(ADDRESS).status_code == 405


# --- again, late, and in any order ---------------------------------------------------------------
def test_replayed_it_is_taken_and_has_no_effect():
    raw = told(requested())
    headers = signed(raw)
    assert [call(raw, headers).status_code for _ in range(3)] == [204] * 3
    assert len(news()) == Webhook.objects.count() == 1


def test_repeated_by_the_bank_with_a_new_time_it_has_no_effect():
    raw = told(requested())
    for age in (-200, -100, 0):
        call(raw, signed(raw, id="msg_1", at=time.time() + age))
    assert len(news()) == Webhook.objects.count() == 1


def test_replayed_after_five_minutes_it_is_refused():
    raw = told(requested())
    headers = signed(raw)
    assert call(raw, headers).status_code == 204
    with time_machine.travel(time.time() + 301):
        assert call(raw, headers).status_code == 400
    assert len(news()) == 1


def test_about_nobodys_payment_it_is_taken_and_has_no_effect():
    for key in (f"{uuid4()}-capture", "of another shop", "-capture", ""):
        raw = written(key=key)
        assert call(raw, signed(raw)).status_code == 204
    assert news() == []
    assert set(Webhook.objects.values_list("payment_id", flat=True)) == {None}


@pytest.mark.parametrize("changes", [{"amount": "19.99"}, {"currency": "IDR"}, {"amount": "0"}])
def test_another_sum_has_no_effect_and_is_shown(changes, capsys):
    payment = requested()
    raw = told(payment, **changes)

    assert call(raw, signed(raw)).status_code == 204

    assert news() == []
    assert Webhook.objects.get().mismatch.endswith("not 20.00 EUR")
    operator = User.objects.create_superuser("op@example.org", "x", name="Op")
    desk = Client()
    desk.force_login(operator)
    page = desk.get(reverse("admin:payments_webhook_changelist") + "?mismatch__isempty=0")
    assert "not 20.00 EUR" in page.content.decode()


def test_twenty_euros_are_twenty_euros_however_written(bank):
    payment = requested()
    raw = told(payment, amount="20")
    call(raw, signed(raw))
    assert len(news()) == 1


def test_who_says_more_than_happened_is_not_believed(bank):
    payment = requested("tok_slow")
    pinned(payment)
    for kind in ("refunded", "declined"):
        raw = told(payment, kind)
        call(raw, signed(raw))
    heard()
    assert now(payment).status == "captured"
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
def test_in_any_order_and_doubled_they_end_the_same(bank, order, card):
    # given: captured, and given back by hand at the bank
    payment = requested(card)
    pinned(payment)
    bank.refund("by hand", bank.ledger[0].reference, PRICE, "EUR")

    # when
    calls = [(raw, signed(raw)) for kind in order for raw in [told(payment, kind)]]
    for raw, headers in calls + calls:
        call(raw, headers)
    heard()
    asked_again()

    # then
    assert now(payment).status == "refunded"
    kinds = [type(f) for f in said("payments") if isinstance(f, PaymentCaptured | PaymentRefunded)]
    assert kinds == [PaymentCaptured, PaymentRefunded]


@pytest.mark.parametrize("seed", range(12))
def test_shuffled_with_everything_else_they_end_the_same(bank, seed):
    dice, payment = random.Random(seed), requested("tok_slow")
    raws = [told(payment, kind) for kind in ("captured", "captured", "declined", "refunded")]
    calls = [(raw, signed(raw)) for raw in raws]
    deeds = [lambda c=c: call(*c) for c in calls * 2]
    deeds += [lambda: pinned(payment), lambda: pinned(payment), heard, heard, asked_again]
    dice.shuffle(deeds)
    for deed in deeds:
        deed()
    pinned(payment)
    asked_again()

    assert now(payment).status == "captured"
    assert len([f for f in said("payments") if isinstance(f, PaymentCaptured)]) == 1
    assert [m.kind for m in bank.ledger] == ["capture"]


def test_what_nobody_repeats_any_more_is_forgotten():
    long_ago = timezone.now() - dt.timedelta(days=31)
    lately = timezone.now() - dt.timedelta(days=29)
    for n, at in enumerate([long_ago, long_ago, lately]):
        Webhook.objects.create(provider="bank", webhook_id=f"m{n}", kind=f"k{n}", received_at=at)
    raw = told(requested())
    call(raw, signed(raw))
    assert set(Webhook.objects.values_list("kind", flat=True)) == {"k2", "charge.captured"}
