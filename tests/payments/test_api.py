"""The API of payments."""

from typing import Any
from uuid import uuid4

import pytest
from rest_framework.test import APIClient

from accounts.models import User
from eventbus.testing import hear
from payments import api, services
from payments.models import Payment
from tests.clients import KeyedAPIClient
from tests.payments.conftest import cancel_order, pin, place_order


@pytest.fixture
def sari() -> User:
    return User.objects.create_user("sari@example.org", "x", name="Sari")


@pytest.fixture
def budi() -> User:
    return User.objects.create_user("budi@example.org", "x", name="Budi")


@pytest.fixture
def operator() -> User:
    return User.objects.create_superuser("op@example.org", "x", name="Op")


@pytest.fixture
def client(sari) -> APIClient:
    return as_(sari)


@pytest.fixture(autouse=True)
def without_waiting(monkeypatch) -> None:
    monkeypatch.setattr(api, "MAX_WAIT", 0.0)
    monkeypatch.setattr(api, "POLL_INTERVAL", 0.0)


def as_(user: User) -> APIClient:
    client = KeyedAPIClient()
    client.force_authenticate(user)
    return client


def payment_body(sari: User, **changes: Any) -> dict[str, Any]:
    return {"order_id": str(place_order(customer_id=sari.pk)), "card": "tok_ok", **changes}


def test_paying_returns_the_location_of_the_payment(client, sari):
    answer = client.post("/v1/payments", payment_body(sari))

    assert answer.status_code == 202
    payment = Payment.objects.get()
    assert answer["Location"].endswith(f"/v1/payments/{payment.id}")
    assert (
        answer.json().items()
        >= {
            "id": str(payment.id),
            "order_id": str(payment.order_id),
            "status": "requested",
            "amount": "20.00",
            "currency": "EUR",
            "reason": "",
            "captured_at": None,
        }.items()
    )


def test_the_payment_shows_how_it_stands(client, sari, bank):
    place = client.post("/v1/payments", payment_body(sari))["Location"]
    pin(Payment.objects.get())

    shown = client.get(place).json()
    assert shown["status"] == "captured"
    assert shown["captured_at"].endswith("Z")


def test_a_declined_payment_shows_the_reason_but_not_the_fraud_verdict(client, sari, bank):
    place = client.post("/v1/payments", payment_body(sari, card="tok_fraud"))["Location"]
    pin(Payment.objects.get())

    shown = client.get(place).json()
    assert (shown["status"], shown["reason"]) == ("declined", "The payment was refused.")
    assert "stolen" not in str(shown)


def test_an_order_not_known_yet_is_waited_for(client, sari, monkeypatch):
    order = uuid4()
    monkeypatch.setattr(api, "MAX_WAIT", 5.0)
    monkeypatch.setattr(api.time, "sleep", lambda _: place_order(order, customer_id=sari.pk))

    assert client.post("/v1/payments", {"order_id": order, "card": "tok_ok"}).status_code == 202


def test_an_unknown_order_is_not_found_and_may_be_tried_again(client):
    answer = client.post("/v1/payments", {"order_id": uuid4(), "card": "tok_ok"})
    assert (answer.status_code, answer["Retry-After"]) == (404, "1")
    assert answer["Content-Type"] == "application/problem+json"


def test_the_order_of_another_customer_is_not_found(sari, budi):
    answer = as_(budi).post("/v1/payments", payment_body(sari))
    unknown = as_(budi).post("/v1/payments", {"order_id": uuid4(), "card": "tok_ok"})
    assert answer.status_code == unknown.status_code == 404
    assert answer["Retry-After"] == unknown["Retry-After"]
    assert not Payment.objects.exists()


def test_not_even_an_operator_pays_for_others(sari, operator):
    assert as_(operator).post("/v1/payments", payment_body(sari)).status_code == 404


def test_a_second_payment_is_refused(client, sari):
    body = payment_body(sari)
    first = client.post("/v1/payments", body).json()["id"]
    again = client.post("/v1/payments", body)
    assert again.status_code == 409
    assert first in again.json()["detail"]


def test_a_cancelled_order_is_refused(client, sari):
    body = payment_body(sari)
    cancel_order(body["order_id"])
    assert client.post("/v1/payments", body).status_code == 409


