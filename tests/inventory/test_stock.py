"""Inventory alone: events of other contexts in, its own events out."""

import datetime as dt
from decimal import Decimal
from typing import Any
from uuid import UUID, uuid4

import pytest
from rest_framework.test import APIClient

from accounts.models import User
from eventbus.models import Event
from eventbus.testing import hear, said
from inventory import events, services
from inventory.models import Movement, Reservation, StockItem

WHEN = dt.datetime(2026, 1, 1, tzinfo=dt.UTC)


@pytest.fixture(autouse=True)
def teapots(db) -> None:
    services.add_stock_item("teapot", low_stock_threshold=2)
    services.replenish("teapot", 5)


def order(id: UUID, name: str = "orders.OrderPlaced", **lines: int) -> UUID:
    payload: dict[str, Any] = {
        "order_id": id,
        "customer_id": uuid4(),
        "lines": [
            {"sku": s, "name": s, "quantity": n, "unit_price": Decimal("1.00")}
            for s, n in lines.items()
        ],
        "total": Decimal("1.00"),
        "currency": "EUR",
        "country": "ID",
        "placed_at": WHEN,
    }
    return hear(name, **payload, **({"paid_at": WHEN} if name == "orders.OrderPaid" else {}))


def cancel(id: UUID) -> None:
    hear(
        "orders.OrderCancelled",
        order_id=id,
        customer_id=uuid4(),
        code="by_customer",
        reason="",
        was_paid=False,
        cancelled_at=WHEN,
    )


def request_pin(id: UUID) -> UUID:
    return hear("payments.PinRequested", order_id=id, payment_id=uuid4())


def published(kind: type) -> list[Any]:
    return [event for event in said("inventory") if isinstance(event, kind)]


def quantities() -> tuple[int, int]:
    item = StockItem.objects.get(pk="teapot")
    ledger = list(Movement.objects.filter(sku="teapot"))
    assert item.on_hand == sum(m.on_hand for m in ledger)
    assert item.reserved == sum(m.reserved for m in ledger)
    return item.on_hand, item.reserved


def test_all_lines_of_an_order_are_reserved_or_none():
    services.add_stock_item("cup", low_stock_threshold=0)
    order(uuid4(), teapot=2, cup=1)

    assert quantities() == (5, 0)
    assert published(events.StockRejected)[0].shortages == [
        events.Shortage(sku="cup", wanted=1, available=0)
    ]


def test_an_unknown_product_is_a_shortage():
    order(uuid4(), unknown=1)
    assert published(events.StockRejected)[0].shortages[0].available == 0


def test_two_lines_of_one_product_are_added_up():
    id = uuid4()
    services.reserve(id, services.total_quantities([("teapot", 3), ("teapot", 3)]))
    assert Reservation.objects.get(pk=id).state == "rejected"


def test_goods_are_reserved_sold_and_returned():
    id = uuid4()
    order(id, teapot=2)
    assert quantities() == (5, 2)
    order(id, "orders.OrderPaid", teapot=2)
    assert quantities() == (3, 0)
    cancel(id)
    assert quantities() == (5, 0)
    assert [f.why for f in published(events.StockReleased)] == ["returned"]
    assert list(Movement.objects.values_list("kind", flat=True)) == [
        "replenished",
        "reserved",
        "sold",
        "returned",
    ]


def test_an_order_cancelled_before_order_placed_arrives_reserves_nothing():
    id = uuid4()
    cancel(id)
    order(id, teapot=2)
    assert quantities() == (5, 0)
    assert not published(events.StockReserved)


def test_an_order_paid_after_its_cancellation_gets_nothing():
    id = uuid4()
    order(id, teapot=2)
    cancel(id)
    order(id, "orders.OrderPaid", teapot=2)
    assert quantities() == (5, 0)


def test_goods_paid_after_the_lapse_are_reserved_again():
    id = uuid4()
    order(id, teapot=2)
    Reservation.objects.update(expires_at=WHEN)
    services.lapse(id)
    assert quantities() == (5, 0)

    order(id, "orders.OrderPaid", teapot=2)
    assert quantities() == (3, 0)
    assert len(published(events.StockReserved)) == 2


