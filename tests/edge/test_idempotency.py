"""A request sent again with its key is not done again: it gets the first one's answer."""

import datetime as dt
import threading
from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from decimal import Decimal
from typing import Any

import pytest
from django.db import connection
from django.test import Client
from rest_framework.test import APIClient

from accounts.models import User
from edge.idempotency import models
from edge.idempotency.models import StoredResponse
from eventbus.models import Event, Outbox
from infra import clock
from orders import services
from orders.models import Order, Product
from tests.edge.urls import Flaky, TeapotGone

pytestmark = [pytest.mark.django_db, pytest.mark.urls("tests.edge.urls")]
KEY = '"8e03978e-40d5-43dd-bc93-6894a57f9324"'
BODY = {"lines": [{"sku": "cup", "quantity": 1}], "country": "ID"}
SIGN_UP = {
    "email": "sari@example.org",
    "password": "kopi tubruk 7",
    "name": "Sari",
    "language": "id",
    "country": "ID",
}


def as_(name: str, **more: Any) -> APIClient:
    client = APIClient(raise_request_exception=False)
    user, _ = User.objects.get_or_create(email=f"{name}@example.org", name=name, **more)
    client.force_authenticate(user)
    return client


@pytest.fixture
def sari() -> APIClient:
    return as_("sari")


@pytest.fixture
def operator() -> APIClient:
    return as_("operator", is_staff=True)


@pytest.fixture(autouse=True)
def cup(db: None) -> Product:
    return services.list_product("cup", "Cup", Decimal("2.50"), "EUR")


def order(client: APIClient, key: str = KEY, body: Any = BODY) -> Any:
    return client.post("/v1/orders", body, headers={"idempotency-key": key})


def news() -> Counter[str]:
    """Return the names of the events in the outbox."""
    waiting = Event.objects.filter(pk__in=Outbox.objects.values("event_id"))
    return Counter(waiting.values_list("name", flat=True))


def test_a_repeated_request_is_not_executed_again(sari: APIClient) -> None:
    first, again = order(sari), order(sari)

    assert first.status_code == again.status_code == 201
    assert first.content == again.content
    assert first["Location"] == again["Location"]
    assert first["Content-Type"] == again["Content-Type"]
    assert (again["Idempotency-Replayed"], "Idempotency-Replayed" in first) == ("true", False)
    assert Order.objects.count() == 1
    assert news()["orders.OrderPlaced"] == 1


def test_payloads_are_compared_as_json_and_not_as_text(sari: APIClient) -> None:
    order(sari)
    spelt = '{ "country":"ID",\n "lines":[{"quantity":1, "sku":"cup"}] }'
    again = sari.post(
        "/v1/orders", spelt, content_type="application/json", HTTP_IDEMPOTENCY_KEY=KEY.strip('"')
    )
    assert (again.status_code, Order.objects.count()) == (201, 1)


def test_without_a_key_each_request_is_one_of_its_own(sari: APIClient) -> None:
    assert [sari.post("/v1/orders", BODY).status_code for _ in range(2)] == [201, 201]
    assert (Order.objects.count(), StoredResponse.objects.count()) == (2, 0)


def test_another_payload_with_the_key_is_refused(sari: APIClient) -> None:
    order(sari)
    other = order(sari, body={**BODY, "country": "DE"})
    assert (other.status_code, other.json()["type"]) == (422, "/problems/KeyReused")
    assert Order.objects.count() == 1
    assert order(sari).status_code == 201


def test_a_refusal_is_replayed_too(sari: APIClient, cup: Product) -> None:
    services.retire_product("cup")
    first = order(sari)
    Product.objects.update(active=True)
    again = order(sari)

    assert first.status_code == again.status_code == 400
    assert first.content == again.content
    assert again["Content-Type"] == "application/problem+json"
    assert order(sari, key="another").status_code == 201


