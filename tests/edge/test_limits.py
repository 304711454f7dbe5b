"""Rate limits: exact for any number of racing requests, and no single point of failure."""

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
import time_machine
from django.conf import settings as given
from django.http import HttpRequest
from django.test import Client
from rest_framework.test import APIClient

from accounts.models import User
from edge import memory_storage, rate_limits

pytestmark = pytest.mark.django_db
LOGIN = {"email": "sari@example.org", "password": "wrong"}


@pytest.fixture(autouse=True)
def unpaused() -> Iterator[None]:
    rate_limits._paused_until = 0.0
    yield
    rate_limits._paused_until = 0.0


def later(seconds: float) -> Any:
    """Move this process's time on."""
    return time_machine.travel(time.time() + seconds)


def as_(name: str) -> APIClient:
    client = APIClient()
    user, _ = User.objects.get_or_create(email=f"{name}@example.org", name=name)
    client.force_authenticate(user)
    return client


def statuses(client: Any, path: str, times: int, **more: Any) -> list[int]:
    return [client.get(path, **more).status_code for _ in range(times)]


def test_a_user_is_limited_and_the_headers_have_the_numbers(settings: Any) -> None:
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

    with later(61):
        assert sari.get("/v1/orders").status_code == 200


def test_a_burst_around_the_turn_of_a_minute_gets_no_second_quota(settings: Any) -> None:
    settings.LIMITS = settings.LIMITS | {"user": "4/min"}
    sari = as_("sari")
    turn = (time.time() // 60 + 1) * 60
    with time_machine.travel(turn - 30, tick=False):
        assert statuses(sari, "/v1/orders", 1) == [200]
    with time_machine.travel(turn - 1, tick=False):
        assert statuses(sari, "/v1/orders", 4) == [200, 200, 200, 429]
    with time_machine.travel(turn + 1, tick=False):
        refused = sari.get("/v1/orders")
        assert (refused.status_code, refused["Retry-After"]) == (429, "29")
    with time_machine.travel(turn + 31, tick=False):  # the first of them no longer counts
        assert statuses(sari, "/v1/orders", 2) == [200, 429]
    with time_machine.travel(turn + 60, tick=False):
        assert statuses(sari, "/v1/orders", 4) == [200, 200, 200, 429]


def test_an_address_is_limited_whichever_token_it_sends(settings: Any) -> None:
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


def test_log_ins_are_limited_in_the_api_and_the_admin(settings: Any) -> None:
    settings.LIMITS = settings.LIMITS | {"login": "2/min"}
    assert [Client().post("/v1/tokens", LOGIN).status_code for _ in range(3)] == [401, 401, 429]
    page = Client().post("/admin/login/", LOGIN)
    assert (page.status_code, page["Content-Type"]) == (429, "text/plain; charset=utf-8")
    assert Client().get("/admin/login/").status_code == 200


def test_limits_change_while_the_shop_runs(settings: Any) -> None:
    settings.LIMITS = settings.LIMITS | {"user": "1/min"}
    assert statuses(as_("sari"), "/v1/orders", 2) == [200, 429]
    settings.LIMITS = settings.LIMITS | {"user": "3/min"}
    assert statuses(as_("sari"), "/v1/orders", 4) == [200, 200, 200, 429]
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
def test_only_trusted_proxies_determine_the_client_s_address(
    settings: Any, proxies: int, forwarded: str | None, who: str
) -> None:
    settings.REST_FRAMEWORK = {**settings.REST_FRAMEWORK, "NUM_PROXIES": proxies}
    request = HttpRequest()
    request.META["REMOTE_ADDR"] = "192.0.2.1"
    if forwarded:
        request.META["HTTP_X_FORWARDED_FOR"] = forwarded
    assert rate_limits.address(request) == who


@pytest.mark.parametrize("text", ["10", "10/fortnight", "ten/min", "/min"])
def test_a_malformed_rate_is_refused(text: str) -> None:
    with pytest.raises(ValueError):
        rate_limits.rate(text)


def test_the_limits_as_shipped_can_be_read() -> None:
    from config import settings as shipped

    assert all(rate_limits.rate(text) for text in shipped.LIMITS.values())


def test_threads_count_together_in_memory(settings: Any) -> None:
    settings.CACHE_URL = ""
    item = rate_limits.rate("250/day")
    assert item

    def request(_: int) -> bool:
        status = rate_limits._count(item, "user", "sari")
        assert status
        return status.allowed

    with ThreadPoolExecutor(8) as crowd:
        assert sum(crowd.map(request, range(400))) == 250


def test_memory_is_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(memory_storage, "MOST_CALLERS", 30)
    storage = memory_storage.ThreadSafeMemoryStorage()
    assert all(storage.acquire_entry(str(caller), 1, 60) for caller in range(100))
    assert len(storage._times) <= 30
    assert not storage.acquire_entry("99", 1, 60)


CLIENT = """
import django; django.setup()
from django.http import HttpRequest
from edge import rate_limits
def allowed():
    request = HttpRequest(); request.rate_limits = []
    try:
        rate_limits.check(request, "user", "sari")
    except rate_limits.TooManyRequests:
        return False
    return True
print("ready", flush=True); input()
print(sum(allowed() for _ in range(300)))
"""


@pytest.mark.postgres
def test_two_processes_count_together() -> None:
    env = {**os.environ, "DJANGO_SETTINGS_MODULE": "config.settings", "LIMITS": "user=250/day"}
    clients = [
        subprocess.Popen(
            [sys.executable, "-c", CLIENT],
            cwd=given.BASE_DIR,
            env=env,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )
        for _ in range(2)
    ]
    for client in clients:
        assert client.stdout and client.stdin
        assert client.stdout.readline() == "ready\n"
    for client in clients:
        assert client.stdin
        client.stdin.write("\n")
        client.stdin.flush()
    allowed = [json.loads(client.communicate(timeout=60)[0]) for client in clients]
    assert sum(allowed) == 250, allowed


def test_without_redis_all_requests_pass_but_log_ins(settings: Any) -> None:
    settings.LIMITS = dict.fromkeys(settings.LIMITS, "9/min")
    with socket.socket() as closed_port:
        closed_port.bind(("127.0.0.1", 0))
        settings.CACHE_URL = f"redis://127.0.0.1:{closed_port.getsockname()[1]}/0"

        assert Client().get("/v1/products").status_code == 200
        assert statuses(as_("sari"), "/v1/orders", 20) == [200] * 20
        assert as_("sari").post("/v1/orders", {}).status_code == 400

        for path in ("/v1/tokens", "/admin/login/"):
            closed = Client().post(path, LOGIN)
            assert closed.status_code == 503
            assert int(closed["Retry-After"]) > 0
        assert "RateLimit" not in closed


def test_of_a_process_one_request_waits_for_a_redis_that_hangs(settings: Any) -> None:
    settings.LIMITS = settings.LIMITS | {"ip": "9/min", "user": "9/min"}
    with socket.create_server(("127.0.0.1", 0)) as silent:
        settings.CACHE_URL = f"redis://127.0.0.1:{silent.getsockname()[1]}/0"
        began = time.monotonic()
        assert statuses(as_("sari"), "/v1/orders", 10) == [200] * 10
        assert time.monotonic() - began < 1.9
