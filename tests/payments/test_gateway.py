"""The bank by HTTP: a real server on loopback, in a thread."""

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
from payments.gateway.fakes import FakeBank, FakeFraudDesk, PlayedBank
from payments.gateway.http import HttpBank, HttpFraudDesk
from payments.gateway.port import Bank, Charge, FraudDesk
from payments.management.commands.runbank import BankServer
from tests.payments.conftest import asked_again, now, pinned, requested

PRICE = Decimal("20.00")
SLOW, PATIENCE = 1.0, 0.3


@pytest.fixture
def server() -> Iterator[BankServer]:
    with BankServer("127.0.0.1", 0, SLOW) as bank:
        thread = threading.Thread(target=bank.serve_forever, args=(0.02,))
        thread.start()
        yield bank
        bank.shutdown()
        thread.join()


@pytest.fixture
def wired(server, settings) -> BankServer:
    address = {"BANK_URL": server.url, "FRAUD_URL": server.url, "BANK_TIMEOUT": PATIENCE}
    settings.PAYMENTS = {**settings.PAYMENTS, **address}
    return server


@pytest.fixture(params=["here", "over http"])
def doors(request, server) -> tuple[PlayedBank, Bank, FraudDesk]:
    """The same logic by both doors: what holds for the fake holds for the server."""
    if request.param == "here":
        played = PlayedBank()
        return played, FakeBank(played), FakeFraudDesk(played)
    return server.bank, HttpBank(server.url, PATIENCE), HttpFraudDesk(server.url, PATIENCE)


def ledger(server: BankServer) -> list[dict[str, Any]]:
    movements: list[dict[str, Any]] = httpx.get(f"{server.url}/ledger").json()["movements"]
    return movements


def test_the_same_key_moves_money_once(doors):
    played, bank, _ = doors
    references = {bank.capture("k", PRICE, "EUR", "tok_ok") for _ in range(3)}
    assert len(references) == len(played.ledger) == 1


def test_another_key_moves_money_again(doors):
    played, bank, _ = doors
    bank.capture("k", PRICE, "EUR", "tok_ok")
    bank.capture("l", PRICE, "EUR", "tok_ok")
    assert len({m.reference for m in played.ledger}) == 2


def test_a_key_is_for_one_thing(doors):
    _, bank, _ = doors
    bank.capture("k", PRICE, "EUR", "tok_ok")
    with pytest.raises(NoClearAnswer, match="422"):
        bank.capture("k", PRICE + 1, "EUR", "tok_ok")


def test_a_declined_card_says_why_however_often_it_is_asked(doors):
    played, bank, _ = doors
    for _ in range(2):
        with pytest.raises(CardDeclined, match="insufficient funds"):
            bank.capture("k", PRICE, "EUR", "tok_insufficient_funds")
    assert played.ledger == []


def test_a_flaky_bank_fails_twice_for_each_key(doors):
    played, bank, _ = doors
    for _ in range(2):
        with pytest.raises(NoClearAnswer, match="503"):
            bank.capture("k", PRICE, "EUR", "tok_flaky")
    assert played.ledger == []
    bank.capture("k", PRICE, "EUR", "tok_flaky")
    assert len(played.ledger) == 1


def test_a_slow_bank_moves_money_and_answers_who_asks_again(doors):
    played, bank, _ = doors
    with pytest.raises(NoClearAnswer):
        bank.capture("k", PRICE, "EUR", "tok_slow")
    assert len(played.ledger) == 1
    assert bank.capture("k", PRICE, "EUR", "tok_slow") == played.ledger[0].reference
    assert len(played.ledger) == 1


def test_money_goes_back_once_and_never_more_than_came(doors):
    played, bank, _ = doors
    reference = bank.capture("k", PRICE, "EUR", "tok_ok")
    assert bank.refund("r", reference, PRICE, "EUR") == bank.refund("r", reference, PRICE, "EUR")
    with pytest.raises(NoClearAnswer, match="422"):
        bank.refund("another", reference, PRICE, "EUR")
    assert [m.kind for m in played.ledger] == ["capture", "refund"]


def test_the_fraud_desk_knows_a_stolen_card(doors):
    _, _, desk = doors
    assert desk.assess("k", PRICE, "EUR", "tok_ok", "ID").outcome == "go"
    verdict = desk.assess("k", PRICE, "EUR", "tok_fraud", "ID")
    assert (verdict.outcome, verdict.words) == ("refuse", "fraud: the card was reported stolen")


def test_many_who_ask_at_once_with_one_key_move_money_once(server):
    bank = HttpBank(server.url, 5)
    askers = [
        threading.Thread(target=bank.capture, args=("k", PRICE, "EUR", "tok_ok")) for _ in range(8)
    ]
    for asker in askers:
        asker.start()
    for asker in askers:
        asker.join()
    assert len(server.bank.ledger) == 1


