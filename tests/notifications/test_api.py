"""The API of notifications: messages and preferences."""

from typing import Any

import pytest
from django.core import mail
from rest_framework.test import APIClient

from accounts.models import User
from infra.ids import new_id

WANTS_ALL = {"wants_messages": True, "mail": True, "sms": True, "push": True}


@pytest.fixture
def client(db, upstream) -> APIClient:
    client = APIClient()
    sari = User.objects.create_user("sari@example.org", "x", name="Sari", id=upstream.customer)
    client.force_authenticate(sari)
    return client


@pytest.fixture
def operator(db) -> APIClient:
    client = APIClient()
    client.force_authenticate(User.objects.create_superuser("op@example.org", "x", name="Op"))
    return client


def errors(answer: Any) -> dict[str, str]:
    return {error["field"]: error["detail"] for error in answer.data["errors"]}


def test_a_customer_reads_their_own_messages_only(calm, upstream, client):
    upstream.signed_up()
    type(upstream)().signed_up(email="budi@example.org")
    upstream.placed()
    calm.settle()

    answer = client.get("/v1/messages", {"customer": new_id()})
    assert [m["kind"] for m in answer.data["results"]] == ["order_received", "welcome"]
    welcome = answer.data["results"][1]
    assert welcome["customer_id"] == str(upstream.customer)
    assert (welcome["state"], welcome["to"]) == ("sent", "sari@example.org")
    assert welcome["body"].startswith("Hello Sari")


def test_an_operator_reads_all_messages_or_one_customers(calm, upstream, operator):
    upstream.signed_up()
    type(upstream)().signed_up(email="budi@example.org")
    calm.settle()

    def read(**filters: Any) -> Any:
        return operator.get("/v1/messages", filters)

    assert read().data["count"] == 2
    assert [m["to"] for m in read(customer=upstream.customer).data["results"]] == [
        "sari@example.org"
    ]
    assert errors(read(customer="x")) == {"customer": "Must be a valid UUID."}


def test_without_a_login_there_are_no_messages(db):
    for address in ("/v1/messages", "/v1/messages/preferences"):
        assert APIClient().get(address).status_code == 401


def test_preferences_are_changed_one_by_one_and_heeded(calm, upstream, client):
    upstream.signed_up()
    calm.settle()
    assert client.get("/v1/messages/preferences").data == WANTS_ALL

    answer = client.patch("/v1/messages/preferences", {"mail": False})
    assert answer.data == WANTS_ALL | {"mail": False}
    upstream.paid()
    calm.settle()
    states = {m["kind"]: m["state"] for m in client.get("/v1/messages").data["results"]}
    assert states == {"welcome": "sent", "invoice": "muted", "order_paid_push": "sent"}
    assert len(mail.outbox) == 1


def test_a_customer_who_wanted_no_messages_may_ask_for_them(calm, upstream, client):
    upstream.signed_up(wants_messages=False)
    client.patch("/v1/messages/preferences", {"wants_messages": True})
    upstream.placed()
    calm.settle()

    assert [email.subject for email in mail.outbox] == ["We have received your order"]


@pytest.mark.parametrize(
    ("body", "field"),
    [({"fax": True}, "fax"), ({"mail": "perhaps"}, "mail"), ({"sms": None}, "sms")],
)
def test_a_bad_preference_is_named(calm, upstream, client, body, field):
    upstream.signed_up()

    answer = client.patch("/v1/messages/preferences", body)
    assert answer.status_code == 400
    assert list(errors(answer)) == [field]
    assert client.get("/v1/messages/preferences").data == WANTS_ALL


def test_a_customer_not_known_yet_may_try_again(client):
    for answer in (
        client.get("/v1/messages/preferences"),
        client.patch("/v1/messages/preferences", {"mail": False}),
    ):
        assert answer.status_code == 404
        assert "try again in a moment" in answer.data["detail"]


def test_the_pages_can_be_browsed(client, calm, upstream):
    upstream.signed_up()
    for address in ("/v1/messages", "/v1/messages/preferences"):
        page = client.get(address, headers={"accept": "text/html"})
        assert page.status_code == 200
        assert b"<form" in page.content or b"breadcrumb" in page.content
