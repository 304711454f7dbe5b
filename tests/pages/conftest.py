"""Clients with different permissions, a few events, and a dead letter."""

from decimal import Decimal
from typing import Any
from uuid import UUID

import pytest
from django.contrib.auth import get_user_model
from django.contrib.auth.models import Permission
from django.db import transaction
from django.db.models import Model
from django.test import Client
from django.urls import reverse
from django.utils import timezone

from eventbus import Event, acting_as, publish
from eventbus.consuming import retries
from eventbus.models import DeadLetter
from eventbus.models import Event as Log
from eventbus.origin import caused_by
from inventory.events import Goods, StockReserved
from orders.events import Line, OrderCancelled, OrderPaid, OrderPlaced
from payments.events import PaymentCaptured

ORDER, OTHER, SARI = UUID(int=7), UUID(int=8), UUID(int=9)
DEAD_LETTERS = "/admin/eventbus/deadletter/"
SECRET = "changed my mind"  # in the payload of the dead letter


def visitor(**flags: bool) -> Client:
    client = Client()
    email = f"{'-'.join(flags) or 'customer'}@kabar.example"
    client.force_login(get_user_model().objects.create_user(email, **flags))
    return client


def allowed(client: Client, *permissions: str) -> Client:
    """Give the client's user permissions: codenames, with or without the app's label."""
    codenames = [name.rpartition(".")[2] for name in permissions]
    user: Any = get_user_model().objects.get(pk=client.session["_auth_user_id"])
    user.user_permissions.add(*Permission.objects.filter(codename__in=codenames))
    return client


def act(client: Client, dead_letter: DeadLetter, action: str, **more: str) -> Any:
    """Post an action of the list of dead letters, for one of them."""
    data = {"action": action, "_selected_action": [str(dead_letter.pk)], **more}
    return client.post(DEAD_LETTERS, data)


def shown(model: type[Model], pk: object) -> str:
    """Return the address of a row's page."""
    return reverse(f"admin:eventbus_{model._meta.model_name}_change", args=[pk])


@pytest.fixture
def anonymous() -> Client:
    return Client()


@pytest.fixture
def customer(db) -> Client:
    return visitor()


@pytest.fixture
def operator(db) -> Client:
    """A user with access to the admin, without further permissions."""
    return visitor(is_staff=True)


@pytest.fixture
def superuser(db) -> Client:
    return visitor(is_staff=True, is_superuser=True)


def publish_event(fact: Event, cause: Log | None = None) -> Log:
    """Publish, because of a request or of another event."""
    origin = caused_by(cause.envelope(), "test") if cause else acting_as("customer:9")
    with origin, transaction.atomic():
        return Log.objects.get(pk=publish(fact))


def placed(order: UUID = ORDER) -> OrderPlaced:
    line = Line(sku="teapot", name="Teapot <b>", quantity=1, unit_price=Decimal("10.00"))
    return OrderPlaced(
        order_id=order,
        customer_id=SARI,
        lines=[line],
        total=Decimal("10.00"),
        currency="EUR",
        country="ID",
        placed_at=timezone.now(),
    )


@pytest.fixture
def news(db) -> dict[str, Log]:
    """An order that is placed by one request, paid by a second and cancelled by a third."""
    order, now = placed(), timezone.now()
    first = publish_event(order)
    other = publish_event(placed(OTHER))
    goods = [Goods(sku="teapot", quantity=1)]
    held = publish_event(StockReserved(order_id=ORDER, goods=goods, expires_at=now), first)
    captured = PaymentCaptured(
        payment_id=UUID(int=70),
        order_id=ORDER,
        customer_id=SARI,
        amount=order.total,
        currency="EUR",
        captured_at=now,
    )
    money = publish_event(captured)
    fields = {name: getattr(order, name) for name in ("customer_id", "lines", "total")}
    fields |= {name: getattr(order, name) for name in ("currency", "country", "placed_at")}
    paid = publish_event(OrderPaid(order_id=ORDER, paid_at=now, **fields), money)
    off = OrderCancelled(
        order_id=ORDER,
        customer_id=SARI,
        code="by_customer",
        reason="changed my mind",
        was_paid=True,
        cancelled_at=now,
    )
    cancelled = publish_event(off)
    return {
        "placed": first,
        "other": other,
        "held": held,
        "captured": money,
        "paid": paid,
        "cancelled": cancelled,
    }


@pytest.fixture
def dead_letter(news: dict[str, Log]) -> DeadLetter:
    envelope = news["cancelled"].envelope()
    retries.dead_letter("analytics.count_cancellation", envelope, ValueError("no sense"), 15)
    return DeadLetter.objects.get()