def test_a_bank_that_is_not_there_was_not_asked():
    with pytest.raises(NotReached):
        HttpBank("http://127.0.0.1:9", PATIENCE).capture("k", PRICE, "EUR", "tok_ok")


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
def test_a_strange_answer_is_no_answer(status, body):
    bank = HttpBank("http://bank", PATIENCE)
    answer = httpx.MockTransport(lambda request: httpx.Response(status, text=body))
    bank._client = httpx.Client(base_url="http://bank", transport=answer)
    with pytest.raises(NoClearAnswer):
        bank.capture("k", PRICE, "EUR", "tok_ok")


def test_the_key_goes_in_the_header_and_the_amount_is_a_string():
    seen: list[httpx.Request] = []

    def answer(request: httpx.Request) -> httpx.Response:
        seen.append(request)
        return httpx.Response(201, json={"reference": "r"})

    bank = HttpBank("http://bank", PATIENCE)
    bank._client = httpx.Client(base_url="http://bank", transport=httpx.MockTransport(answer))
    bank.capture("k", PRICE, "EUR", "tok_ok")

    (request,) = seen
    assert request.headers["Idempotency-Key"] == "k"
    assert b'"amount":"20.00"' in request.content


def test_a_slow_capture_is_captured_once(wired):
    payment = requested("tok_slow")
    pinned(payment)
    assert now(payment).status == "requested"
    assert not Retry.objects.exists()

    asked_again()

    assert now(payment).status == "captured"
    assert [m["key"] for m in ledger(wired)] == [f"{payment.id}-capture"]


def test_a_flaky_capture_succeeds_in_the_end(wired):
    payment = requested("tok_flaky")
    pinned(payment)
    asked_again()
    asked_again()
    assert now(payment).status == "captured"
    assert len(ledger(wired)) == 1


def test_a_captured_payment_is_found_at_the_bank_by_its_key(wired):
    payment = requested()
    pinned(payment)
    found = httpx.get(f"{wired.url}/captures/{payment.id}-capture")
    assert found.json()["state"] == "captured"
    assert found.json()["reference"] == now(payment).bank_reference


def test_a_fraud_service_that_is_not_there_is_noted(wired, settings):
    settings.PAYMENTS = {**settings.PAYMENTS, "FRAUD_URL": "http://127.0.0.1:9"}
    payment = requested()
    pinned(payment)
    assert (now(payment).status, now(payment).verdict) == ("held", "held: fraud service away")


def test_the_settings_say_which_bank_is_asked(wired, settings, monkeypatch):
    played = PlayedBank()
    monkeypatch.setattr(gateway, "played", played)

    gateway.bank().capture("k", PRICE, "EUR", "tok_ok")
    assert (len(wired.bank.ledger), len(played.ledger)) == (1, 0)

    settings.PAYMENTS = {**settings.PAYMENTS, "BANK_URL": ""}
    gateway.bank().capture("k", PRICE, "EUR", "tok_ok")
    assert (len(wired.bank.ledger), len(played.ledger)) == (1, 1)


@pytest.mark.parametrize(
    ("env", "starts"),
    [
        ({}, True),
        ({"BANK": "stripe", "STRIPE_API_KEY": "sk_test"}, True),
        ({"BANK": "stripe"}, False),
        ({"BANK": "strype", "STRIPE_API_KEY": "sk_test"}, False),
    ],
)
def test_a_bank_misspelt_is_not_the_fake_one(env, starts, tmp_path):
    command = [sys.executable, "-c", "import config.settings"]
    done = subprocess.run(
        command, env={**os.environ, "VAR_DIR": str(tmp_path), **env}, capture_output=True, text=True
    )
    assert (done.returncode == 0) is starts
    assert starts or "BANK is" in done.stderr


def test_an_empty_secret_is_none(tmp_path):
    told = "from config.settings import PAYMENTS; print(PAYMENTS['WEBHOOK_SECRETS'])"
    env = {"BANK_WEBHOOK_SECRET": "one, whsec_dHdv ,,whsec_, ", "VAR_DIR": str(tmp_path)}
    command = [sys.executable, "-c", told]
    done = subprocess.run(command, env={**os.environ, **env}, capture_output=True, text=True)
    assert done.stdout.strip() == "{'bank': ['one', 'whsec_dHdv'], 'stripe': []}"


def test_a_404_that_is_not_the_banks_own_is_no_answer():
    """Such as a proxy's: to take it for "there is none" would be a guess."""
    for status, body in [(404, "{}"), (404, "<html>"), (200, "{}"), (200, '{"state": "new"}')]:
        bank = HttpBank("http://bank", PATIENCE)
        reply = httpx.Response(status, text=body)
        answer = httpx.MockTransport(lambda request, reply=reply: reply)
        bank._client = httpx.Client(base_url="http://bank", transport=answer)
        with pytest.raises(NoClearAnswer):
            bank.charge_of("k")


def test_a_bank_says_how_a_capture_stands(doors):
    _, bank, _ = doors
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


def test_who_asks_a_bank_that_is_not_there_is_told_to_come_back():
    with pytest.raises(NotReached):
        HttpBank("http://127.0.0.1:9", PATIENCE).charge_of("k")
