"""The bank over HTTP, on a real server in a thread, and in memory."""

import os
import subprocess
import sys
import threading
from collections.abc import Iterator
from decimal import Decimal
from typing import Any

import httpx
import pytest

from eventbus.models import Retry
from payments import gateway
from payments.errors import CardDeclined, NoClearAnswer, NotReached
from payments.gateway.fakes import FakeBank, FakeFraudService
from payments.gateway.http import HttpBank, HttpFraudService
from payments.gateway.in_memory import InMemoryBank
from payments.gateway.port import Bank, Charge, FraudService
from payments.management.bank_server import BankServer
from tests.payments.conftest import new_payment, pin, reconcile, reload

PRICE = Decimal("20.00")
SLOW, TIMEOUT = 1.0, 0.3


@pytest.fixture
def server() -> Iterator[BankServer]:
    with BankServer("127.0.0.1", 0, SLOW) as bank:
        thread = threading.Thread(target=bank.serve_forever, args=(0.02,))
        thread.start()
        yield bank
        bank.shutdown()
        thread.join()


@pytest.fixture
def shop(server, settings) -> BankServer:
    address = {"BANK_URL": server.url, "FRAUD_URL": server.url, "BANK_TIMEOUT": TIMEOUT}
    settings.PAYMENTS = {**settings.PAYMENTS, **address}
    return server


@pytest.fixture(params=["in memory", "over http"])
def adapters(request, server) -> tuple[InMemoryBank, Bank, FraudService]:
    """The adapters over HTTP and in memory, of the same bank."""
    if request.param == "in memory":
        memory = InMemoryBank()
        return memory, FakeBank(memory), FakeFraudService(memory)
    return server.bank, HttpBank(server.url, TIMEOUT), HttpFraudService(server.url, TIMEOUT)


def ledger(server: BankServer) -> list[dict[str, Any]]:
    movements: list[dict[str, Any]] = httpx.get(f"{server.url}/ledger").json()["movements"]
    return movements


def test_the_same_key_moves_money_once(adapters):
    memory, bank, _ = adapters
    references = {bank.capture("k", PRICE, "EUR", "tok_ok") for _ in range(3)}
    assert len(references) == len(memory.ledger) == 1


def test_another_key_moves_money_again(adapters):
    memory, bank, _ = adapters
    bank.capture("k", PRICE, "EUR", "tok_ok")
    bank.capture("l", PRICE, "EUR", "tok_ok")
    assert len({m.reference for m in memory.ledger}) == 2


def test_a_key_is_for_one_request(adapters):
    _, bank, _ = adapters
    bank.capture("k", PRICE, "EUR", "tok_ok")
    with pytest.raises(NoClearAnswer, match="422"):
        bank.capture("k", PRICE + 1, "EUR", "tok_ok")


def test_a_declined_card_is_declined_again_with_the_reason(adapters):
    memory, bank, _ = adapters
    for _ in range(2):
        with pytest.raises(CardDeclined, match="insufficient funds"):
            bank.capture("k", PRICE, "EUR", "tok_insufficient_funds")
    assert memory.ledger == []


def test_a_flaky_bank_fails_twice_for_each_key(adapters):
    memory, bank, _ = adapters
    for _ in range(2):
        with pytest.raises(NoClearAnswer, match="503"):
            bank.capture("k", PRICE, "EUR", "tok_flaky")
    assert memory.ledger == []
    bank.capture("k", PRICE, "EUR", "tok_flaky")
    assert len(memory.ledger) == 1


def test_a_slow_bank_moves_money_and_answers_the_second_call(adapters):
    memory, bank, _ = adapters
    with pytest.raises(NoClearAnswer):
        bank.capture("k", PRICE, "EUR", "tok_slow")
    assert len(memory.ledger) == 1
    assert bank.capture("k", PRICE, "EUR", "tok_slow") == memory.ledger[0].reference
    assert len(memory.ledger) == 1


def test_money_is_refunded_once_and_never_more_than_was_captured(adapters):
    memory, bank, _ = adapters
    reference = bank.capture("k", PRICE, "EUR", "tok_ok")
    assert bank.refund("r", reference, PRICE, "EUR") == bank.refund("r", reference, PRICE, "EUR")
    with pytest.raises(NoClearAnswer, match="422"):
        bank.refund("another", reference, PRICE, "EUR")
    assert [m.kind for m in memory.ledger] == ["capture", "refund"]


def test_the_fraud_service_recognizes_a_stolen_card(adapters):
    _, _, fraud_service = adapters
    assert fraud_service.assess("k", PRICE, "EUR", "tok_ok", "ID").outcome == "allow"
    verdict = fraud_service.assess("k", PRICE, "EUR", "tok_fraud", "ID")
    assert (verdict.outcome, verdict.text) == ("refuse", "fraud: the card was reported stolen")


