"""The cache that processes share: Valkey, and Django's in memory, which keeps the same promises."""

from collections.abc import Iterator

import pytest
from django.core.cache import caches

from infra.caching import fail_open

MEMORY = {"BACKEND": "django.core.cache.backends.locmem.LocMemCache"}


@pytest.fixture(params=["valkey", "memory"])
def cache(request, settings) -> Iterator[object]:
    if request.param == "memory":
        settings.CACHES = {**settings.CACHES, "shared": MEMORY}
    elif not settings.CACHE_URL:
        pytest.skip("copies in Valkey: a run on SQLite starts none")
    fail_open.FailOpen._paused_until = 0.0
    yield caches["shared"]
    caches["shared"].clear()
