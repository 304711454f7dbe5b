"""The REST contract is locked like the events': it grows, and a break is a new version."""

import copy
import re
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml
from django.core.management import CommandError, call_command
from django.test import Client
from django.urls import URLResolver, get_resolver

from tools.management.commands import makeopenapi
from tools.ops.rest_contract import breakages

Change = Callable[[dict[str, Any]], object]
OLD: dict[str, Any] = yaml.safe_load("""
paths:
  /v1/orders:
    post:
      security: [{bearer: []}]
      parameters:
        - {in: query, name: dry_run, schema: {type: boolean}}
      requestBody:
        required: true
        content:
          application/json: {schema: {$ref: '#/components/schemas/OrderWanted'}}
      responses:
        '201':
          content:
            application/json: {schema: {$ref: '#/components/schemas/Order'}}
  /v1/products:
    get:
      security: [{bearer: []}, {}]
      responses:
        '200':
          content:
            application/json: {schema: {type: array, items: {$ref: '#/components/schemas/Line'}}}
components:
  schemas:
    OrderWanted:
      type: object
      properties:
        lines: {type: array, items: {$ref: '#/components/schemas/Line'}}
        country: {type: string}
        gift: {type: boolean}
        way: {allOf: [{$ref: '#/components/schemas/Way'}], description: How it travels.}
      required: [lines, country]
    Line:
      type: object
      properties:
        sku: {type: string}
        quantity: {type: integer}
      required: [sku, quantity]
    Order:
      type: object
      properties:
        id: {type: string, format: uuid}
        status: {$ref: '#/components/schemas/Status'}
        paid_at: {type: string, format: date-time, nullable: true}
        note: {type: string}
      required: [id, status]
    Status: {type: string, enum: [placed, paid]}
    Way: {type: string, enum: [land, sea]}
""")
POST, GET = "paths./v1/orders.post", "paths./v1/products.get"
SCHEMAS = "components.schemas"


def at(document: dict[str, Any], path: str) -> Any:
    for key in path.split("."):
        document = document[key]
    return document


def put(path: str, value: Any) -> Change:
    """Return a change that puts a value where the path leads."""
    holder, _, key = path.rpartition(".")
    return lambda document: at(document, holder).update({key: value})


def drop(path: str) -> Change:
    holder, _, key = path.rpartition(".")
    return lambda document: at(document, holder).pop(key)


def add(path: str, value: Any) -> Change:
    return lambda document: at(document, path).append(value)


def changed(change: Change) -> dict[str, Any]:
    document = copy.deepcopy(OLD)
    change(document)
    return document


@pytest.mark.parametrize(
    "change",
    [
        lambda document: None,
        put("paths./v1/messages", {"get": {"responses": {}}}),
        put(f"{SCHEMAS}.Order.properties.total", {"type": "string"}),
        put(f"{SCHEMAS}.OrderWanted.properties.wrap", {"type": "boolean"}),
        add(f"{POST}.parameters", {"in": "query", "name": "x", "schema": {"type": "string"}}),
        put(f"{SCHEMAS}.Status.enum", ["placed", "paid", "shipped"]),
        put(f"{SCHEMAS}.Way.enum", ["land", "sea", "air"]),
        put(f"{SCHEMAS}.OrderWanted.required", ["lines"]),
        put(f"{SCHEMAS}.Order.required", ["id"]),
        put(f"{POST}.responses.409", {"description": "No."}),
        put(f"{POST}.security", [{"bearer": []}, {}]),
        put(f"{SCHEMAS}.OrderWanted.properties.gift", {"type": "boolean", "nullable": True}),
    ],
)
def test_the_contract_may_grow(change: Change) -> None:
    assert breakages(OLD, changed(change)) == []


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (drop("paths./v1/products"), "GET /v1/products is gone"),
        (drop(POST), "POST /v1/orders is gone"),
        (put(f"{POST}.parameters", []), "POST /v1/orders: no parameter 'dry_run'"),
        (
            put(f"{POST}.parameters", [{**at(OLD, POST)["parameters"][0], "required": True}]),
            "POST /v1/orders: parameter 'dry_run' is newly required",
        ),
        (
            add(f"{POST}.parameters", {"in": "header", "name": "Key", "required": True}),
            "POST /v1/orders: parameter 'Key' is newly required",
        ),
        (
            put(
                f"{POST}.parameters",
                [{"in": "query", "name": "dry_run", "schema": {"type": "integer"}}],
            ),
            "POST /v1/orders: parameter 'dry_run' may be boolean, not integer",
        ),
        (
            drop(f"{SCHEMAS}.Order.properties.note"),
            "POST /v1/orders: no field 'note' in the answer 201",
        ),
        (
            put(f"{SCHEMAS}.Order.properties.id", {"type": "integer"}),
            "POST /v1/orders: 'id' may be integer, not uuid in the answer 201",
        ),
        (
            put(
                f"{SCHEMAS}.Order.properties.id",
                {"type": "string", "format": "uuid", "nullable": True},
            ),
            "POST /v1/orders: 'id' may be null, not uuid in the answer 201",
        ),
        (
            drop(f"{SCHEMAS}.Line.properties.quantity"),
            "GET /v1/products: no field '[].quantity' in the answer 200",
        ),
        (
            put(f"{SCHEMAS}.OrderWanted.required", ["lines", "country", "gift"]),
            "POST /v1/orders: 'gift' may be absent in what clients send",
        ),
        (
            lambda document: (
                put(f"{SCHEMAS}.OrderWanted.properties.vat", {"type": "string"})(document),
                add(f"{SCHEMAS}.OrderWanted.required", "vat")(document),
            ),
            "POST /v1/orders: no field 'vat' in what clients send",
        ),
        (
            drop(f"{SCHEMAS}.OrderWanted.properties.gift"),
            "POST /v1/orders: no field 'gift' any more in what it takes",
        ),
        (put(f"{SCHEMAS}.Way.enum", ["land"]), "in what clients send"),
        (
            put(f"{POST}.responses", {"202": at(OLD, POST)["responses"]["201"]}),
            "POST /v1/orders: no answer 201 any more",
        ),
        (put(f"{GET}.security", [{"bearer": []}]), "GET /v1/products: it was open to all"),
        (
            put(f"{POST}.requestBody.content", {"text/csv": {"schema": {}}}),
            "POST /v1/orders: application/json is not taken any more",
        ),
        (
            put(f"{POST}.responses.201.content", {}),
            "POST /v1/orders: 201 has no application/json any more",
        ),
    ],
)
def test_the_contract_may_not_break_a_client(change: Change, words: str) -> None:
    broken = breakages(OLD, changed(change))
    assert any(words in problem for problem in broken), broken


