"""The command that plays the bank: it starts, refuses nonsense, and ends cleanly."""

import signal
import subprocess
import sys
from collections.abc import Iterator

import httpx
import pytest

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
