"""How often one may knock: exact however many knock at once, and no reason to fall over."""

import datetime as dt
import json
import os
import re
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest
from django.conf import settings as given
from django.http import HttpRequest
from django.test import Client
from rest_framework.test import APIClient

from accounts.models import User
from edge import rate_limits
from infra import clock

pytestmark = pytest.mark.django_db
LOGIN = {"email": "sari@example.org", "password": "wrong"}


@pytest.fixture(autouse=True)
def early_in_a_window() -> None:
    """Go on to the next minute, so that no window ends within a test."""
    clock.offset += dt.timedelta(seconds=60 - time.time() % 60)


@pytest.fixture(autouse=True)
def rested() -> Iterator[None]:
    rate_limits._rests_until = 0.0
    yield
    rate_limits._rests_until = 0.0


def as_(name: str) -> APIClient:
    client = APIClient()
    user, _ = User.objects.get_or_create(email=f"{name}@example.org", name=name)
    client.force_authenticate(user)
    return client


def statuses(client: Any, path: str, times: int, **more: Any) -> list[int]:
    return [client.get(path, **more).status_code for _ in range(times)]


def test_a_user_may_ask_so_often_and_is_told(settings: Any) -> None:
    settings.LIMITS = settings.LIMITS | {"user": "2/min"}
    sari = as_("sari")
    first = sari.get("/v1/orders")
    assert first["RateLimit-Policy"] == '"user";q=2;w=60'
    assert re.fullmatch(r'"user";r=1;t=(60|59)', first["RateLimit"])
    assert sari.get("/v1/orders").status_code == 200

    refused = sari.get("/v1/orders")
    assert refused.status_code == 429
    assert refused["Content-Type"] == "application/problem+json"
    assert refused.json()["type"] == "/problems/TooManyRequests"
    assert refused["Retry-After"] in ("58", "59", "60")
    assert '"user";r=0;' in refused["RateLimit"]
    assert as_("budi").get("/v1/orders").status_code == 200

    clock.offset += dt.timedelta(seconds=60)
    assert sari.get("/v1/orders").status_code == 200


def test_an_address_may_ask_so_often_whoever_it_says_it_is(settings: Any) -> None:
    settings.LIMITS = settings.LIMITS | {"ip": "3/min"}
    stale = {"authorization": "Bearer nonsense"}
    assert statuses(Client(), "/v1/orders", 3, headers=stale) == [401, 401, 401]

    refused = Client().get("/v1/orders", headers=stale)
    assert (refused.status_code, refused.json()["type"]) == (429, "/problems/TooManyRequests")
    assert int(refused["Retry-After"]) > 0
    assert Client().get("/").status_code == 429
    assert Client().get("/health/live").status_code == 200
    assert Client(REMOTE_ADDR="192.0.2.1").get("/v1/products").status_code == 200


def test_an_operation_may_have_a_stricter_limit(settings: Any) -> None:
    settings.LIMITS = settings.LIMITS | {"user": "100/min", "checkout": "1/min"}
    sari = as_("sari")
    first, second = (sari.post("/v1/orders", {}) for _ in range(2))
    assert (first.status_code, second.status_code) == (400, 429)
    assert first["RateLimit-Policy"] == '"user";q=100;w=60, "checkout";q=1;w=60'
    assert sari.get("/v1/orders").status_code == 200


def test_passwords_are_guessed_slowly_at_every_door(settings: Any) -> None:
    settings.LIMITS = settings.LIMITS | {"login": "2/min"}
    assert [Client().post("/v1/tokens", LOGIN).status_code for _ in range(3)] == [401, 401, 429]
    page = Client().post("/admin/login/", LOGIN)
    assert (page.status_code, page["Content-Type"]) == (429, "text/plain; charset=utf-8")
    assert Client().get("/admin/login/").status_code == 200


def test_limits_change_while_the_house_is_open(settings: Any) -> None:
    settings.LIMITS = settings.LIMITS | {"user": "1/min"}
    assert statuses(as_("sari"), "/v1/orders", 2) == [200, 429]
    settings.LIMITS = settings.LIMITS | {"user": "3/min"}
    assert statuses(as_("sari"), "/v1/orders", 2) == [200, 429]
    settings.LIMITS = settings.LIMITS | {"user": ""}
    assert statuses(as_("sari"), "/v1/orders", 3) == [200, 200, 200]


