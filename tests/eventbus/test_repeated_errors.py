"""A relay that fails each second in the same way logs it once in full, then counts."""

from collections.abc import Callable

import pytest
from structlog.testing import capture_logs

from eventbus.relay import relay as relays
from eventbus.relay.relay import Relay
from eventbus.relay.repeated_errors import RepeatedErrors
from eventbus.testing import InMemoryTransport


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Callable[[float], None]:
    """Move the monotonic clock forward, by seconds."""
    now = 1000.0
    monkeypatch.setattr("eventbus.relay.repeated_errors.time.monotonic", lambda: now)

    def move(seconds: float) -> None:
        nonlocal now
        now += seconds

    return move


def test_each_kind_is_logged_in_full_once_and_then_counted(clock):
    errors = RepeatedErrors("relay iteration failed")
    with capture_logs() as logs:
        for second in range(3600):
            errors.log(ValueError(f"a number that changes: {second}"))
            clock(1)
        errors.log(KeyError("another kind"))

    full = [entry for entry in logs if entry.get("exc_info")]
    assert [type(entry["exc_info"]) for entry in full] == [ValueError, KeyError]
    counted = [entry["times"] for entry in logs if "times" in entry]
    assert counted[:4] == [10, 20, 40, 80]
    assert max(counted) == 600
    assert len(logs) < 20
    assert all("ValueError" in entry["error"] for entry in logs if "times" in entry)


def test_an_error_that_comes_again_much_later_is_logged_in_full(clock):
    errors = RepeatedErrors("relay iteration failed")
    with capture_logs() as logs:
        errors.log(ValueError("first"))
        clock(3700)
        errors.log(ValueError("again"))
    assert [bool(entry.get("exc_info")) for entry in logs] == [True, True]


@pytest.mark.django_db
def test_the_relay_goes_on_after_errors_of_our_own(monkeypatch, settings):
    settings.EVENTBUS = {**settings.EVENTBUS, "BROKER_RETRY_INTERVAL": 0.001}
    relay, failures = Relay(InMemoryTransport()), []

    def fail() -> int:
        failures.append(1)
        if len(failures) == 50:
            relay.stop()
        raise ValueError("ours")

    monkeypatch.setattr(relay, "_iterate", fail)
    monkeypatch.setattr(relays, "connection", type("Kept", (), {"close": staticmethod(int)}))
    with capture_logs() as logs:
        relay.run()
    assert len(failures) == 50
    assert [entry["event"] for entry in logs] == ["relay iteration failed"]