@pytest.mark.parametrize(
    ("changes", "field"),
    [
        ({"card": "4111111111111111"}, "card"),
        ({"card": "tok_"}, "card"),
        ({"card": "TOK_ok"}, "card"),
        ({"card": "cus_ok"}, "card"),
        ({"card": "tok_ok\ntok_ok"}, "card"),
        ({"card": "tok_" + "x" * 100}, "card"),
        ({"card": ""}, "card"),
        ({"card": None}, "card"),
        ({"card": ["tok_ok"]}, "card"),
        ({"order_id": "42"}, "order_id"),
        ({"order_id": -1}, "order_id"),
        ({"order_id": 10**50}, "order_id"),
        ({"order_id": None}, "order_id"),
        ({"amount": "0.01"}, "amount"),
        ({"currency": "IDR"}, "currency"),
        ({"paid_at": "2010-01-01T00:00:00Z"}, "paid_at"),
    ],
)
def test_a_bad_request_names_the_field(client, sari, changes, field):
    answer = client.post("/v1/payments", payment_body(sari, **changes))
    assert answer.status_code == 400
    assert [error["field"] for error in answer.json()["errors"]] == [field]
    assert not Payment.objects.exists()


@pytest.mark.parametrize("body", [[], "x", 7, None])
def test_a_body_that_is_no_object_is_refused(client, body):
    assert client.post("/v1/payments", body, format="json").status_code == 400


def test_paying_without_an_idempotency_key_is_refused(sari):
    without_key = APIClient()
    without_key.force_authenticate(sari)
    answer = without_key.post("/v1/payments", payment_body(sari))
    assert (answer.status_code, answer.json()["type"]) == (400, "/problems/KeyMissing")
    assert not Payment.objects.exists()


def test_a_payment_requested_twice_with_one_key_is_made_once(client, sari):
    body = payment_body(sari)
    first, again = (
        client.post("/v1/payments", body, HTTP_IDEMPOTENCY_KEY="pay-1") for _ in range(2)
    )
    assert (first.status_code, again.status_code) == (202, 202)
    assert first.json() == again.json()
    assert Payment.objects.count() == 1


def test_a_form_is_taken(client, sari):
    body = payment_body(sari, csrfmiddlewaretoken="x")
    assert client.post("/v1/payments", body, format="multipart").status_code == 202


def test_a_customer_sees_their_own_payments_only(client, sari, budi, operator):
    place = client.post("/v1/payments", payment_body(sari))["Location"]
    services.request_payment(place_order(customer_id=budi.pk), budi.pk, "tok_ok")

    assert client.get("/v1/payments").json()["count"] == 1
    assert as_(budi).get(place).status_code == 404
    assert as_(operator).get(place).status_code == 200
    assert client.get(f"/v1/payments/{uuid4()}").status_code == 404


def test_without_a_login_no_payments_are_shown(sari):
    anonymous = APIClient()
    assert anonymous.get("/v1/payments").status_code == 401
    assert anonymous.post("/v1/payments", payment_body(sari)).status_code == 401


def test_the_browsable_page_shows_and_offers(client, sari):
    client.post("/v1/payments", payment_body(sari))
    page = client.get("/v1/payments", HTTP_ACCEPT="text/html")
    assert page.status_code == 200
    assert b'name="card"' in page.content


def test_a_refund_shows(client, sari, bank):
    place = client.post("/v1/payments", payment_body(sari))["Location"]
    payment = Payment.objects.get()
    pin(payment)
    cancel_order(payment.order_id)
    hear("payments.RefundDue", payment_id=payment.id, reason="changed my mind")

    shown = client.get(place).json()
    assert (shown["status"], shown["reason"]) == ("refunded", "changed my mind")
    assert shown["refunded_at"]


@pytest.mark.parametrize("card", ["tok_1PqZxY2eZvKYlo2C", "pm_1PqZxY2eZvKYlo2C", "pm_card_visa"])
def test_cards_are_named_as_providers_name_them(client, sari, card):
    assert client.post("/v1/payments", payment_body(sari, card=card)).status_code == 202
    assert Payment.objects.get().card == card
