"""The web process's probes: JSON for machines, a page for people, and no secrets for either."""

from pathlib import Path
from typing import Any

import pytest
from django.test import Client

from config import health

pytestmark = pytest.mark.django_db(transaction=True)


@pytest.fixture(autouse=True)
def own_lockfile(settings: Any, tmp_path: Path) -> None:
    settings.EVENTBUS = {**settings.EVENTBUS, "LOCKFILE": str(tmp_path / "relay.lock")}


@pytest.fixture
def draining() -> Any:
    health.draining.set()
    yield
    health.draining.clear()


def test_a_process_answers_that_it_lives() -> None:
    answer = Client().get("/health/live")
    assert answer.status_code == 200
    assert answer.json()["status"] == "ok"


def test_a_process_without_a_relay_is_not_ready() -> None:
    answer = Client().get("/health/ready")
    assert answer.status_code == 503
    assert answer.json()["status"] == "no relay runs"
    assert answer.json()["checks"]["database"] == "ok"


def test_draining_is_the_first_reason(draining: None) -> None:
    answer = Client().get("/health/ready")
    assert answer.status_code == 503
    assert answer.json()["status"] == "draining"
    assert Client().get("/health/live").status_code == 200


def test_people_see_a_page(draining: None) -> None:
    page = Client().get("/health/ready", headers={"accept": "text/html,*/*;q=0.8"})
    assert page.status_code == 503
    assert page.headers["Content-Type"].startswith("text/html")
    assert "draining" in page.text


def test_probes_are_never_cached_and_need_no_log_in() -> None:
    answer = Client().get("/health/ready")
    assert "no-store" in answer.headers["Cache-Control"]
    assert "sessionid" not in answer.cookies


def test_a_warning_does_not_fail(monkeypatch: pytest.MonkeyPatch) -> None:
    def away(self: object) -> None:
        raise health.ServiceWarning("away")

    monkeypatch.setattr(health.Relay, "run", away)
    answer = Client().get("/health/ready")
    assert answer.status_code == 200
    assert answer.json() == {
        "status": "ok",
        "checks": answer.json()["checks"] | {"relay": "away"},
    }


def test_an_internal_error_is_not_revealed(monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(self: object) -> None:
        raise RuntimeError("host db.internal, password swordfish")

    monkeypatch.setattr(health.Relay, "run", fail)
    answer = Client().get("/health/ready")
    assert answer.status_code == 503
    assert "swordfish" not in answer.text
