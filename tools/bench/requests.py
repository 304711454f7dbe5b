"""The cost of the API gateway: a checkout by request, compared with a plain Django view."""

import json
import statistics
from collections.abc import Callable, Iterator
from functools import partial
from io import BytesIO
from typing import Any

from django.core.handlers.wsgi import WSGIHandler
from django.test import override_settings

from accounts.services import sign_up
from tools.bench import checkout, fixtures, plain_django
from tools.bench.report import Row
from tools.bench.run import Run
from tools.bench.timing import timed

CUSTOMER = {"email": "bench@kabar.example", "password": "kopi tubruk 7"}
BODY = {"lines": [{"sku": sku, "quantity": 2} for sku in checkout.SKUS], "country": "ID"}


def row(run: Run) -> Row:
    """Place orders alternately through the gateway and the plain view, in this process."""
    checkout.shop()
    sign_up(CUSTOMER["email"], CUSTOMER["password"], "Bench", "en", "ID")
    gateway = WSGIHandler()
    token = _post(gateway, "/v1/tokens", CUSTOMER, 200)["access"]
    ours, beside = (partial(_order, handler, token) for handler in (gateway, _plain()))
    rounds = list(_rounds(run, ours, beside))
    fixtures.clear()
    per_second = [statistics.median(side) for side in zip(*rounds, strict=True)]
    return Row(
        name="requests",
        what="checkouts by request : plain Django view with the same inserts",
        on="PostgreSQL",
        ours=f"{per_second[0]:.0f} requests/s",
        beside=f"{per_second[1]:.0f} requests/s",
        ratio=statistics.median(a / b for a, b in rounds),
        target=0.8,
    )


def _rounds(
    run: Run, ours: Callable[[], object], beside: Callable[[], object]
) -> Iterator[tuple[float, float]]:
    for do in (ours, beside):
        for _ in range(20):  # the first requests fill caches
            do()
    for _ in run.rounds("requests"):
        pairs = [(timed(ours), timed(beside)) for _ in range(run.plan.checkouts)]
        taken = [statistics.median(side) for side in zip(*pairs, strict=True)]
        yield 1 / taken[0], 1 / taken[1]


def _plain() -> WSGIHandler:
    with override_settings(MIDDLEWARE=plain_django.MIDDLEWARE):
        return WSGIHandler()


def _order(handler: WSGIHandler, token: str) -> None:
    """Place an order, and check the status."""
    _post(handler, "/v1/orders", BODY, 201, HTTP_AUTHORIZATION=f"Bearer {token}")


def _post(handler: WSGIHandler, path: str, body: dict[str, Any], wanted: int, **more: str) -> Any:
    raw = json.dumps(body).encode()
    statuses: list[str] = []
    environ = {
        "REQUEST_METHOD": "POST",
        "PATH_INFO": path,
        "SERVER_NAME": "localhost",
        "SERVER_PORT": "80",
        "REMOTE_ADDR": "127.0.0.1",
        "CONTENT_TYPE": "application/json",
        "CONTENT_LENGTH": str(len(raw)),
        "wsgi.url_scheme": "http",
        "wsgi.input": BytesIO(raw),
        **more,
    }

    def start_response(status: str, *rest: Any) -> Any:
        statuses.append(status)

    response: Any = handler(environ, start_response)
    answer = b"".join(response)
    response.close()
    if not statuses[0].startswith(str(wanted)):
        raise RuntimeError(f"{path}: {statuses[0]}: {answer.decode()[:300]}")
    return json.loads(answer)
