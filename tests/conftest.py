"""Fixtures for all tests: weather, bus and shop; and how much a push or a night tries."""

import datetime as dt
import math
import os
from collections.abc import Iterator
from pathlib import Path

import hypothesis
import pytest

from eventbus.consuming import pauses
from eventbus.testing import Bus
from infra import clock

# Set by `make nightly`, which takes the date: a push tries the same cases each time, a night tries
# new and many. A seed given by hand repeats its night.
SEED = int(os.environ.get("KABAR_SEED") or 0)
JUMBLES = [100 * SEED + number for number in range(12 if SEED else 3)]
WEATHERS = ["calm", "echo", *(f"jumble-{seed}" for seed in JUMBLES)]

PROCESSES = Path(__file__).parent / "processes"

_common = hypothesis.settings(
    deadline=None, database=None, suppress_health_check=list(hypothesis.HealthCheck)
)
hypothesis.settings.register_profile("push", _common, derandomize=True, max_examples=30)
hypothesis.settings.register_profile("nightly", _common, max_examples=300)
hypothesis.settings.load_profile("nightly" if SEED else "push")


@pytest.hookimpl(tryfirst=True)
def pytest_configure(config: pytest.Config) -> None:
    """Seed Hypothesis before its plugin reads the option."""
    if SEED and not config.option.hypothesis_seed:
        config.option.hypothesis_seed = str(SEED)


@pytest.hookimpl(tryfirst=True)  # pytest-xdist reads the groups in the same hook
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Keep tests apart that cannot run side by side in two workers."""
    for item in items:
        if item.get_closest_marker("rabbitmq"):  # one virtual host, and its queues
            item.add_marker(pytest.mark.xdist_group("rabbitmq"))
        elif item.path.is_relative_to(PROCESSES):  # they wait for others, and need the cores
            item.add_marker(pytest.mark.xdist_group("processes"))


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    """Print the seed that repeats this run."""
    if SEED:
        terminalreporter.write_line(f"KABAR_SEED={SEED} repeats this run.")


@pytest.fixture(autouse=True)
def present() -> Iterator[None]:
    """Bring time back after a test that let it pass."""
    yield
    clock.offset = dt.timedelta()
    pauses.forget()


@pytest.fixture(autouse=True)
def own_lock_files(settings, tmp_path_factory) -> None:
    """Give each worker of pytest-xdist its own lock files, as it has its own database."""
    path = tmp_path_factory.getbasetemp() / "relay.lock"
    settings.EVENTBUS = {**settings.EVENTBUS, "LOCKFILE": str(path)}


@pytest.fixture(autouse=True)
def own_cache(settings, monkeypatch) -> None:
    """Give each test an empty cache: breakers remember. Hash passwords fast, and limit nobody.

    No runtime setting is changed, and no database asked, unless a test says `store.forget()`.
    """
    from django.core.cache import caches

    from edge import rate_limits
    from infra.runtime_settings import store

    for cache in caches.all():
        cache.clear()
    rate_limits.forget_all()
    settings.LIMITS = dict.fromkeys(settings.LIMITS, "")
    monkeypatch.setattr(store, "_known", {})
    monkeypatch.setattr(store, "_until", math.inf)
    settings.PASSWORD_HASHERS = ["django.contrib.auth.hashers.MD5PasswordHasher"]


@pytest.fixture(params=WEATHERS)
def weather(request) -> str:
    return request.param


@pytest.fixture
def bus(db, weather) -> Bus:
    kind, _, seed = weather.partition("-")
    return Bus(kind, int(seed or 0))


@pytest.fixture
def calm(db) -> Bus:
    return Bus()


@pytest.fixture
def shop(bus, settings, tmp_path):
    from tests.shop import Shop

    return Shop(bus, settings, tmp_path)
