"""Customers that order and pay over HTTP, many at the same time."""

import json
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Any
from uuid import uuid4

import httpx

from tests.processes.deployment import TIMEOUT, Deployment, Process, wait_until

LIST_PRODUCT = """
from decimal import Decimal
from django.db import transaction
from inventory import services as inventory
from orders import services as orders
with transaction.atomic():
    orders.list_product("{sku}", "{sku}", Decimal("10.00"), "EUR")
    inventory.add_stock_item("{sku}", 0)
    inventory.replenish("{sku}", {pieces})
"""
SIGN_UP = """
import datetime, json
from accounts.services import log_in, sign_up
from django.conf import settings
settings.JWT["ACCESS_LIFETIME"] = datetime.timedelta(hours=1)
def token(n):
    user = sign_up(email=f"buyer-{{n}}@example.org", password=None, name=f"Buyer {{n}}",
                   language="en", country="ID")
    return log_in(user).access
print(json.dumps([token(n) for n in range({first}, {first} + {count})]))
"""


@dataclass
class Buyer:
    """One customer, with a token and a connection."""

    web: Process
    token: str

    def __post_init__(self) -> None:
        self._http = httpx.Client(
            base_url=f"http://127.0.0.1:{self.web.port}",
            headers={"Authorization": f"Bearer {self.token}"},
            timeout=TIMEOUT * 2,
            # Shorter than gunicorn's 2 s: no request may use a connection that gunicorn closes.
            limits=httpx.Limits(keepalive_expiry=1.0),
            trust_env=False,
        )

    def post(self, path: str, body: Any, key: str) -> httpx.Response:
        """Send a request with an idempotency key."""
        return self._http.post(path, json=body, headers={"Idempotency-Key": f'"{key}"'})

    @staticmethod
    def order_body(sku: str, pieces: int = 1) -> dict[str, Any]:
        """Return the body of an order."""
        return {"lines": [{"sku": sku, "quantity": pieces}], "country": "ID"}

    def order(self, sku: str, pieces: int = 1) -> str:
        """Place an order and return its address."""
        answer = self.post("/v1/orders", self.order_body(sku, pieces), key=str(uuid4()))
        assert answer.status_code == 201, answer.text
        return str(answer.headers["Location"])

    def pay(self, order: str, card: str = "tok_ok") -> int:
        """Pay, as soon as payments knows the order; return the last status."""
        body = {"order_id": order.rpartition("/")[2], "card": card}

        key = str(uuid4())

        def payment() -> httpx.Response | None:
            answer = self.post("/v1/payments", body, key)
            return None if answer.status_code == 404 else answer

        return int(_wait_for(payment).status_code)

    def get(self, order: str) -> dict[str, Any]:
        """Return an order."""
        shown: dict[str, Any] = self._http.get(order).json()
        return shown

    def wait_for_end(self, order: str) -> dict[str, Any]:
        """Wait until an order is paid or cancelled."""

        def ended() -> dict[str, Any] | None:
            shown = self.get(order)
            return shown if shown["status"] in ("paid", "cancelled") else None

        return _wait_for(ended)

    def buy(self, sku: str, card: str = "tok_ok") -> dict[str, Any]:
        """Order, pay, and wait for the end."""
        order = self.order(sku)
        self.pay(order, card)
        return self.wait_for_end(order)


def _wait_for(attempt: Callable[[], Any], seconds: float = TIMEOUT * 4) -> Any:
    deadline, pause = time.monotonic() + seconds, 0.1
    while (found := attempt()) is None:
        assert time.monotonic() < deadline, f"waited {seconds:.0f} s in vain"
        time.sleep(pause)
        pause = min(1.5 * pause, 1.0)  # frequent requests of many customers slow the shop down
    return found


def list_product(deployment: Deployment, sku: str, pieces: int) -> None:
    """List a product with so many pieces."""
    shell(deployment, LIST_PRODUCT.format(sku=sku, pieces=pieces))


def sign_up(deployment: Deployment, web: Process, count: int = 1, first: int = 0) -> list[Buyer]:
    """Sign customers up."""
    tokens = json.loads(
        shell(deployment, SIGN_UP.format(count=count, first=first)).splitlines()[-1]
    )
    return [Buyer(web, token) for token in tokens]


def concurrently(buyers: list[Buyer], do: Callable[[Buyer], Any]) -> list[Any]:
    """Let all buyers do something at the same time."""
    with ThreadPoolExecutor(len(buyers)) as pool:
        return list(pool.map(do, buyers))


def shell(deployment: Deployment, script: str) -> str:
    """Run a script in a process of its own and return its output."""
    done = deployment.manage("shell", "-c", script)
    assert done.returncode == 0, done.stderr
    return done.stdout


def assert_consistent(deployment: Deployment) -> None:
    """Wait for all deliveries, and check that the books agree."""
    wait_until(lambda: not undelivered(deployment), TIMEOUT * 4)
    done = deployment.manage("audit")
    assert done.returncode == 0, done.stdout + done.stderr


def undelivered(deployment: Deployment) -> int:
    """Return the number of undelivered messages."""
    tables = ("outbox", "dispatch", "retry")
    (counts,) = deployment.sql(
        "SELECT " + ", ".join(f"(SELECT count(*) FROM eventbus_{name})" for name in tables)
    )
    return sum(counts)