def test_concurrent_calls_with_one_key_move_money_once(server):
    bank = HttpBank(server.url, 5)
    threads = [
        threading.Thread(target=bank.capture, args=("k", PRICE, "EUR", "tok_ok")) for _ in range(8)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(server.bank.ledger) == 1


def test_an_unreachable_bank_is_not_reached():
    with pytest.raises(NotReached):
        HttpBank("http://127.0.0.1:9", TIMEOUT).capture("k", PRICE, "EUR", "tok_ok")


@pytest.mark.parametrize(
    ("status", "body"),
    [
        (200, "not json"),
        (200, "[]"),
        (201, "{}"),
        (201, '{"reference": ""}'),
        (201, '{"reference": 7}'),
        (402, "{}"),
        (302, "{}"),
        (500, "<html>"),
    ],
)
def test_an_unexpected_response_is_no_clear_answer(status, body):
    bank = HttpBank("http://bank", TIMEOUT)
    answer = httpx.MockTransport(lambda request: httpx.Response(status, text=body))
    bank._client = httpx.Client(base_url="http://bank", transport=answer)
    with pytest.raises(NoClearAnswer):
        bank.capture("k", PRICE, "EUR", "tok_ok")


def test_the_key_goes_in_the_header_and_the_amount_is_a_string():
    seen: list[httpx.Request] = []

    def answer(request: httpx.Request) -> httpx.Response:
        seen.append(request)
        return httpx.Response(201, json={"reference": "r"})

    bank = HttpBank("http://bank", TIMEOUT)
    bank._client = httpx.Client(base_url="http://bank", transport=httpx.MockTransport(answer))
    bank.capture("k", PRICE, "EUR", "tok_ok")

    (request,) = seen
    assert request.headers["Idempotency-Key"] == "k"
    assert b'"amount":"20.00"' in request.content


def test_a_slow_capture_is_captured_once(shop):
    payment = new_payment("tok_slow")
    pin(payment)
    assert reload(payment).status == "requested"
    assert not Retry.objects.exists()

    reconcile()

    assert reload(payment).status == "captured"
    assert [m["key"] for m in ledger(shop)] == [f"{payment.id}-capture"]


def test_a_flaky_capture_succeeds_in_the_end(shop):
    payment = new_payment("tok_flaky")
    pin(payment)
    reconcile()
    reconcile()
    assert reload(payment).status == "captured"
    assert len(ledger(shop)) == 1


def test_a_captured_payment_is_found_at_the_bank_by_its_key(shop):
    payment = new_payment()
    pin(payment)
    found = httpx.get(f"{shop.url}/captures/{payment.id}-capture")
    assert found.json()["state"] == "captured"
    assert found.json()["reference"] == reload(payment).bank_reference


def test_an_unreachable_fraud_service_is_recorded(shop, settings):
    settings.PAYMENTS = {**settings.PAYMENTS, "FRAUD_URL": "http://127.0.0.1:9"}
    payment = new_payment()
    pin(payment)
    assert (reload(payment).status, reload(payment).verdict) == (
        "held",
        "held: fraud service unavailable",
    )


def test_the_settings_select_the_bank(shop, settings, monkeypatch):
    memory = InMemoryBank()
    monkeypatch.setattr(gateway, "in_memory_bank", memory)

    gateway.bank().capture("k", PRICE, "EUR", "tok_ok")
    assert (len(shop.bank.ledger), len(memory.ledger)) == (1, 0)

    settings.PAYMENTS = {**settings.PAYMENTS, "BANK_URL": ""}
    gateway.bank().capture("k", PRICE, "EUR", "tok_ok")
    assert (len(shop.bank.ledger), len(memory.ledger)) == (1, 1)


@pytest.mark.parametrize(
    ("env", "starts"),
    [
        ({}, True),
        ({"BANK": "stripe", "STRIPE_API_KEY": "sk_test"}, True),
        ({"BANK": "stripe"}, False),
        ({"BANK": "strype", "STRIPE_API_KEY": "sk_test"}, False),
    ],
)
def test_a_misspelt_bank_is_refused_at_start(env, starts, tmp_path):
    command = [sys.executable, "-c", "import config.settings"]
    done = subprocess.run(
        command, env={**os.environ, "VAR_DIR": str(tmp_path), **env}, capture_output=True, text=True
    )
    assert (done.returncode == 0) is starts
    assert starts or "BANK is" in done.stderr


def test_an_empty_secret_does_not_count(tmp_path):
    script = "from config.settings import PAYMENTS; print(PAYMENTS['WEBHOOK_SECRETS'])"
    env = {"BANK_WEBHOOK_SECRET": "one, whsec_dHdv ,,whsec_, ", "VAR_DIR": str(tmp_path)}
    command = [sys.executable, "-c", script]
    done = subprocess.run(command, env={**os.environ, **env}, capture_output=True, text=True)
    assert done.stdout.strip() == "{'bank': ['one', 'whsec_dHdv'], 'stripe': []}"


def test_a_404_of_a_proxy_is_no_clear_answer():
    for status, body in [(404, "{}"), (404, "<html>"), (200, "{}"), (200, '{"state": "new"}')]:
        bank = HttpBank("http://bank", TIMEOUT)
        reply = httpx.Response(status, text=body)
        answer = httpx.MockTransport(lambda request, reply=reply: reply)
        bank._client = httpx.Client(base_url="http://bank", transport=answer)
        with pytest.raises(NoClearAnswer):
            bank.charge_of("k")


def test_a_bank_describes_a_capture(adapters):
    _, bank, _ = adapters
    assert bank.charge_of("k") is None
    reference = bank.capture("k", PRICE, "EUR", "tok_ok")
    assert bank.charge_of("k") == Charge("captured", PRICE, "EUR", reference)
    bank.refund("r", reference, PRICE, "EUR")
    assert bank.charge_of("k") == Charge("refunded", PRICE, "EUR", reference)
    assert bank.charge_of("r") is None

    with pytest.raises(CardDeclined):
        bank.capture("l", PRICE, "EUR", "tok_insufficient_funds")
    declined = Charge("declined", PRICE, "EUR", reason="insufficient funds")
    assert bank.charge_of("l") == declined


def test_a_question_to_an_unreachable_bank_is_tried_later():
    with pytest.raises(NotReached):
        HttpBank("http://127.0.0.1:9", TIMEOUT).charge_of("k")
