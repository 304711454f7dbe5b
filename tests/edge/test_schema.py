"""The API keeps its description, whoever asks and whatever is asked for: Schemathesis's cases.

A few for each call on a push, always the same; `make fuzz` and `make nightly` try thousands of new
ones. The profiles of tests/conftest.py say the rest.
"""

import os
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from decimal import Decimal
from typing import Any

import pytest
import schemathesis
from django.core.signals import request_finished, request_started
from django.core.wsgi import get_wsgi_application
from django.db import close_old_connections
from django.test import Client
from hypothesis import Phase, given, settings
from schemathesis import GenerationMode
from schemathesis.specs.openapi import checks

from accounts.models import User
from orders import services as orders
from payments.models import Bill
from tests import openapi

pytestmark = pytest.mark.django_db
EXAMPLES = int(os.environ.get("FUZZ", "0"))  # of each call, by each person, of each kind
PEOPLE = ("anonymous", "customer", "operator")
PASSWORD = "kopi tubruk 7"
KEPT = [
    schemathesis.checks.not_a_server_error,
    checks.status_code_conformance,
    checks.content_type_conformance,
    checks.response_headers_conformance,
    checks.response_schema_conformance,
]
schema = schemathesis.openapi.from_dict(openapi.document())
answered: Counter[int] = Counter()


@contextmanager
def one_transaction() -> Iterator[None]:
    """Keep the test's connection over all its requests, as Django's own test client does."""
    signals = (request_started, request_finished)
    for signal in signals:
        signal.disconnect(close_old_connections)
    try:
        yield
    finally:
        for signal in signals:
            signal.connect(close_old_connections)


@pytest.fixture
def known(db: None) -> dict[str, Any]:
    """Things to be found: what is asked for at random is not there."""
    customer = User.objects.create_user("customer@kabar.example", PASSWORD, name="Sari")
    User.objects.create_superuser("operator@kabar.example", PASSWORD, name="Op")
    orders.list_product("teapot", "Teapot", Decimal("10.00"), "EUR")
    order = orders.place_order(customer.pk, [orders.RequestedLine(sku="teapot", quantity=1)], "ID")
    Bill.objects.create(order_id=order.pk, customer_id=customer.pk, amount=10, currency="EUR")
    return {"sku": "teapot", "order_id": str(order.pk), "id": str(customer.pk)}


def headers_of(person: str) -> dict[str, str]:
    if person == "anonymous":
        return {}
    asked = {"email": f"{person}@kabar.example", "password": PASSWORD}
    answer = Client().post("/v1/tokens", asked, content_type="application/json")
    return {"Authorization": f"Bearer {answer.json()['access']}"}


@pytest.mark.parametrize("person", PEOPLE)
@pytest.mark.parametrize("label", sorted(op.ok().label for op in schema.get_all_operations()))
def test_every_call_keeps_its_description(label: str, person: str, known: dict[str, Any]) -> None:
    method, _, path = label.partition(" ")
    operation, app = schema[path][method], get_wsgi_application()
    headers = headers_of(person)
    for mode, given_path in ((GenerationMode.POSITIVE, known), (GenerationMode.NEGATIVE, {})):
        fitting = {k: v for k, v in given_path.items() if f"{{{k}}}" in path}
        cases = operation.as_strategy(generation_mode=mode, path_parameters=fitting or None)

        @settings(
            max_examples=EXAMPLES or 8,
            derandomize=not EXAMPLES,
            phases=[Phase.generate, Phase.shrink],
        )
        @given(case=cases)
        def ask(case: Any) -> None:
            answer = case.call(app=app, headers=headers)
            answered[answer.status_code] += 1
            case.validate_response(answer, checks=KEPT)

        with one_transaction():
            ask()


@pytest.mark.skipif(not EXAMPLES, reason="only make fuzz makes thousands of cases")
def test_there_were_thousands_of_cases() -> None:
    print(f"{answered.total():,} cases: {dict(sorted(answered.items()))}")
    assert answered.total() >= 5_000
