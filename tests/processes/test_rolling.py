"""A web process that restarts or ends finishes all requests that it has accepted."""

import signal
import threading
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

import httpx

from tests.processes.buyers import list_product, sign_up
from tests.processes.deployment import Deployment, Process, wait_until

PACE = 0.02  # seconds between two requests of a customer


@dataclass
class Load:
    """The answers that a small, constant crowd of customers gets."""

    url: str
    token: str
    answers: Counter[str] = field(default_factory=Counter)
    slowest: float = 0.0

    def look(self, client: httpx.Client) -> None:
        """Look at the catalogue on a connection that is kept."""
        self._count(client.get("/v1/products"))

    def order(self, client: httpx.Client) -> None:
        """Order on a new connection; the order must not be taken twice."""
        body = {"lines": [{"sku": "teapot", "quantity": 1}], "country": "ID"}
        self._count(client.post("/v1/orders", json=body, headers={"Connection": "close"}))

    def _count(self, answer: httpx.Response) -> None:
        self.answers[str(answer.status_code)] += 1
        self.slowest = max(self.slowest, answer.elapsed.total_seconds())


@contextmanager
def load(web: Process, token: str, keepers: int = 3, strangers: int = 1) -> Iterator[Load]:
    """Send requests all the time, each of them once."""
    seen, over = Load(f"http://127.0.0.1:{web.port}", token), threading.Event()

    def go(ask: str) -> None:
        headers = {"Authorization": f"Bearer {token}"}
        with httpx.Client(
            base_url=seen.url, headers=headers, timeout=30, trust_env=False
        ) as client:
            while not over.wait(PACE):
                try:
                    getattr(seen, ask)(client)
                except httpx.HTTPError as error:
                    seen.answers[type(error).__name__] += 1

    crowd = [threading.Thread(target=go, args=("look",)) for _ in range(keepers)]
    crowd += [threading.Thread(target=go, args=("order",)) for _ in range(strangers)]
    for one in crowd:
        one.start()
    try:
        yield seen
    finally:
        over.set()
        for one in crowd:
            one.join()


def workers_of(web: Process) -> set[str]:
    """Return the processes that serve."""
    return set(Path(f"/proc/{web.pid}/task/{web.pid}/children").read_text().split())


def test_a_rolling_restart_under_load_fails_no_request(deployment: Deployment) -> None:
    # given
    web = deployment.web(
        WEB_CONCURRENCY="2", LIMITS="ip=,user=,checkout=", MOST_OPEN_ORDERS="100000"
    )
    web.until("ready", "ok")
    list_product(deployment, "teapot", 1_000_000)
    (buyer,) = sign_up(deployment, web)

    # when
    with load(web, buyer.token) as seen:
        for _ in range(2):
            before = workers_of(web)
            web.signal(signal.SIGHUP)
            wait_until(lambda old=before: not workers_of(web) & old and len(workers_of(web)) == 2)
            assert web.health("ready") == "ok"
            time.sleep(0.5)

    # then
    assert set(seen.answers) == {"200", "201"}, seen.answers
    assert seen.answers["201"] > 5
    assert seen.answers["200"] > 50
    assert deployment.sql("SELECT count(*) FROM orders_order") == [(seen.answers["201"],)]


def test_readiness_fails_first_and_what_was_begun_is_finished(deployment: Deployment) -> None:
    # given
    web = deployment.web(WEB_CONCURRENCY="2", DRAIN_SECONDS="6", LIMITS="ip=,user=,checkout=")
    web.until("ready", "ok")
    list_product(deployment, "teapot", 1_000_000)
    (buyer,) = sign_up(deployment, web)

    # when: as a balancer does, which stops sending when readiness fails
    with load(web, buyer.token, keepers=2, strangers=0) as seen:
        wait_until(lambda: seen.answers.total() > 5)
        web.signal(signal.SIGTERM)
        web.until("ready", "draining")
        asked = seen.answers.total()
        wait_until(lambda: seen.answers.total() > asked)
    with deployment.locked("orders_product"):
        slow = threading.Thread(target=lambda: answers.append(buyer.order("teapot")))
        answers: list[str] = []
        slow.start()
        wait_until(deployment.waits_for_a_lock)
        wait_until(lambda: web.health("ready", 1) == "unreachable")

    # then
    slow.join()
    assert set(seen.answers) == {"200"}, seen.answers
    assert len(answers) == 1
    assert web.wait() == 0
