"""Copies: made once for many, believed while they are true, and never a hindrance."""

import threading
import time
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest
from django.db import transaction

from infra.caching import CacheAside, WriteThrough, fail_open, single_flight

N = 50


class Shelf:
    """A truth to make copies of, which counts how often it is asked."""

    def __init__(self, **pieces: int) -> None:
        self.pieces, self.asked = pieces, 0
        self.meanwhile: Callable[[], object] = lambda: None

    def load(self, keys: Sequence[str]) -> Mapping[str, int]:
        self.asked += 1
        seen = {key: self.pieces[key] for key in keys if key in self.pieces}
        self.meanwhile()
        return seen


def at_once(do: Callable[[], Any]) -> list[Any]:
    """Do it N times, all at the same time."""
    start = threading.Barrier(N)

    def one(_: int) -> Any:
        start.wait()
        return do()

    with ThreadPoolExecutor(N) as pool:
        return list(pool.map(one, range(N)))


def test_fifty_simultaneous_misses_query_the_database_once(cache):
    shelf = Shelf(teapot=3)
    shelf.meanwhile = lambda: time.sleep(0.2)
    copies = CacheAside("shelf", shelf.load, ttl=60)

    assert at_once(lambda: copies.get("teapot")) == [3] * N
    assert shelf.asked == 1


def test_fifty_simultaneous_misses_of_a_page_query_once(cache):
    shelf = Shelf(teapot=3, cup=1)
    shelf.meanwhile = lambda: time.sleep(0.2)
    copies = CacheAside("shelf", shelf.load, ttl=60)

    found = at_once(lambda: copies.get_many(["teapot", "cup", "fan"]))
    assert found == [{"teapot": 3, "cup": 1, "fan": None}] * N
    assert shelf.asked == 1


def test_a_copy_read_before_a_change_and_stored_after_it_is_not_used(cache, transactional_db):
    # given: a reader who has read, and not stored yet
    shelf = Shelf(teapot=3)
    copies = CacheAside("shelf", shelf.load, ttl=60)
    has_read, may_store = threading.Event(), threading.Event()
    shelf.meanwhile = lambda: (has_read.set(), may_store.wait(10))
    with ThreadPoolExecutor(1) as pool:
        slow = pool.submit(copies.get, "teapot")
        assert has_read.wait(10)

        # when
        shelf.meanwhile = lambda: None
        shelf.pieces["teapot"] = 2
        copies.invalidate("teapot")
        may_store.set()

        # then
        assert slow.result() == 3
    assert copies.get("teapot") == 2
    assert copies.get("teapot") == 2
    assert shelf.asked == 2


def test_a_stale_copy_that_overwrites_a_fresh_one_is_not_used(cache, transactional_db):
    shelf = Shelf(teapot=3)
    copies = CacheAside("shelf", shelf.load, ttl=60)

    def change_and_read_by_another() -> None:
        shelf.meanwhile = lambda: None
        shelf.pieces["teapot"] = 2
        copies.invalidate("teapot")
        assert copies._load(["teapot"]) == {"teapot": 2}

    shelf.meanwhile = change_and_read_by_another
    assert copies.get("teapot") == 3  # read before the change
    assert copies.get("teapot") == 2


def test_a_copy_is_valid_until_the_change_commits_and_not_after(cache, transactional_db):
    shelf = Shelf(teapot=3)
    copies = CacheAside("shelf", shelf.load, ttl=60)
    copies.get("teapot")
    with transaction.atomic():
        shelf.pieces["teapot"] = 2
        copies.invalidate("teapot")
        assert copies.get("teapot") == 3
    assert copies.get("teapot") == 2


def test_a_missing_value_is_cached_as_missing(cache, transactional_db):
    shelf = Shelf()
    copies = CacheAside("shelf", shelf.load, ttl=60)
    assert [copies.get("teapot"), copies.get("teapot")] == [None, None]
    assert shelf.asked == 1
    shelf.pieces["teapot"] = 1
    copies.invalidate("teapot")
    assert copies.get("teapot") == 1


def test_only_missing_keys_are_loaded(cache):
    shelf = Shelf(teapot=3, cup=1)
    copies = CacheAside("shelf", shelf.load, ttl=60)
    copies.get("teapot")
    asked: list[Sequence[str]] = []
    copies.load = lambda keys: asked.append(keys) or shelf.load(keys)
    assert copies.get_many(["teapot", "cup"]) == {"teapot": 3, "cup": 1}
    assert asked == [["cup"]]


def test_copies_that_belong_together_are_invalidated_together(cache, transactional_db):
    shelf = Shelf(first=1, second=2)
    copies = CacheAside("pages", shelf.load, ttl=60, as_one=True)
    copies.get_many(["first", "second"])
    copies.invalidate()
    shelf.pieces = {"first": 10, "second": 20}
    assert copies.get_many(["first", "second"]) == shelf.pieces


def test_a_caller_that_died_while_loading_blocks_no_other(cache, monkeypatch):
    monkeypatch.setattr(single_flight, "LONGEST_WAIT", 0.1)
    shelf = Shelf(teapot=3)
    copies = CacheAside("shelf", shelf.load, ttl=60)
    monkeypatch.setattr(cache, "add", lambda name, *args: not name.startswith("dispatch:"))
    assert copies.get("teapot") == 3


def test_copies_made_together_do_not_expire_together(cache, monkeypatch):
    kept: list[float] = []
    monkeypatch.setattr(cache, "set_many", lambda data, timeout: kept.append(timeout))
    copies = CacheAside("shelf", Shelf(teapot=3).load, ttl=60)
    for _ in range(20):
        copies.get("teapot")
    assert len(set(kept)) == 20
    assert 48 <= min(kept) <= max(kept) <= 60


def test_a_written_value_is_found_by_the_next_reader(cache, transactional_db):
    shelf = Shelf(teapot=3)
    copies = WriteThrough("shelf", shelf.load, ttl=60)
    copies.get("teapot")
    copies.write("teapot", lambda: shelf.pieces.update(teapot=2))
    asked = shelf.asked
    assert copies.get("teapot") == 2
    assert shelf.asked == asked


@pytest.mark.postgres
def test_an_unreachable_redis_is_tried_rarely_and_requests_go_on(settings, transactional_db):
    fail_open.FailOpen._paused_until = 0.0
    nowhere = {**settings.CACHES["shared"], "LOCATION": "unix:///nowhere/valkey.sock"}
    settings.CACHES = {**settings.CACHES, "shared": nowhere}
    shelf = Shelf(teapot=3)
    copies = CacheAside("shelf", shelf.load, ttl=60)
    try:
        began = time.monotonic()
        assert [copies.get("teapot") for _ in range(100)] == [3] * 100
        copies.invalidate("teapot")
        assert time.monotonic() - began < 1
        assert shelf.asked == 100
    finally:
        fail_open.FailOpen._paused_until = 0.0
