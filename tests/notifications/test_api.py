"""What the API of notifications takes and refuses."""

from typing import Any

import pytest
from django.core import mail
from rest_framework.test import APIClient

from accounts.models import User
from infra.ids import new_id

WANTS_ALL = {"wants_messages": True, "mail": True, "sms": True, "push": True}


@pytest.fixture
def client(db, news) -> APIClient:
    client = APIClient()
    sari = User.objects.create_user("sari@example.org", "x", name="Sari", id=news.customer)
    client.force_authenticate(sari)
    return client


@pytest.fixture
def operator(db) -> APIClient:
    client = APIClient()
    client.force_authenticate(User.objects.create_superuser("op@example.org", "x", name="Op"))
    return client


def faults(answer: Any) -> dict[str, str]:
    return {error["field"]: error["detail"] for error in answer.data["errors"]}


def test_one_reads_ones_own_messages_and_nobody_elses(calm, news, client):
    news.signed_up()
    type(news)().signed_up(email="budi@example.org")
    news.placed()
    calm.settle()

    answer = client.get("/v1/messages", {"customer": new_id()})
    assert [m["kind"] for m in answer.data["results"]] == ["order_received", "welcome"]
    welcome = answer.data["results"][1]
    assert welcome["customer_id"] == str(news.customer)
    assert (welcome["state"], welcome["to"]) == ("sent", "sari@example.org")
    assert welcome["body"].startswith("Hello Sari")


def test_an_operator_reads_everybodys_or_one_customers(calm, news, operator):
    news.signed_up()
    type(news)().signed_up(email="budi@example.org")
    calm.settle()

    def read(**filters: Any) -> Any:
        return operator.get("/v1/messages", filters)

    assert read().data["count"] == 2
    assert [m["to"] for m in read(customer=news.customer).data["results"]] == ["sari@example.org"]
    assert faults(read(customer="x")) == {"customer": "Must be a valid UUID."}


def test_nobody_unknown_reads_anything(db):
    for address in ("/v1/messages", "/v1/messages/preferences"):
        assert APIClient().get(address).status_code == 401


def test_preferences_are_changed_one_by_one_and_heeded(calm, news, client):
    news.signed_up()
    calm.settle()
    assert client.get("/v1/messages/preferences").data == WANTS_ALL

    answer = client.patch("/v1/messages/preferences", {"mail": False})
    assert answer.data == WANTS_ALL | {"mail": False}
    news.paid()
    calm.settle()
    states = {m["kind"]: m["state"] for m in client.get("/v1/messages").data["results"]}
    assert states == {"welcome": "sent", "invoice": "muted", "order_paid_push": "sent"}
    assert len(mail.outbox) == 1


def test_who_came_without_wanting_messages_may_ask_for_them(calm, news, client):
    news.signed_up(wants_messages=False)
    client.patch("/v1/messages/preferences", {"wants_messages": True})
    news.placed()
    calm.settle()

    assert [letter.subject for letter in mail.outbox] == ["We have received your order"]


@pytest.mark.parametrize(
    ("body", "field"),
    [({"fax": True}, "fax"), ({"mail": "perhaps"}, "mail"), ({"sms": None}, "sms")],
)
def test_a_bad_preference_is_named(calm, news, client, body, field):
    news.signed_up()

    answer = client.patch("/v1/messages/preferences", body)
    assert answer.status_code == 400
    assert list(faults(answer)) == [field]
    assert client.get("/v1/messages/preferences").data == WANTS_ALL


def test_who_is_not_known_yet_is_asked_for_patience(client):
    for answer in (
        client.get("/v1/messages/preferences"),
        client.patch("/v1/messages/preferences", {"mail": False}),
    ):
        assert answer.status_code == 404
        assert "try again in a moment" in answer.data["detail"]


def test_the_pages_can_be_browsed(client, calm, news):
    news.signed_up()
    for address in ("/v1/messages", "/v1/messages/preferences"):
        page = client.get(address, headers={"accept": "text/html"})
        assert page.status_code == 200
        assert b"<form" in page.content or b"breadcrumb" in page.content
