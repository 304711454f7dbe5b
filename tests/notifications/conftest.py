"""Events that reach notifications alone, and fake providers that write to a temporary folder."""

import datetime as dt
from collections.abc import Iterator
from decimal import Decimal
from typing import Any
from uuid import UUID

import pytest

from eventbus.testing import alone, hear
from infra import clock
from infra.ids import new_id

LINES = [
    {"sku": "tea", "name": "Tea & biscuits", "quantity": 2, "unit_price": Decimal("617.25")},
    {"sku": "cup", "name": "Cup", "quantity": 1, "unit_price": Decimal("10.00")},
]


@pytest.fixture(autouse=True)
def only_this_context() -> Iterator[None]:
    with alone("notifications"):
        yield


@pytest.fixture(autouse=True)
def temporary_files(settings, tmp_path) -> None:
    settings.VAR = tmp_path


class Killed(KeyboardInterrupt):
    """The death of a worker; no `except Exception` catches it."""


def kill_at(owner: type, method: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Let the process die instead of running a method."""

    def die(*_: object, **__: object) -> None:
        raise Killed

    monkeypatch.setattr(owner, method, die)


class Upstream:
    """Publishes the events of other contexts about one customer and one order."""

    def __init__(self) -> None:
        self.customer, self.order = new_id(), new_id()
        self.expires_at = clock.now() + dt.timedelta(minutes=15)

    def signed_up(self, **change: Any) -> UUID:
        sari = {
            "customer_id": self.customer,
            "email": "sari@example.org",
            "name": "Sari",
            "language": "en",
            "country": "ID",
            "phone": "+628111111111",
            "wants_messages": True,
            "signed_up_at": clock.now(),
        }
        return hear("accounts.CustomerSignedUp", **(sari | change))

    def placed(self, **change: Any) -> UUID:
        return hear("orders.OrderPlaced", **(self._order() | change))

    def paid(self, **change: Any) -> UUID:
        paid_at = dt.datetime(2026, 8, 17, 3, 0, tzinfo=dt.UTC)
        return hear("orders.OrderPaid", **(self._order() | {"paid_at": paid_at} | change))

    def cancelled(self, **change: Any) -> UUID:
        cause = {"code": "declined", "reason": "insufficient funds", "was_paid": False}
        ids = {"order_id": self.order, "customer_id": self.customer}
        return hear("orders.OrderCancelled", cancelled_at=clock.now(), **(ids | cause | change))

    def reserved(self) -> UUID:
        goods = [{"sku": "tea", "quantity": 2}]
        return hear(
            "inventory.StockReserved",
            order_id=self.order,
            goods=goods,
            expires_at=self.expires_at,
        )

    def _order(self) -> dict[str, Any]:
        return {
            "order_id": self.order,
            "customer_id": self.customer,
            "lines": LINES,
            "total": Decimal("1244.50"),
            "currency": "EUR",
            "country": "ID",
            "placed_at": dt.datetime(2026, 8, 17, 2, 0, tzinfo=dt.UTC),
        }


@pytest.fixture
def upstream(calm) -> Upstream:
    return Upstream()
