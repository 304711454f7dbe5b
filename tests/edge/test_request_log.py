"""A request is one line in the log, without secrets and personal data."""

import json
import logging
from collections.abc import Iterator
from io import StringIO
from typing import Any

import pytest
from django.db import IntegrityError, connection
from django.test import Client

from accounts.models import User
from config import log_config

SECRETS = {
    "email": "sari.dewi@example.org",
    "password": "kopi tubruk 7",
    "name": "Sari",
    "phone": "+628123456789",
}
CARD = "4111111111111111"


@pytest.fixture(params=["json", "console"])
def log(request: pytest.FixtureRequest) -> Iterator[StringIO]:
    written = StringIO()
    handler = logging.StreamHandler(written)
    handler.setFormatter(log_config.formatter(request.param))
    logging.getLogger().addHandler(handler)
    yield written
    logging.getLogger().removeHandler(handler)


def lines(log: StringIO) -> list[dict[str, Any]]:
    found = [json.loads(line) for line in log.getvalue().splitlines()]
    return [line for line in found if line["event"] == "request"]


@pytest.mark.django_db
@pytest.mark.parametrize("log", ["json"], indirect=True)
def test_a_request_is_one_line(log: StringIO) -> None:
    user = User.objects.create_user("sari@kabar.example", name="Sari")
    client = Client()
    client.force_login(user)
    answer = client.get("/v1/orders/0190f3a1-0000-7000-8000-000000000001?x=1")
    (line,) = lines(log)
    assert line["actor"] == f"customer:{user.pk}"
    assert (line["method"], line["route"]) == ("GET", "/v1/orders/<uuid:order_id>")
    assert (line["status"], line["bytes_out"]) == (404, len(answer.content))
    assert line["correlation"] == answer.headers["X-Request-ID"]
    assert line["trace_id"] == answer.json()["trace_id"]
    assert line["ms"] > 0
    assert "?x=1" not in log.getvalue()


@pytest.mark.django_db
@pytest.mark.parametrize("log", ["json"], indirect=True)
def test_an_anonymous_request_is_logged_as_nobody_and_probes_are_not_logged(log: StringIO) -> None:
    Client().get("/health/live")
    Client().post("/v1/nowhere", {"a": 1}, content_type="application/json")
    (line,) = lines(log)
    assert (line["actor"], line["route"], line["bytes_in"]) == ("nobody", "", 8)


@pytest.mark.django_db
def test_no_secret_and_no_personal_data_is_in_the_log(log: StringIO) -> None:
    """Requests that succeed and requests that fail."""
    client, json_ = Client(raise_request_exception=False), "application/json"
    person = {**SECRETS, "language": "id", "country": "ID"}
    client.post("/v1/customers", person, content_type=json_)
    client.post("/v1/customers", person, content_type=json_)  # known already
    client.post("/v1/customers", {**person, "phone": [SECRETS["phone"]]}, content_type=json_)
    client.post("/v1/tokens", {**SECRETS, "password": "wrong"}, content_type=json_)
    asked = {name: SECRETS[name] for name in ("email", "password")}
    token = client.post("/v1/tokens", asked, content_type=json_).json()["access"]
    bearer = {"authorization": f"Bearer {token}"}
    client.get("/v1/orders", headers=bearer)
    client.get(f"/v1/orders?email={SECRETS['email']}&token={token}", headers=bearer)
    client.get(f"/v1/products/{SECRETS['email']}")
    client.post("/v1/payments", {"card": CARD, "order_id": "x"}, headers=bearer)
    client.post("/admin/login/", {"username": SECRETS["email"], "password": SECRETS["password"]})
    written = log.getvalue()
    assert "request" in written
    must_not_leak(written, token)


@pytest.mark.django_db
def test_messages_of_libraries_and_tracebacks_are_masked(log: StringIO) -> None:
    ours = logging.getLogger("elsewhere")
    ours.warning("login of %s with password=%s", SECRETS["email"], "'kopi tubruk 7'")
    ours.warning('body {"password": "kopi tubruk 7", "card": "%s"}', CARD)
    ours.warning("headers %r", {"Authorization": "Bearer abc.def.ghi", "phone": SECRETS["phone"]})
    ours.warning("calling %s about card %s", SECRETS["phone"], "4111 1111 1111 1111")
    ours.warning("connecting to postgresql://kabar:swordfish@db/kabar")
    try:
        with connection.cursor() as cursor:
            for _ in range(2):
                cursor.execute(
                    "INSERT INTO accounts_user (id, email, password, name) VALUES (%s, %s, %s, %s)",
                    ["0190f3a100007000800000000000000a", *list(SECRETS.values())[:3]],
                )
    except IntegrityError:
        ours.exception("it did not work")
    written = log.getvalue()
    assert "it did not work" in written
    assert "IntegrityError" in written
    must_not_leak(written, "abc.def.ghi")
    assert "swordfish" not in written


def must_not_leak(written: str, token: str) -> None:
    unwanted = [SECRETS["email"], SECRETS["password"], SECRETS["phone"], CARD, token]
    assert [word for word in [*unwanted, "4111 1111"] if word in written] == []


def test_ordinary_text_is_not_masked() -> None:
    harmless = (
        "2026-11-20T14:39:00.123456Z [info] duplicate delivery consumer=orders.pay_order "
        "event=0190f3a1-0000-7000-8000-000000000001 at 2026-11-20 14:39:00 in 1234567890 us"
    )
    assert log_config.mask(harmless) == harmless


def test_a_long_line_is_masked_in_time() -> None:
    for piece in ("a", "a@", "://", '"card": "', "eyJ.", "1 "):
        log_config.mask(piece * 20_000)
