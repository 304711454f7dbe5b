"""The command that plays the bank: it starts, refuses nonsense, and ends cleanly."""

import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from decimal import Decimal
from typing import Any

import httpx
import pytest
from django.core.management import CommandError, call_command

from payments.gateway.fakes import PlayedBank
from payments.management.commands.runbank import BankServer
from payments.management.postman import WebhookSender

ASK = {"amount": "20.00", "currency": "EUR", "card": "tok_ok"}
KEY = {"Idempotency-Key": "k"}


@pytest.fixture(scope="module")
def bank() -> Iterator[tuple[subprocess.Popen[str], str]]:
    command = [sys.executable, "manage.py", "runbank", "--port", "0", "--slow-seconds", "60"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        yield process, process.stdout.readline().split()[-1]
        process.kill()


@pytest.fixture(scope="module")
def url(bank) -> str:
    return bank[1]


def test_money_moved_is_on_the_ledger(url):
    answer = httpx.post(f"{url}/captures", json=ASK, headers=KEY)
    assert answer.status_code == 201

    (movement,) = httpx.get(f"{url}/ledger").json()["movements"]
    assert movement == {
        "kind": "capture",
        "key": "k",
        "reference": answer.json()["reference"],
        "amount": "20.00",
        "currency": "EUR",
    }
    assert httpx.get(f"{url}/captures/k").json() == {
        **{"key": "k", "state": "captured", "amount": "20.00", "currency": "EUR"},
        "reference": answer.json()["reference"],
    }


@pytest.mark.parametrize(
    ("path", "changes", "headers", "status"),
    [
        ("/captures", {}, {}, 400),
        ("/captures", {"amount": "-1"}, KEY, 400),
        ("/captures", {"amount": "NaN"}, KEY, 400),
        ("/captures", {"amount": "much"}, KEY, 400),
        ("/captures", {"amount": None}, KEY, 400),
        ("/captures", {"amount": "Infinity"}, KEY, 400),
        ("/refunds", {}, KEY, 400),
        ("/elsewhere", {}, KEY, 404),
    ],
)
def test_nonsense_is_refused(url, path, changes, headers, status):
    answer = httpx.post(f"{url}{path}", json={**ASK, **changes}, headers=headers)
    assert answer.status_code == status
    assert answer.json()["reason"]


@pytest.mark.parametrize("body", [b"", b"{", b"[]", b"x" * 200_000])
def test_what_is_no_request_is_refused(url, body):
    assert httpx.post(f"{url}/captures", content=body, headers=KEY).status_code == 400


def test_a_capture_nobody_made_is_not_found(url):
    answer = httpx.get(f"{url}/captures/never")
    assert (answer.status_code, answer.json()["state"]) == (404, "none")


def test_it_ends_at_once_even_while_somebody_waits(bank):
    process, url = bank
    with pytest.raises(httpx.ReadTimeout):
        slow = {**ASK, "card": "tok_slow"}
        httpx.post(f"{url}/captures", json=slow, headers={"Idempotency-Key": "s"}, timeout=0.3)

    process.send_signal(signal.SIGTERM)

    assert process.wait(timeout=5) == 0
    assert process.stdout.read().strip() == "The bank is closed."


def test_webhooks_need_an_address_and_a_secret(settings):
    with pytest.raises(CommandError, match="need --webhooks"):
        call_command("runbank", "--double")
    with pytest.raises(CommandError, match="BANK_WEBHOOK_SECRET"):
        call_command("runbank", "--webhooks", "http://127.0.0.1:9")


@pytest.fixture
def elsewhere() -> Iterator[str]:
    """Somebody who answers 400 to all webhooks."""
    with BankServer("127.0.0.1", 0, 0) as server:
        thread = threading.Thread(target=server.serve_forever, args=(0.02,))
        thread.start()
        yield server.url
        server.shutdown()
        thread.join()


def brought(url: str, count: int, **wishes: Any) -> list[dict[str, Any]]:
    """Let a payment be captured and given back, and return what was brought, in its order."""
    plain = {"late": 0.0, "double": False, "forge": False, "reorder": False}
    postman = WebhookSender(url, "secret", **{**plain, **wishes})
    played = PlayedBank(postman.take)
    captured = played.capture("k", Decimal("20.00"), "EUR", "tok_ok")
    played.refund("r", captured.body["reference"], Decimal("20.00"), "EUR")
    postman.start()
    deadline = time.monotonic() + 10
    while len(postman.brought) < count and time.monotonic() < deadline:
        time.sleep(0.02)
    time.sleep(0.05)  # nothing more may come
    return postman.brought


def kinds(letters: list[dict[str, Any]]) -> list[str]:
    return [letter["type"].removeprefix("charge.") for letter in letters]


def test_webhooks_say_how_a_capture_stands_in_its_order(elsewhere):
    assert kinds(brought(elsewhere, 2)) == ["captured", "refunded"]


def test_reordered_the_later_one_comes_first(elsewhere):
    assert kinds(brought(elsewhere, 2, reorder=True)) == ["refunded", "captured"]


def test_late_they_come_later(elsewhere):
    began = time.monotonic()
    brought(elsewhere, 2, late=0.5)
    assert time.monotonic() - began >= 0.5


def test_doubled_each_comes_twice_with_one_id(elsewhere):
    letters = brought(elsewhere, 4, double=True)
    assert kinds(letters) == ["captured"] * 2 + ["refunded"] * 2
    assert len({letter["id"] for letter in letters}) == 2


def test_a_forgery_comes_before_each(elsewhere):
    assert [letter["forged"] for letter in brought(elsewhere, 4, forge=True)] == [True, False] * 2


def test_told_again_with_the_same_key_nothing_is_said_twice(elsewhere):
    told: list[dict[str, str]] = []
    played = PlayedBank(told.append)
    for _ in range(3):
        played.capture("k", Decimal("20.00"), "EUR", "tok_insufficient_funds")
    assert [(charge["state"], charge["reason"]) for charge in told] == [
        ("declined", "insufficient funds")
    ]