def test_goods_paid_after_the_lapse_and_sold_to_others_are_rejected():
    late = uuid4()
    order(late, teapot=4)
    Reservation.objects.update(expires_at=WHEN)
    services.lapse(late)
    order(uuid4(), teapot=4)

    order(late, "orders.OrderPaid", teapot=4)
    assert quantities() == (5, 4)
    assert published(events.StockRejected)[0].order_id == late


def test_low_stock_is_published_once_when_the_threshold_is_crossed():
    order(uuid4(), teapot=3)
    assert not published(events.StockLow)
    order(uuid4(), teapot=1)
    order(uuid4(), teapot=1)
    assert published(events.StockLow) == [events.StockLow(sku="teapot", available=1, threshold=2)]


class TestPin:
    def test_a_reservation_is_pinned_and_the_answer_names_the_request_as_its_cause(self):
        id = uuid4()
        order(id, teapot=1)
        request = request_pin(id)

        answer = Event.objects.get(name="inventory.ReservationPinned")
        assert answer.causation == request

    def test_a_pin_request_before_the_order_is_answered_when_the_order_arrives(self):
        id = uuid4()
        request = request_pin(id)
        assert not published(events.ReservationPinned)

        order(id, teapot=1)
        assert Event.objects.get(name="inventory.ReservationPinned").causation == request

    @pytest.mark.parametrize("end", ["cancelled", "rejected"])
    def test_goods_that_are_not_reserved_cannot_be_pinned(self, end):
        id = uuid4()
        request = request_pin(id)
        if end == "cancelled":
            cancel(id)
        else:
            order(id, teapot=99)

        assert Event.objects.get(name="inventory.PinRefused").causation == request
        request_pin(id)
        assert len(published(events.PinRefused)) == 2

    def test_a_pinned_reservation_does_not_lapse_before_its_pin(self, calm):
        id = uuid4()
        order(id, teapot=1)
        calm.later(minutes=14, seconds=30)
        request_pin(id)
        calm.later(minutes=1)
        assert Reservation.objects.get(pk=id).state == "reserved"

        calm.later(minutes=2)
        assert Reservation.objects.get(pk=id).state == "lapsed"
        assert [f.why for f in published(events.StockReleased)] == ["lapsed"]


def test_an_unpaid_reservation_lapses(calm):
    order(uuid4(), teapot=2)
    calm.later(minutes=16)
    assert quantities() == (5, 0)


def test_a_movement_names_the_event_that_caused_it():
    event_id = order(uuid4(), teapot=1)
    assert Movement.objects.get(kind="reserved").cause == f"event:{event_id}"


class TestApi:
    @pytest.fixture
    def client(self) -> APIClient:
        client = APIClient()
        client.force_authenticate(User.objects.create_superuser("op@example.org", name="Op"))
        return client

    def test_a_replenishment_names_the_request_that_caused_it(self, client):
        answer = client.post("/v1/stock/teapot/replenishments", {"quantity": 3})
        assert answer.status_code == 201
        assert answer.data["cause"] == f"request:{answer['X-Request-ID']}"
        assert client.get("/v1/stock/teapot").data["available"] == 8
        ledger = client.get("/v1/stock/teapot/movements").data["results"]
        assert [m["on_hand"] for m in ledger] == [3, 5]

    @pytest.mark.parametrize("quantity", [0, -1, 10**9, "many", None])
    def test_an_invalid_quantity_is_refused(self, client, quantity):
        answer = client.post("/v1/stock/teapot/replenishments", {"quantity": quantity})
        assert answer.status_code == 400
        assert answer.data["errors"][0]["field"] == "quantity"

    def test_an_unknown_sku_is_404(self, client):
        assert client.get("/v1/stock/unknown").status_code == 404
        assert client.get("/v1/stock/unknown/movements").status_code == 404
        answer = client.post("/v1/stock/unknown/replenishments", {"quantity": 1})
        assert answer.status_code == 404
        assert "List the product first" in answer.data["detail"]

    def test_stock_is_for_operators(self, client):
        client.force_authenticate(User.objects.create_user("sari@example.org", name="Sari"))
        assert client.get("/v1/stock/teapot").status_code == 403
        answer = client.post("/v1/stock/teapot/replenishments", {"quantity": 1})
        assert answer.status_code == 403
