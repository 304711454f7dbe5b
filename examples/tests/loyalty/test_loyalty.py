"""loyalty without the other contexts: an event arrives, and the balance is raised."""

from uuid import UUID

import pytest

from eventbus.testing import alone, hear
from loyalty.models import Balance

pytestmark = pytest.mark.django_db
SARI = UUID("01890000-0000-7000-8000-000000000001")


def pay(order: int, total: str) -> None:
    with alone("loyalty"):
        hear("orders.OrderPaid", order_id=UUID(int=order), customer_id=SARI, total=total)


def test_a_paid_order_gives_a_point_for_each_whole_euro() -> None:
    pay(1, "20.90")
    assert Balance.objects.get(customer_id=SARI).points == 20


def test_the_points_of_all_orders_are_added() -> None:
    pay(1, "20.90")
    pay(2, "5.00")
    assert Balance.objects.get(customer_id=SARI).points == 25
