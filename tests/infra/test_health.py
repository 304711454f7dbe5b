"""Liveness and readiness follow the heartbeat of a loop."""

from collections.abc import Callable

import pytest

from infra import health
from infra.heartbeat import Heartbeat


@pytest.fixture
def later(monkeypatch: pytest.MonkeyPatch) -> Callable[[float], None]:
    """Move the monotonic clock forward, by seconds."""
    now = 1000.0
    monkeypatch.setattr("infra.heartbeat.time.monotonic", lambda: now)

    def move(seconds: float) -> None:
        nonlocal now
        now += seconds

    return move


@pytest.fixture
def heartbeat(monkeypatch: pytest.MonkeyPatch, later: Callable[[float], None]) -> Heartbeat:
    monkeypatch.setattr(health, "database", lambda: "")
    monkeypatch.setattr(health, "broker", lambda: "")
    return Heartbeat(blocked_after=60)


def test_a_loop_without_a_beat_is_blocked(heartbeat, later):
    heartbeat.beat()
    later(59)
    assert health.liveness(heartbeat) == ""
    later(2)
    assert health.liveness(heartbeat) == "blocked: no beat for 61 s"
    assert health.readiness(heartbeat) == "blocked: no beat for 61 s"
    heartbeat.beat()
    assert health.liveness(heartbeat) == ""


def test_a_paused_loop_is_not_blocked_and_not_ready(heartbeat, later):
    heartbeat.pause("broker unreachable")
    later(3600)
    assert health.liveness(heartbeat) == ""
    assert health.readiness(heartbeat) == "broker unreachable"


def test_a_loop_is_ready_from_its_first_beat_until_it_drains(heartbeat):
    assert health.readiness(heartbeat) == "starting"
    heartbeat.beat()
    assert health.readiness(heartbeat) == ""
    heartbeat.draining = True
    assert health.readiness(heartbeat) == "draining"
