"""Whatever a client sends, the shop answers in order: never 500, and every refusal is a problem."""

import json
from collections.abc import Iterator
from typing import Any
from urllib.parse import quote
from uuid import UUID

import pytest
from django.test import Client

from accounts.models import User
from tests import openapi
from tests.clients import KeyedClient

pytestmark = pytest.mark.django_db
WORDS = ["", "\0", "a\0b", "'; --", "💥", "..", "x" * 5000, "-1", str(10**30), "NaN", "1e999"]
VALUES = [None, True, -1, 0, 1.5, 10**30, [], {}, [[]], *WORDS, "\ud800", float("nan")]
SOME_ID = "0190f3a1-0000-7000-8000-000000000001"


def calls() -> list[Any]:
    return [
        pytest.param(path, method, id=f"{method.upper()} {path}")
        for path, operations in openapi.document()["paths"].items()
        for method in operations
    ]


def _resolved(schema: Any) -> Any:
    if "$ref" in schema:
        return openapi.document()["components"]["schemas"][schema["$ref"].rpartition("/")[2]]
    return _resolved(schema["allOf"][0]) if "allOf" in schema else schema


def _sample(schema: Any) -> Any:
    """Return something that a schema allows, so that one field at a time can be bad."""
    schema = _resolved(schema)
    if "enum" in schema:
        return schema["enum"][0]
    match schema.get("type"), schema.get("format"):
        case "object", _:
            return {name: _sample(field) for name, field in schema.get("properties", {}).items()}
        case "array", _:
            return [_sample(schema["items"])]
        case "integer" | "number", _:
            return 1
        case "boolean", _:
            return True
        case _, "uuid":
            return SOME_ID
        case _, "email":
            return "somebody@kabar.example"
        case _, "decimal":
            return "1.00"
    return "x"


def _spoilt(body: Any) -> Iterator[Any]:
    """Return the body with each of its values replaced in turn, at any depth."""
    yield from VALUES
    items = body.items() if isinstance(body, dict) else enumerate(body)
    for key, value in list(items):
        inner = _spoilt(value) if isinstance(value, dict | list) else VALUES
        for bad in inner:
            copy = body.copy()
            copy[key] = bad
            yield copy


@pytest.fixture(params=["anonymous", "customer", "operator"])
def client(request: pytest.FixtureRequest) -> Client:
    client = KeyedClient(raise_request_exception=False)
    if request.param != "anonymous":
        operator = request.param == "operator"
        user = User.objects.create_user("sari@kabar.example", name="Sari", is_staff=operator)
        client.force_login(user)
    return client


def _must_be_in_order(answer: Any, what: object) -> None:
    assert answer.status_code < 500, f"{answer.status_code} for {what!r}"
    if answer.status_code >= 400:
        assert answer.headers["Content-Type"] == "application/problem+json", what
        assert answer.json()["detail"], what
        assert "Traceback" not in answer.text


@pytest.mark.parametrize(("path", "method"), calls())
def test_a_hostile_path_gets_a_proper_answer(path: str, method: str, client: Client) -> None:
    for word in [word for word in WORDS if word] if "{" in path else [""]:
        filled = "/".join(quote(word) if part.startswith("{") else part for part in path.split("/"))
        answer = client.generic(method.upper(), filled, "{}", "application/json")
        _must_be_in_order(answer, filled)


@pytest.mark.parametrize(("path", "method"), calls())
def test_hostile_parameters_get_a_proper_answer(path: str, method: str, client: Client) -> None:
    listed = openapi.document()["paths"][path][method].get("parameters", [])
    for name in [p["name"] for p in listed if p["in"] == "query"]:
        for word in WORDS:
            filled = f"{_with_id(path)}?{name}={quote(word)}"
            _must_be_in_order(client.generic(method.upper(), filled), filled)


@pytest.mark.parametrize(("path", "method"), calls())
def test_a_hostile_body_gets_a_proper_answer(path: str, method: str, client: Client) -> None:
    body = openapi.document()["paths"][path][method].get("requestBody")
    if not body:
        return
    sample = _sample(body["content"]["application/json"]["schema"])
    for spoilt in _spoilt(sample):
        answer = client.generic(
            method.upper(), _with_id(path), json.dumps(spoilt), "application/json"
        )
        _must_be_in_order(answer, spoilt)


def _with_id(path: str) -> str:
    return "/".join(str(UUID(SOME_ID)) if p.startswith("{") else p for p in path.split("/"))
