"""A context is added, and no line of another context is touched."""

import signal
from pathlib import Path

from tests.processes.buyers import assert_consistent, list_product, sign_up, undelivered
from tests.processes.deployment import Deployment, wait_until

CONTEXT = {
    "__init__.py": '"""Points for those who buy."""\n',
    "apps.py": """
from django.apps import AppConfig
class LoyaltyConfig(AppConfig):
    name = "loyalty"
""",
    "consumers.py": """
import os
from decimal import Decimal
from pathlib import Path
from uuid import UUID
from eventbus import consumer
@consumer("orders.OrderPaid", key="customer_id")
def add_points(order_id: UUID, customer_id: UUID, total: Decimal) -> None:
    with Path(os.environ["POINTS"]).open("a") as points:
        points.write(f"{order_id} {total}\\n")
""",
}


def test_a_new_context_hears_what_is_said_from_now_on(embedded: Deployment, tmp_path: Path) -> None:
    # given: a shop that has sold something already
    deployment = embedded
    list_product(deployment, "teapot", 3)
    shop = deployment.start("shop", ["manage.py", "runshop"])
    shop.until("ready", "ok")
    (sari,) = sign_up(deployment, shop)
    sari.buy("teapot")
    wait_until(lambda: not undelivered(deployment))
    shop.signal(signal.SIGTERM)
    assert shop.wait() == 0

    # when: a context is put beside it
    folder = tmp_path / "contexts" / "loyalty"
    folder.mkdir(parents=True)
    for name, text in CONTEXT.items():
        (folder / name).write_text(text)
    points = tmp_path / "points"
    deployment.env |= {
        "EXTRA_CONTEXTS": "loyalty",
        "PYTHONPATH": str(folder.parent),
        "POINTS": str(points),
    }
    shop = deployment.start("shop", ["manage.py", "runshop"])
    shop.until("ready", "ok")
    (budi,) = sign_up(deployment, shop, first=1)
    bought = budi.buy("teapot")
    assert_consistent(deployment)

    # then: it heard of the second sale, and was not sent the first
    assert points.read_text() == f"{bought['id']} 10.00\n"
