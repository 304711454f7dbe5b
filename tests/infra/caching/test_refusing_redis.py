"""A Redis that refuses to write counts as unreachable: read-only, full, without its replicas."""

from collections.abc import Iterator
from contextlib import AbstractContextManager

import pytest
from django.core.cache import caches
from django.test import Client
from redis import Redis

from edge import rate_limits
from infra.caching import fail_open
from infra.circuit_breaker import CircuitBreaker
from tests.valkey_faults import out_of_memory, read_only, without_replicas
from tools.devserver.servers import Valkey

pytestmark = [pytest.mark.postgres, pytest.mark.django_db(transaction=True)]


@pytest.fixture(scope="module")
def valkey(tmp_path_factory) -> Iterator[Valkey]:
    with Valkey(tmp_path_factory.mktemp("cache")) as valkey:
        yield valkey


@pytest.fixture(params=[read_only, out_of_memory, without_replicas])
def refusing(request, valkey, settings) -> Iterator[AbstractContextManager[None]]:
    """The cache and the counter of requests, in a Redis that refuses to write inside the block."""
    settings.CACHE_URL = valkey.cache_url
    settings.CACHES = {
        alias: {**options, "LOCATION": valkey.cache_url}
        for alias, options in settings.CACHES.items()
    }
    settings.LIMITS = {**settings.LIMITS, "ip": "1000/minute"}
    fail_open.FailOpen._paused_until = rate_limits._paused_until = 0.0
    rate_limits.forget_all()
    yield request.param(valkey)
    with Redis.from_url(valkey.url) as client:
        client.flushall()
    fail_open.FailOpen._paused_until = rate_limits._paused_until = 0.0
    rate_limits.forget_all()


def call(name: str, *arguments: object) -> object:
    """Call the cache, which has not failed before."""
    fail_open.FailOpen._paused_until = 0.0
    return getattr(caches["shared"], name)(*arguments)


def test_no_operation_of_the_cache_fails(refusing):
    call("set", "copy", 1)
    with refusing:
        assert call("get", "copy") in (1, None)
        assert call("get_many", ["copy"]) in ({"copy": 1}, {})
        assert call("add", "new", 1) is True
        call("set", "copy", 2)
        call("set_many", {"copy": 2, "other": 3})
        call("delete_many", ["copy"])
        call("delete", "copy")
    call("set", "copy", 3)
    assert call("get", "copy") == 3


def test_pages_and_the_api_are_served(refusing, admin_client):
    with refusing:
        for client, path in ((Client(), "/v1/products"), (admin_client, "/admin/")):
            fail_open.FailOpen._paused_until = rate_limits._paused_until = 0.0
            assert client.get(path).status_code == 200


def test_a_circuit_breaker_opens_and_closes(refusing):
    breaker = CircuitBreaker("bank", failures=1, reset_timeout=60)
    with refusing:
        assert breaker.call(lambda: "answer") == "answer"
        with pytest.raises(ZeroDivisionError):
            breaker.call(lambda: 1 / 0)
        assert breaker.state == "open"
        breaker.close()
        assert breaker.call(lambda: "answer") == "answer"
