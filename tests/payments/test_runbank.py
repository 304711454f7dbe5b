"""runbank: requests, refusals, webhooks, and a clean end."""

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

from payments.gateway.in_memory import InMemoryBank
from payments.management.bank_server import BankServer
from payments.management.webhook_sender import WebhookSender

REQUEST = {"amount": "20.00", "currency": "EUR", "card": "tok_ok"}
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
    answer = httpx.post(f"{url}/captures", json=REQUEST, headers=KEY)
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
    answer = httpx.post(f"{url}{path}", json={**REQUEST, **changes}, headers=headers)
    assert answer.status_code == status
    assert answer.json()["reason"]


@pytest.mark.parametrize("body", [b"", b"{", b"[]", b"x" * 200_000])
def test_a_body_that_is_no_object_is_refused(url, body):
    assert httpx.post(f"{url}/captures", content=body, headers=KEY).status_code == 400


def test_an_unknown_capture_is_not_found(url):
    answer = httpx.get(f"{url}/captures/never")
    assert (answer.status_code, answer.json()["state"]) == (404, "none")


def test_it_ends_at_once_even_while_a_caller_waits(bank):
    process, url = bank
    with pytest.raises(httpx.ReadTimeout):
        slow = {**REQUEST, "card": "tok_slow"}
        httpx.post(f"{url}/captures", json=slow, headers={"Idempotency-Key": "s"}, timeout=0.3)

    process.send_signal(signal.SIGTERM)

    assert process.wait(timeout=5) == 0
    assert process.stdout.read().strip() == "Bank stopped."


def test_webhooks_need_an_address_and_a_secret(settings):
    with pytest.raises(CommandError, match="need --webhooks"):
        call_command("runbank", "--double")
    with pytest.raises(CommandError, match="BANK_WEBHOOK_SECRET"):
        call_command("runbank", "--webhooks", "http://127.0.0.1:9")


@pytest.fixture
def refusing_server() -> Iterator[str]:
    """A server that answers 400 to all webhooks."""
    with BankServer("127.0.0.1", 0, 0) as server:
        thread = threading.Thread(target=server.serve_forever, args=(0.02,))
        thread.start()
        yield server.url
        server.shutdown()
        thread.join()


def sent(url: str, count: int, **options: Any) -> list[dict[str, Any]]:
    """Capture and refund a payment, and return the webhooks in the order they were sent."""
    defaults = {"late": 0.0, "double": False, "forge": False, "reorder": False}
    sender = WebhookSender(url, "secret", **{**defaults, **options})
    bank = InMemoryBank(sender.enqueue)
    captured = bank.capture("k", Decimal("20.00"), "EUR", "tok_ok")
    bank.refund("r", captured.body["reference"], Decimal("20.00"), "EUR")
    sender.start()
    deadline = time.monotonic() + 10
    while len(sender.sent) < count and time.monotonic() < deadline:
        time.sleep(0.02)
    time.sleep(0.05)  # no other may follow
    return sender.sent


def kinds(webhooks: list[dict[str, Any]]) -> list[str]:
    return [webhook["type"].removeprefix("charge.") for webhook in webhooks]


def test_webhooks_report_the_states_of_a_capture_in_order(refusing_server):
    assert kinds(sent(refusing_server, 2)) == ["captured", "refunded"]


def test_reordered_the_later_one_comes_first(refusing_server):
    assert kinds(sent(refusing_server, 2, reorder=True)) == ["refunded", "captured"]


def test_late_they_come_later(refusing_server):
    began = time.monotonic()
    sent(refusing_server, 2, late=0.5)
    assert time.monotonic() - began >= 0.5


def test_doubled_each_comes_twice_with_one_id(refusing_server):
    webhooks = sent(refusing_server, 4, double=True)
    assert kinds(webhooks) == ["captured"] * 2 + ["refunded"] * 2
    assert len({webhook["id"] for webhook in webhooks}) == 2


def test_a_forgery_comes_before_each(refusing_server):
    assert [webhook["forged"] for webhook in sent(refusing_server, 4, forge=True)] == [
        True,
        False,
    ] * 2


def test_a_repeated_request_sends_no_second_webhook(refusing_server):
    charges: list[dict[str, str]] = []
    bank = InMemoryBank(charges.append)
    for _ in range(3):
        bank.capture("k", Decimal("20.00"), "EUR", "tok_insufficient_funds")
    assert [(charge["state"], charge["reason"]) for charge in charges] == [
        ("declined", "insufficient funds")
    ]