def test_a_break_is_refused_and_nothing_written(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    # given
    locked = tmp_path / "openapi.yaml"
    monkeypatch.setattr(makeopenapi, "PLACE", str(locked))
    monkeypatch.setattr(makeopenapi, "described", lambda: yaml.safe_dump(OLD))
    call_command("makeopenapi")

    # when
    shorter = changed(drop(f"{SCHEMAS}.Order.properties.note"))
    monkeypatch.setattr(makeopenapi, "described", lambda: yaml.safe_dump(shorter))

    # then
    for only_check in (True, False):
        with pytest.raises(CommandError, match="Breaking changes need") as refused:
            call_command("makeopenapi", check=only_check)
        assert "no field 'note' in the answer 201" in str(refused.value)
    assert yaml.safe_load(locked.read_text()) == OLD


def test_what_has_grown_is_stale_until_it_is_locked(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(makeopenapi, "PLACE", str(tmp_path / "openapi.yaml"))
    monkeypatch.setattr(makeopenapi, "described", lambda: yaml.safe_dump(OLD))
    with pytest.raises(CommandError, match=r"Run manage\.py makeopenapi"):
        call_command("makeopenapi", check=True)
    call_command("makeopenapi")
    call_command("makeopenapi", check=True)


def test_the_api_keeps_the_locked_contract() -> None:
    call_command("makeopenapi", check=True)


@pytest.fixture
def served() -> Any:
    return Client().get("/v1/schema", headers={"accept": "application/json"}).json()


def test_the_schema_is_served_as_json_and_as_yaml(served: Any) -> None:
    page = Client().get("/v1/schema", headers={"accept": "application/yaml"})
    assert page.headers["Content-Type"].startswith("application/yaml")
    assert yaml.safe_load(page.content)["paths"].keys() == served["paths"].keys()
    assert all(path.startswith("/v1/") for path in served["paths"])


def test_every_route_of_the_api_is_described(served: Any) -> None:
    """What is not in the description nobody looks after."""
    pages = {"/v1/schema", "/v1/docs"}
    assert {re.sub(r"<(?:\w+:)?(\w+)>", r"{\1}", route) for route in _routes()} - pages == set(
        served["paths"]
    )


def _routes(patterns: Any = None, path: str = "/") -> Iterator[str]:
    for pattern in get_resolver().url_patterns if patterns is None else patterns:
        here = f"{path}{pattern.pattern}"
        if isinstance(pattern, URLResolver):
            yield from _routes(pattern.url_patterns, here)
        elif here.startswith("/v1/"):
            yield here


def test_every_call_says_that_it_may_answer_with_a_problem(served: Any) -> None:
    problem = {"application/problem+json": {"schema": {"$ref": "#/components/schemas/Problem"}}}
    for path in served["paths"].values():
        for operation in path.values():
            assert operation["responses"]["default"]["content"] == problem
