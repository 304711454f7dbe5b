"""The idempotency of web processes that are killed."""

from pathlib import Path

import httpx
import pytest

from tests.processes.buyers import list_product, sign_up
from tests.processes.deployment import Deployment, wait_until

COUNTS = """SELECT (SELECT count(*) FROM orders_order),
                   (SELECT count(*) FROM idempotency_storedresponse),
                   (SELECT count(*) FROM eventbus_event WHERE name = 'orders.OrderPlaced')"""


@pytest.mark.postgres
def test_a_web_process_killed_before_its_commit_leaves_nothing_and_the_key_is_good(
    deployment: Deployment, tmp_path: Path
) -> None:
    # given
    failpoint = tmp_path / "failpoints" / "outbox-written"
    failpoint.parent.mkdir()
    web = deployment.web(KABAR_FAILPOINTS=str(failpoint.parent), WEB_CONCURRENCY="1")
    web.until("live", "ok")
    list_product(deployment, "teapot", 5)
    (sari,) = sign_up(deployment, web)

    def order() -> int:
        try:
            return sari.post("/v1/orders", sari.order_body("teapot"), key="once").status_code
        except httpx.TransportError:
            return 0

    # when
    failpoint.touch()
    assert order() == 0
    assert not failpoint.exists()

    # then
    assert deployment.sql(COUNTS) == [(0, 0, 0)]
    assert wait_until(order) == 201
    assert order() == 201
    assert deployment.sql(COUNTS) == [(1, 1, 1)]
