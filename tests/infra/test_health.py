"""Liveness and readiness follow the heartbeat of a loop; a failed check gives its true reason."""

from collections.abc import Callable

import pytest
from celery import current_app
from django.db import connection, connections

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


@pytest.mark.django_db(transaction=True)
def test_a_database_that_does_not_answer_is_unreachable():
    away = {**connections.settings["default"], "HOST": "/nowhere", "NAME": "/nowhere/database"}
    if connection.vendor == "postgresql":
        away["OPTIONS"] = {}
    there = connections["default"]
    connections["default"] = there.__class__(away, "default")
    try:
        assert health.database() == "database unreachable"
    finally:
        connections["default"] = there
    assert health.database() == ""


@pytest.mark.django_db
def test_an_error_of_our_own_is_not_an_unreachable_database():
    with connection.execute_wrapper(lambda *args: {}["ours"]):
        assert health.database() == "database check failed: KeyError"


@pytest.mark.parametrize(
    ("url", "problem"),
    [
        ("redis://127.0.0.1:9/0", "broker unreachable"),
        ("amqp://guest:guest@127.0.0.1:9//", "broker unreachable"),
        ("nonsense://127.0.0.1:9/0", "broker check failed: KeyError"),
    ],
)
def test_a_broker_is_unreachable_or_its_check_has_failed(settings, monkeypatch, url, problem):
    settings.CELERY_BROKER_URL = url
    for setting in ("broker_url", "broker_write_url"):
        monkeypatch.setattr(current_app.conf, setting, url)
    assert health.broker() == problem
