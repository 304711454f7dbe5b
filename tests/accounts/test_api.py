"""What the API of accounts takes and refuses."""

import uuid
from typing import Any

import pytest

from accounts.models import User
from accounts.services import disable
from eventbus.testing import said
from tests.accounts.conftest import PASSWORD

RIGHT = {
    "email": "Sari@example.org",
    "password": PASSWORD,
    "name": "Sari",
    "language": "id",
    "country": "ID",
}


def faults(answer: Any) -> dict[str, str]:
    return {error["field"]: error["detail"] for error in answer.data["errors"]}


def token(client: Any, password: str = PASSWORD, email: str = "sari@example.org") -> Any:
    return client.post("/v1/tokens", {"email": email, "password": password})


def test_anyone_can_sign_up_log_in_and_see_themselves(anyone, db):
    made = anyone.post("/v1/customers", RIGHT)
    anyone.credentials(HTTP_AUTHORIZATION=f"Bearer {token(anyone).data['access']}")
    me = anyone.get(made["Location"])

    assert made.status_code == 201
    assert made.data == {
        "id": str(User.objects.get().id),
        "email": "sari@example.org",
        "name": "Sari",
        "language": "id",
        "country": "ID",
        "phone": "",
    }
    assert (me.status_code, me.data) == (200, made.data)
    assert [fact.email for fact in said()] == ["sari@example.org"]


@pytest.mark.parametrize(
    ("change", "field", "words"),
    [
        ({"email": "sari"}, "email", "valid email"),
        ({"email": "a" * 250 + "@x.org"}, "email", "254"),
        ({"password": "a1b2"}, "password", "too short"),
        ({"password": "sari@example.org"}, "password", "too similar"),
        ({"password": "x" * 129}, "password", "128"),
        ({"name": ""}, "name", "blank"),
        ({"name": "nul\0"}, "name", "Null"),
        ({"language": "fr"}, "language", "not a valid choice"),
        ({"country": "XX"}, "country", "ISO 3166-1"),
        ({"country": 7}, "country", "ISO 3166-1"),
        ({"phone": "0811"}, "phone", "E.164"),
        ({"is_staff": True}, "is_staff", "Unknown field"),
        ({"wants_messages": False}, "wants_messages", "Unknown field"),
    ],
)
def test_a_bad_sign_up_is_told_which_field_and_makes_nobody(anyone, db, change, field, words):
    answer = anyone.post("/v1/customers", RIGHT | change)

    assert answer.status_code == 400
    assert words in faults(answer)[field]
    assert (User.objects.count(), said()) == (0, [])


@pytest.mark.parametrize("body", [[], "x", 5, None])
def test_what_is_no_object_is_refused(anyone, db, body):
    assert anyone.post("/v1/customers", body, format="json").status_code == 400


def test_every_missing_field_is_named_at_once(anyone, db):
    assert set(faults(anyone.post("/v1/customers", {}))) == set(RIGHT)


def test_a_taken_address_is_the_address_fields_fault(anyone, sari):
    answer = anyone.post("/v1/customers", RIGHT)

    assert answer.status_code == 409
    assert faults(answer) == {"email": "sari@example.org has an account already."}


def test_a_password_may_begin_and_end_with_spaces(anyone, db):
    anyone.post("/v1/customers", RIGHT | {"password": "  teh melati  "})

    assert token(anyone, "  teh melati  ").status_code == 200
    assert token(anyone, "teh melati").status_code == 401


def test_a_stale_token_stands_in_nobodys_way(anyone, sari):
    anyone.credentials(HTTP_AUTHORIZATION="Bearer stale")

    assert token(anyone).status_code == 200
    assert anyone.post("/v1/customers", RIGHT | {"email": "b@example.org"}).status_code == 201
    assert anyone.get("/v1/customers/me").status_code == 401


def test_a_token_can_be_refreshed(anyone, sari):
    refresh = token(anyone).data["refresh"]
    fresh = anyone.post("/v1/tokens/refresh", {"refresh": refresh})
    anyone.credentials(HTTP_AUTHORIZATION=f"Bearer {fresh.data['access']}")

    assert anyone.get("/v1/customers/me").data["email"] == "sari@example.org"


def test_who_is_disabled_gets_no_token_and_the_old_ones_end(anyone, sari):
    tokens = token(anyone).data
    disable(sari.id, "fraud")

    assert token(anyone).status_code == 401
    assert anyone.post("/v1/tokens/refresh", {"refresh": tokens["refresh"]}).status_code == 401
    anyone.credentials(HTTP_AUTHORIZATION=f"Bearer {tokens['access']}")
    assert anyone.get("/v1/customers/me").status_code == 401


@pytest.mark.parametrize(
    ("password", "email"), [("wrong", "sari@example.org"), (PASSWORD, "nobody@example.org")]
)
def test_a_wrong_password_and_an_unknown_address_sound_the_same(anyone, sari, password, email):
    answer = token(anyone, password, email)

    assert answer.status_code == 401
    assert answer.data["detail"] == "No active account found with the given credentials"


def test_a_guest_without_password_cannot_log_in(anyone, db):
    User.objects.create_user("guest@example.org", None, name="Guest")

    assert token(anyone, "", "guest@example.org").status_code == 400
    assert token(anyone, "!", "guest@example.org").status_code == 401


def test_an_operator_disables_a_customer(anyone, sari, operator):
    anyone.force_authenticate(operator)
    address = f"/v1/customers/{sari.id}/disablement"

    assert anyone.post(address, {}).status_code == 400
    assert anyone.post(address, {"reason": "fraud", "until": "x"}).status_code == 400
    assert anyone.post(address, {"reason": "fraud"}).status_code == 202
    assert said()[-1].reason == "fraud"
    assert (
        anyone.post(f"/v1/customers/{uuid.uuid4()}/disablement", {"reason": "x"}).status_code == 404
    )


def test_a_customer_disables_nobody(anyone, sari, operator):
    address = f"/v1/customers/{operator.id}/disablement"

    assert anyone.post(address, {"reason": "x"}).status_code == 401
    anyone.force_authenticate(sari)
    assert anyone.post(address, {"reason": "x"}).status_code == 403
    operator.refresh_from_db()
    assert operator.is_active


def test_the_pages_can_be_browsed(client, sari):
    client.force_login(sari)

    for address in ("/v1/customers/me", "/v1/customers", "/v1/tokens"):
        page = client.get(address, headers={"accept": "text/html"})
        assert b"Kabar" in page.content or b"Django REST framework" in page.content
