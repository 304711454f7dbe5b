"""Counts gather and go to the database in batches; what may be lost is bounded."""

from collections import Counter
from concurrent.futures import ThreadPoolExecutor

import pytest
from django.core.cache import caches
from django.db import OperationalError

from infra.caching import WriteBehind, fail_open

pytestmark = pytest.mark.postgres


class Table:
    """A table of counts, which counts how often it is written."""

    def __init__(self) -> None:
        self.counts: Counter[str] = Counter()
        self.writes = 0
        self.away = False

    def write(self, counts) -> None:
        if self.away:
            raise OperationalError("no database")
        self.writes += 1
        self.counts.update(counts)


@pytest.fixture(autouse=True)
def rested() -> None:
    fail_open.FailOpen._paused_until = 0.0


def test_a_thousand_counts_of_many_threads_are_a_few_writes_and_none_is_lost():
    table = Table()
    views = WriteBehind("views", table.write, every=60)
    with ThreadPoolExecutor(8) as pool:
        list(pool.map(lambda n: views.add("teapot" if n % 2 else "cup"), range(1000)))
    assert table.writes == 1  # the first; all others are within the interval

    views.flush()
    assert table.counts == {"teapot": 500, "cup": 500}
    assert table.writes == 2


def test_counts_that_the_database_refuses_are_kept():
    table = Table()
    views = WriteBehind("views", table.write, every=60)
    views.add("teapot")
    table.away = True
    views.add("teapot")
    views.flush()
    table.away = False
    views.flush()
    assert table.counts == {"teapot": 2}


def test_when_redis_is_emptied_only_counts_since_the_last_batch_are_lost():
    table = Table()
    views = WriteBehind("views", table.write, every=60)
    views.add("teapot")
    for _ in range(10):
        views.add("teapot")
    caches["shared"].clear()
    views.add("teapot")
    assert table.counts == {"teapot": 2}  # the batch before, and what came after


def test_without_redis_each_count_is_written_immediately(settings):
    away = {**settings.CACHES["shared"], "LOCATION": "unix:///nowhere/valkey.sock"}
    dummy = {"BACKEND": "django.core.cache.backends.dummy.DummyCache"}
    for cache in (away, dummy):
        fail_open.FailOpen._paused_until = 0.0
        settings.CACHES = {**settings.CACHES, "shared": cache}
        table = Table()
        views = WriteBehind("views", table.write)
        for _ in range(3):
            views.add("teapot")
        assert (table.writes, table.counts) == (3, {"teapot": 3})