def test_the_writes_of_a_refused_request_are_rolled_back(
    sari: APIClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    def write_and_refuse(*args: Any) -> None:
        place(*args)
        raise TeapotGone

    place = services.place_order
    monkeypatch.setattr(services, "place_order", write_and_refuse)
    assert [order(sari).status_code for _ in range(2)] == [410, 410]
    assert not Order.objects.exists()
    assert not news()["orders.OrderPlaced"]


@pytest.mark.parametrize(("kind", "status"), [("bug", 500), ("away", 503), ("throttled", 429)])
def test_a_temporary_failure_is_not_stored(
    sari: APIClient, kind: str, status: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    def ask() -> int:
        answer = sari.post("/v1/flaky", {"fail": kind}, headers={"idempotency-key": KEY})
        return int(answer.status_code)

    assert ask() == status
    assert not StoredResponse.objects.exists()
    monkeypatch.setattr(Flaky, "calm", True)
    assert ask() == 200


def test_a_failure_at_the_end_leaves_neither_key_nor_change_nor_event(
    sari: APIClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(*args: Any) -> None:
        save(*args)
        raise RuntimeError("the power is gone")

    save = StoredResponse.save
    monkeypatch.setattr(StoredResponse, "save", fail)
    assert order(sari).status_code == 500
    assert (Order.objects.count(), StoredResponse.objects.count()) == (0, 0)
    assert not news()["orders.OrderPlaced"]

    monkeypatch.undo()
    assert order(sari).status_code == 201


def test_a_key_belongs_to_its_caller(sari: APIClient) -> None:
    assert order(sari).json()["id"] != order(as_("budi")).json()["id"]


def test_a_key_belongs_to_one_operation(sari: APIClient) -> None:
    where = order(sari)["Location"] + "/cancellation"
    assert sari.post(where, {}, headers={"idempotency-key": KEY}).status_code == 202


def test_a_change_is_made_once_too(operator: APIClient) -> None:
    def reprice(price: str, key: str) -> Any:
        headers = {"idempotency-key": key}
        return operator.patch("/v1/products/cup", {"unit_price": price}, headers=headers)

    reprice("3.00", "one")
    reprice("4.00", "two")
    assert reprice("3.00", "one").json()["unit_price"] == "3.00"
    assert Product.objects.get().unit_price == Decimal("4.00")


def test_a_key_is_forgotten_after_a_day(sari: APIClient) -> None:
    order(sari)
    clock.offset += models.LIFETIME - dt.timedelta(seconds=5)
    assert order(sari)["Idempotency-Replayed"] == "true"
    clock.offset += dt.timedelta(seconds=10)
    assert "Idempotency-Replayed" not in order(sari)
    assert (Order.objects.count(), StoredResponse.objects.count()) == (2, 1)


def test_new_responses_delete_some_expired_ones(
    sari: APIClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(models, "DELETED_PER_REQUEST", 2)
    for key in "abc":
        order(sari, key)
    clock.offset += 2 * models.LIFETIME
    order(sari, "c")
    assert StoredResponse.objects.filter(expires_at__lt=clock.now()).count() <= 1
    order(sari, "d")
    assert StoredResponse.objects.count() == 2


@pytest.mark.parametrize("key", ["", '""', '"', "a" * 256, "é", 'a"b', '"a', "tab\there"])
def test_a_malformed_key_is_refused(sari: APIClient, key: str) -> None:
    answer = order(sari, key)
    assert (answer.status_code, answer.json()["type"]) == (400, "/problems/KeyMalformed")


@pytest.mark.parametrize("key", ["a", "a" * 255, f'"{"a" * 255}"', "a b", "~!#[]"])
def test_a_valid_key_is_accepted(sari: APIClient, key: str) -> None:
    assert order(sari, key).status_code == 201


def test_a_request_refused_before_the_view_uses_up_no_key(sari: APIClient) -> None:
    headers = {"idempotency-key": KEY}
    product = {"sku": "bowl", "name": "Bowl", "unit_price": "5.00", "currency": "EUR"}
    assert APIClient().post("/v1/orders", BODY, headers=headers).status_code == 401
    assert sari.post("/v1/products", product, headers=headers).status_code == 403
    assert not StoredResponse.objects.exists()


def test_an_anonymous_sign_up_is_executed_once() -> None:
    headers = {"idempotency-key": KEY}
    first, again = (APIClient().post("/v1/customers", SIGN_UP, headers=headers) for _ in range(2))
    assert first.status_code == again.status_code == 201
    assert first.content == again.content
    assert User.objects.count() == 1


def test_neither_tokens_nor_passwords_are_stored() -> None:
    headers = {"idempotency-key": KEY}
    APIClient().post("/v1/customers", SIGN_UP, headers=headers)
    login = {name: SIGN_UP[name] for name in ("email", "password")}
    pairs = [APIClient().post("/v1/tokens", login, headers=headers).json() for _ in range(2)]
    fresh = {"refresh": pairs[0]["refresh"]}
    assert APIClient().post("/v1/tokens/refresh", fresh, headers=headers).status_code == 200

    assert pairs[0]["access"] != pairs[1]["access"]
    (kept,) = StoredResponse.objects.all()
    assert b"kopi" not in bytes(kept.body)


def test_the_description_has_the_key_where_it_is_optional_or_required() -> None:
    paths = Client().get("/v1/schema", headers={"accept": "application/json"}).json()["paths"]
    found = {
        f"{method.upper()} {path}": parameter.get("required", False)
        for path, operations in paths.items()
        for method, operation in operations.items()
        for parameter in operation.get("parameters", [])
        if parameter["name"] == "Idempotency-Key"
    }
    changing = {
        f"{method.upper()} {path}"
        for path, operations in paths.items()
        for method in operations
        if method in ("post", "patch") and not path.startswith("/v1/tokens")
    }
    assert found.keys() == changing
    assert [call for call, required in found.items() if required] == ["POST /v1/payments"]


@pytest.mark.postgres
@pytest.mark.django_db(transaction=True)
class TestRivals:
    """Two at once, on a database where that is possible."""

    def test_a_racing_request_is_refused_immediately(self, monkeypatch: pytest.MonkeyPatch) -> None:
        begun, go_on = threading.Event(), threading.Event()

        def slowly(*args: Any) -> Any:
            begun.set()
            assert go_on.wait(10)
            return place(*args)

        place = services.place_order
        monkeypatch.setattr(services, "place_order", slowly)
        with ThreadPoolExecutor(1) as pool:
            first = pool.submit(_in_its_own_session)
            assert begun.wait(10)
            rival = order(as_("sari"))
            go_on.set()
            assert first.result(10)[0] == 201

        assert (rival.status_code, rival.json()["type"]) == (409, "/problems/KeyInUse")
        assert rival["Retry-After"] == "1"
        assert order(as_("sari"))["Idempotency-Replayed"] == "true"
        assert (Order.objects.count(), news()["orders.OrderPlaced"]) == (1, 1)

    def test_of_racing_requests_with_one_key_one_is_executed(self) -> None:
        as_("sari")
        with ThreadPoolExecutor(8) as crowd:
            answers = list(crowd.map(lambda _: _in_its_own_session(), range(24)))

        statuses = Counter(status for status, _ in answers)
        assert statuses.keys() <= {201, 409}
        assert len({body for status, body in answers if status == 201}) == 1
        assert (Order.objects.count(), news()["orders.OrderPlaced"]) == (1, 1)


def _in_its_own_session() -> tuple[int, bytes]:
    with closing(connection):
        answer = order(as_("sari"))
        return answer.status_code, answer.content
