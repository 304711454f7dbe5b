"""The accounts API: sign-up, tokens, disabling."""

import uuid
from typing import Any

import pytest

from accounts.models import User
from accounts.services import disable
from eventbus.testing import said
from tests.accounts.credentials import PASSWORD

SIGN_UP = {
    "email": "Sari@example.org",
    "password": PASSWORD,
    "name": "Sari",
    "language": "id",
    "country": "ID",
}


def problems(answer: Any) -> dict[str, str]:
    return {error["field"]: error["detail"] for error in answer.data["errors"]}


def token(client: Any, password: str = PASSWORD, email: str = "sari@example.org") -> Any:
    return client.post("/v1/tokens", {"email": email, "password": password})


def test_anyone_can_sign_up_log_in_and_see_themselves(anyone, db):
    created = anyone.post("/v1/customers", SIGN_UP)
    anyone.credentials(HTTP_AUTHORIZATION=f"Bearer {token(anyone).data['access']}")
    me = anyone.get(created["Location"])

    assert created.status_code == 201
    assert created.data == {
        "id": str(User.objects.get().id),
        "email": "sari@example.org",
        "name": "Sari",
        "language": "id",
        "country": "ID",
        "phone": "",
    }
    assert (me.status_code, me.data) == (200, created.data)
    assert [event.email for event in said()] == ["sari@example.org"]


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
def test_an_invalid_sign_up_names_the_field_and_creates_no_user(anyone, db, change, field, words):
    answer = anyone.post("/v1/customers", SIGN_UP | change)

    assert answer.status_code == 400
    assert words in problems(answer)[field]
    assert (User.objects.count(), said()) == (0, [])


@pytest.mark.parametrize("body", [[], "x", 5, None])
def test_a_body_that_is_no_object_is_refused(anyone, db, body):
    assert anyone.post("/v1/customers", body, format="json").status_code == 400


def test_all_missing_fields_are_named_in_one_answer(anyone, db):
    assert set(problems(anyone.post("/v1/customers", {}))) == set(SIGN_UP)


def test_a_taken_address_names_the_email_field(anyone, sari):
    answer = anyone.post("/v1/customers", SIGN_UP)

    assert answer.status_code == 409
    assert problems(answer) == {"email": "sari@example.org has an account already."}


def test_a_password_may_begin_and_end_with_spaces(anyone, db):
    anyone.post("/v1/customers", SIGN_UP | {"password": "  teh melati  "})

    assert token(anyone, "  teh melati  ").status_code == 200
    assert token(anyone, "teh melati").status_code == 401


def test_an_expired_token_is_ignored_at_log_in_and_sign_up(anyone, sari):
    anyone.credentials(HTTP_AUTHORIZATION="Bearer expired")

    assert token(anyone).status_code == 200
    assert anyone.post("/v1/customers", SIGN_UP | {"email": "b@example.org"}).status_code == 201
    assert anyone.get("/v1/customers/me").status_code == 401


def test_a_token_can_be_refreshed(anyone, sari):
    refresh = token(anyone).data["refresh"]
    fresh = anyone.post("/v1/tokens/refresh", {"refresh": refresh})
    anyone.credentials(HTTP_AUTHORIZATION=f"Bearer {fresh.data['access']}")

    assert anyone.get("/v1/customers/me").data["email"] == "sari@example.org"


def test_a_disabled_customer_gets_no_token_and_older_tokens_end(anyone, sari):
    tokens = token(anyone).data
    disable(sari.id, "fraud")

    assert token(anyone).status_code == 401
    assert anyone.post("/v1/tokens/refresh", {"refresh": tokens["refresh"]}).status_code == 401
    anyone.credentials(HTTP_AUTHORIZATION=f"Bearer {tokens['access']}")
    assert anyone.get("/v1/customers/me").status_code == 401


@pytest.mark.parametrize(
    ("password", "email"), [("wrong", "sari@example.org"), (PASSWORD, "unknown@example.org")]
)
def test_a_wrong_password_and_an_unknown_address_get_the_same_answer(anyone, sari, password, email):
    answer = token(anyone, password, email)

    assert answer.status_code == 401
    assert answer.data["detail"] == "No active account found with the given credentials"


def test_a_guest_without_password_cannot_log_in(anyone, db):
    User.objects.create_user("guest@example.org", None, name="Guest")

    assert token(anyone, "", "guest@example.org").status_code == 400
    assert token(anyone, "!", "guest@example.org").status_code == 401


def test_an_operator_disables_a_customer(anyone, sari, operator):
    anyone.force_authenticate(operator)
    url = f"/v1/customers/{sari.id}/disablement"

    assert anyone.post(url, {}).status_code == 400
    assert anyone.post(url, {"reason": "fraud", "until": "x"}).status_code == 400
    assert anyone.post(url, {"reason": "fraud"}).status_code == 202
    assert said()[-1].reason == "fraud"
    assert (
        anyone.post(f"/v1/customers/{uuid.uuid4()}/disablement", {"reason": "x"}).status_code == 404
    )


def test_a_customer_cannot_disable_a_user(anyone, sari, operator):
    url = f"/v1/customers/{operator.id}/disablement"

    assert anyone.post(url, {"reason": "x"}).status_code == 401
    anyone.force_authenticate(sari)
    assert anyone.post(url, {"reason": "x"}).status_code == 403
    operator.refresh_from_db()
    assert operator.is_active


def test_the_pages_can_be_browsed(client, sari):
    client.force_login(sari)

    for address in ("/v1/customers/me", "/v1/customers", "/v1/tokens"):
        page = client.get(address, headers={"accept": "text/html"})
        assert b"Kabar" in page.content or b"Django REST framework" in page.content
