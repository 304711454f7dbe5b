"""What every test may use: the weather, the bus, and the shop."""

import datetime as dt
import math
from collections.abc import Iterator

import pytest

from eventbus.testing import Bus
from infra import clock

WEATHERS = ["calm", "echo", *(f"jumble-{seed}" for seed in range(12))]


@pytest.fixture(autouse=True)
def present() -> Iterator[None]:
    """Bring time back after a test that let it pass."""
    yield
    clock.offset = dt.timedelta()


@pytest.fixture(autouse=True)
def own_cache(settings, monkeypatch) -> None:
    """Give each test an empty cache: breakers remember. Hash passwords fast, and limit nobody.

    No live setting is changed, and no database asked, unless a test says `store.forget()`.
    """
    from django.core.cache import caches

    from edge.rate_limits import limiter
    from infra.runtime_settings import store

    for cache in caches.all():
        cache.clear()
    limiter.cache_clear()
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
