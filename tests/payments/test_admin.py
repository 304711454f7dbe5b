"""The desk where an operator decides about held payments."""

import pytest
from django.test import Client
from django.urls import reverse

from accounts.models import User
from eventbus.models import Event
from payments.models import Payment
from tests.payments.conftest import now, requested

LIST = reverse("admin:payments_payment_changelist")


@pytest.fixture
def operator() -> User:
    return User.objects.create_superuser("op@example.org", "x", name="Op")


@pytest.fixture
def desk(operator) -> Client:
    client = Client()
    client.force_login(operator)
    return client


@pytest.fixture
def held() -> Payment:
    payment = requested()
    Payment.objects.update(status="held", verdict="held: fraud service away")
    return payment


def decide(desk: Client, payment: Payment, action: str) -> str:
    asked = {"action": action, "_selected_action": [str(payment.pk)]}
    return desk.post(LIST, asked, follow=True).content.decode()


@pytest.mark.parametrize(
    "page", [LIST, reverse("admin:payments_bill_changelist"), f"{LIST}?q=0190&status=held"]
)
def test_the_pages_open(desk, held, page):
    assert desk.get(page, follow=True).status_code == 200


def test_a_payment_is_looked_at_not_edited(desk, held):
    page = reverse("admin:payments_payment_change", args=[held.pk])
    assert desk.get(page).status_code == 200
    assert desk.post(page, {"status": "captured"}).status_code == 403
    assert desk.get(reverse("admin:payments_payment_add")).status_code == 403


def test_an_operator_releases_by_name_and_is_the_actor_of_what_follows(desk, held, operator):
    assert "goes on" in decide(desk, held, "release")

    assert (now(held).status, now(held).verdict) == ("requested", "released by op@example.org")
    asked = Event.objects.filter(name="payments.PinRequested").latest("position")
    assert asked.actor == f"operator:{operator.pk}"


def test_an_operator_refuses(desk, held):
    assert "is refused" in decide(desk, held, "refuse")
    assert now(held).status == "declined"


def test_what_is_not_held_is_said_to_be_so(desk):
    assert "only a held one waits" in decide(desk, requested(), "release")


def test_who_may_only_look_may_not_decide(held):
    looker = User.objects.create_user("look@example.org", "x", name="Look", is_staff=True)
    client = Client()
    client.force_login(looker)
    decide(client, held, "release")
    assert now(held).status == "held"
