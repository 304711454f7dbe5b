"""Operators in the admin: they see payments, and release or refuse held ones."""

import pytest
from django.test import Client
from django.urls import reverse

from accounts.models import User
from eventbus.models import Event
from payments.models import Payment
from tests.payments.conftest import new_payment, reload

LIST = reverse("admin:payments_payment_changelist")


@pytest.fixture
def operator() -> User:
    return User.objects.create_superuser("op@example.org", "x", name="Op")


@pytest.fixture
def admin(operator) -> Client:
    client = Client()
    client.force_login(operator)
    return client


@pytest.fixture
def held() -> Payment:
    payment = new_payment()
    Payment.objects.update(status="held", verdict="held: fraud service unavailable")
    return payment


def decide(admin: Client, payment: Payment, action: str) -> str:
    form = {"action": action, "_selected_action": [str(payment.pk)]}
    return admin.post(LIST, form, follow=True).content.decode()


@pytest.mark.parametrize(
    "page", [LIST, reverse("admin:payments_bill_changelist"), f"{LIST}?q=0190&status=held"]
)
def test_the_pages_open(admin, held, page):
    assert admin.get(page, follow=True).status_code == 200


def test_a_payment_is_looked_at_not_edited(admin, held):
    page = reverse("admin:payments_payment_change", args=[held.pk])
    assert admin.get(page).status_code == 200
    assert admin.post(page, {"status": "captured"}).status_code == 403
    assert admin.get(reverse("admin:payments_payment_add")).status_code == 403


def test_the_operator_who_releases_a_payment_is_the_actor_of_its_events(admin, held, operator):
    assert "was released" in decide(admin, held, "release")

    assert (reload(held).status, reload(held).verdict) == (
        "requested",
        "released by op@example.org",
    )
    event = Event.objects.filter(name="payments.PinRequested").latest("position")
    assert event.actor == f"operator:{operator.pk}"


def test_an_operator_refuses(admin, held):
    assert "was refused" in decide(admin, held, "refuse")
    assert reload(held).status == "declined"


def test_a_payment_that_is_not_held_is_named(admin):
    assert "only a held payment waits" in decide(admin, new_payment(), "release")


def test_an_operator_who_may_only_view_may_not_decide(held):
    viewer = User.objects.create_user("look@example.org", "x", name="Look", is_staff=True)
    client = Client()
    client.force_login(viewer)
    decide(client, held, "release")
    assert reload(held).status == "held"
