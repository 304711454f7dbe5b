"""`hear` makes up the fields that a test does not give, and checks the given ones."""

import datetime as dt
from collections.abc import Callable
from decimal import Decimal
from typing import Annotated, Any
from uuid import uuid4

import msgspec
import pytest
from jsonschema import Draft202012Validator

from eventbus.events import event_types
from eventbus.publishing import contracts
from eventbus.testing import alone, hear, listening, payload_for
from tests.eventbus.consumers import make_consumer

CONTRACTS = contracts.published()


@pytest.mark.parametrize("name", sorted(CONTRACTS))
def test_a_made_up_payload_of_every_contract_is_an_event(db: None, name: str) -> None:
    payload = payload_for(name)

    assert isinstance(msgspec.convert(payload, event_types[name]), event_types[name])
    Draft202012Validator(CONTRACTS[name]).validate(payload)
    assert payload.keys() == set(CONTRACTS[name].get("required", ()))


def test_a_made_up_payload_is_the_same_each_time(db: None) -> None:
    one, two = payload_for("orders.OrderPlaced"), payload_for("orders.OrderPlaced")
    assert one | {"placed_at": ""} == two | {"placed_at": ""}


def test_two_made_up_events_are_about_the_same_order(db: None) -> None:
    placed, paid = payload_for("orders.OrderPlaced"), payload_for("orders.OrderPaid")
    assert placed["order_id"] == paid["order_id"] != placed["customer_id"]


def test_a_consumer_hears_the_given_fields_and_made_up_ones(db: None) -> None:
    heard: list[tuple[Decimal, str, dt.datetime]] = []

    def listen(total: Decimal, currency: str, paid_at: dt.datetime) -> None:
        heard.append((total, currency, paid_at))

    consumer = make_consumer(listen, "orders.OrderPaid", context="shipping")
    with alone("shipping"), listening(consumer):
        hear("orders.OrderPaid", total="5.00")

    ((total, currency, paid_at),) = heard
    assert (total, currency) == (Decimal("5.00"), "EUR")
    assert dt.datetime.now(dt.UTC) - paid_at < dt.timedelta(minutes=1)


def test_a_field_with_a_default_is_made_up_only_if_it_is_required(made: Callable[..., str]) -> None:
    name = made(note=(str, ""), sku=str)
    assert payload_for(name) == {"sku": "sku"}


@pytest.fixture
def made(monkeypatch: pytest.MonkeyPatch, db: None) -> Callable[..., str]:
    """Make the contract of an event with these fields; a tuple is a type and its default."""

    def make(**fields: Any) -> str:
        defined = [(k, *v) if isinstance(v, tuple) else (k, v) for k, v in fields.items()]
        contract = contracts.schema_of(msgspec.defstruct("Fact", defined, kw_only=True))
        monkeypatch.setattr(contracts, "published", lambda: {"tests.Fact": contract})
        return "tests.Fact"

    return make


def limited(kind: Any, **limits: Any) -> Any:
    return Annotated[kind, msgspec.Meta(**limits)]


def test_limits_of_a_contract_are_kept(made: Callable[..., str]) -> None:
    name = made(quantity=limited(int, ge=3), code=limited(str, min_length=6, max_length=6))
    assert payload_for(name) == {"quantity": 3, "code": "codexx"}
    with pytest.raises(AssertionError, match="'quantity' must be integer minimum 3, not 2"):
        payload_for(name, quantity=2)


@pytest.mark.parametrize(
    ("given", "words"),
    [
        ({"totl": "5.00"}, "orders.OrderPlaced: no field 'totl'; it has order_id, customer_id,"),
        ({"total": 5}, "'total' must be decimal, not 5"),
        ({"total": "five"}, "'total' must be decimal, not 'five'"),
        ({"order_id": "7"}, "'order_id' must be uuid, not '7'"),
        ({"placed_at": dt.datetime(2026, 5, 1)}, "'placed_at' must be date-time, not"),
        ({"lines": "tea"}, "'lines' must be array, not 'tea'"),
        ({"lines": [{"sku": "tea"}]}, "'lines[]' lacks 'quantity'"),
        ({"lines": [{"colour": "red"}]}, "no field 'lines[].colour'"),
        ({"currency": None}, "'currency' must be string, not None"),
    ],
)
def test_a_given_field_is_held_to_the_contract(db: None, given: Any, words: str) -> None:
    with pytest.raises(AssertionError) as refused:
        hear("orders.OrderPlaced", **given)
    assert words in str(refused.value)


def test_an_event_without_a_contract_is_refused() -> None:
    with pytest.raises(AssertionError, match=r"no context publishes orders\.OrderEaten"):
        hear("orders.OrderEaten", order_id=uuid4())