@pytest.mark.parametrize(
    ("proxies", "forwarded", "who"),
    [
        (0, "203.0.113.9", "192.0.2.1"),
        (1, "203.0.113.9", "203.0.113.9"),
        (1, "198.51.100.7, 203.0.113.9", "203.0.113.9"),
        (2, "6.6.6.6, 198.51.100.7, 203.0.113.9", "198.51.100.7"),
        (1, "nonsense", "192.0.2.1"),
        (1, "2001:db8:1:2:3:4:5:6", "2001:db8:1:2::/64"),
        (1, None, "192.0.2.1"),
    ],
)
def test_only_our_own_proxies_say_where_a_request_comes_from(
    settings: Any, proxies: int, forwarded: str | None, who: str
) -> None:
    settings.REST_FRAMEWORK = {**settings.REST_FRAMEWORK, "NUM_PROXIES": proxies}
    request = HttpRequest()
    request.META["REMOTE_ADDR"] = "192.0.2.1"
    if forwarded:
        request.META["HTTP_X_FORWARDED_FOR"] = forwarded
    assert rate_limits.address(request) == who


@pytest.mark.parametrize("text", ["10", "10/fortnight", "ten/min", "/min"])
def test_what_is_no_rate_is_refused(text: str) -> None:
    with pytest.raises(ValueError):
        rate_limits.rate(text)


def test_the_limits_as_shipped_can_be_read() -> None:
    from config import settings as shipped

    assert all(rate_limits.rate(text) for text in shipped.LIMITS.values())


def in_memory(settings: Any) -> None:
    _counting_in(settings, {"BACKEND": "django.core.cache.backends.locmem.LocMemCache"})


def at(settings: Any, port: int) -> None:
    options = {"SOCKET_CONNECT_TIMEOUT": 0.5, "SOCKET_TIMEOUT": 0.5}
    backend = "django_redis.cache.RedisCache"
    address = f"redis://127.0.0.1:{port}/0"
    _counting_in(settings, {"BACKEND": backend, "LOCATION": address, "OPTIONS": options})


def _counting_in(settings: Any, cache: dict[str, Any]) -> None:
    settings.CACHES = {**settings.CACHES, "limits": cache}


def test_threads_count_together_in_memory(settings: Any) -> None:
    in_memory(settings)
    with ThreadPoolExecutor(8) as crowd:
        counts = list(crowd.map(lambda _: rate_limits._count("a-window", 60), range(400)))
    assert sorted(counts) == list(range(1, 401))


KNOCK = """
import django; django.setup()
from django.http import HttpRequest
from config import limits
def knock():
    request = HttpRequest(); request.counts = []
    try:
        limits.check(request, "user", "somebody")
    except limits.TooManyRequests:
        return False
    return True
print("ready", flush=True); input()
print(sum(knock() for _ in range(300)))
"""


@pytest.mark.postgres
def test_two_processes_count_together() -> None:
    env = {**os.environ, "DJANGO_SETTINGS_MODULE": "config.settings", "LIMITS": "user=250/day"}
    knockers = [
        subprocess.Popen(
            [sys.executable, "-c", KNOCK],
            cwd=given.BASE_DIR,
            env=env,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )
        for _ in range(2)
    ]
    for knocker in knockers:
        assert knocker.stdout and knocker.stdin
        assert knocker.stdout.readline() == "ready\n"
    for knocker in knockers:
        assert knocker.stdin
        knocker.stdin.write("\n")
        knocker.stdin.flush()
    let_in = [json.loads(knocker.communicate(timeout=60)[0]) for knocker in knockers]
    assert sum(let_in) == 250, let_in


def test_without_counters_all_goes_on_but_log_ins(settings: Any) -> None:
    settings.LIMITS = dict.fromkeys(settings.LIMITS, "9/min")
    with socket.socket() as nobody:
        nobody.bind(("127.0.0.1", 0))
        at(settings, nobody.getsockname()[1])

        assert Client().get("/v1/products").status_code == 200
        assert statuses(as_("sari"), "/v1/orders", 20) == [200] * 20
        assert as_("sari").post("/v1/orders", {}).status_code == 400

        for path in ("/v1/tokens", "/admin/login/"):
            closed = Client().post(path, LOGIN)
            assert closed.status_code == 503
            assert int(closed["Retry-After"]) > 0
        assert "RateLimit" not in closed


def test_counters_that_hang_are_not_waited_for_by_each(settings: Any) -> None:
    settings.LIMITS = settings.LIMITS | {"ip": "9/min", "user": "9/min"}
    with socket.create_server(("127.0.0.1", 0)) as deaf:
        at(settings, deaf.getsockname()[1])
        began = time.monotonic()
        assert statuses(as_("sari"), "/v1/orders", 10) == [200] * 10
        assert time.monotonic() - began < 1.9
