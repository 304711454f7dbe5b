"""A contract only grows, every event says what it means, and every reader is held against it."""

import datetime as dt
import enum
from collections.abc import Callable, Iterator
from decimal import Decimal
from io import StringIO
from pathlib import Path
from typing import Any
from uuid import UUID

import msgspec
import pytest
from django.apps import apps
from django.conf import settings
from django.core.management import CommandError, call_command

from eventbus import Event, checks, registry
from eventbus.events import event_types
from eventbus.publishing import contracts
from eventbus.publishing.compatibility import Schema, breaking_changes
from eventbus.publishing.spelling import nearest
from eventbus.registry import consumer


class Colour(enum.Enum):
    RED = "red"
    BLUE = "blue"


class Red(enum.Enum):
    RED = "red"


def promise(**fields: Any) -> Schema:
    """Return the contract of an event with these fields; a tuple is a type and its default."""
    defined = [(k, *v) if isinstance(v, tuple) else (k, v) for k, v in fields.items()]
    return contracts.schema_of(msgspec.defstruct("Fact", defined, kw_only=True))


OLD = promise(sku=str, quantity=int, colour=Colour)


@pytest.mark.parametrize(
    "new",
    [
        promise(sku=str, quantity=int, colour=Colour),
        promise(colour=Colour, quantity=int, sku=str),
        promise(sku=str, quantity=int, colour=Colour, note=(str, "")),
        promise(sku=str, quantity=int, colour=Colour, note=(str | None, None)),
    ],
)
def test_a_contract_may_grow(new: Schema) -> None:
    assert breaking_changes(OLD, new) == []


@pytest.mark.parametrize(
    ("new", "words"),
    [
        (
            promise(sku=str, quantity=int, colour=Colour, note=str),
            "no field 'note' in events already published",
        ),
        (promise(sku=str, colour=Colour), "no field 'quantity' for its readers of today"),
        (
            promise(sku=str, quantity=(int, 1), colour=Colour),
            "'quantity' may be absent for its readers of today",
        ),
        (
            promise(sku=str, quantity=str, colour=Colour),
            "'quantity' may be string, not integer for its readers of today",
        ),
        (
            promise(sku=str | None, quantity=int, colour=Colour),
            "'sku' may be null, not string for its readers of today",
        ),
        (promise(sku=str, quantity=int, colour=Red), "in events already published"),
        (promise(sku=UUID, quantity=int, colour=Colour), "'sku' may be uuid, not string"),
    ],
)
def test_a_contract_may_not_break_a_reader(new: Schema, words: str) -> None:
    broken = breaking_changes(OLD, new)
    assert any(words in problem for problem in broken), broken


def test_what_is_inside_a_list_is_promised_too() -> None:
    line = msgspec.defstruct("Line", [("sku", str), ("quantity", int)])
    shorter = msgspec.defstruct("Line", [("sku", str)])
    broken = breaking_changes(promise(lines=list[line]), promise(lines=list[shorter]))
    assert broken == ["no field 'lines[].quantity' for its readers of today"]


@pytest.fixture
def teapots(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Iterator[Callable[..., None]]:
    """Say teapots' fact with other fields; its contract is locked under tmp_path."""
    monkeypatch.setattr(contracts, "path_of", lambda name: tmp_path / f"{name}.json")
    monkeypatch.setattr(contracts, "published", lambda: _read(tmp_path))
    known = dict(event_types)
    event_types.clear()

    def say(**fields: type) -> None:
        body = {"__annotations__": fields, "__doc__": "A teapot boils.", "__module__": "teapots"}
        type("TeapotBoiled", (Event,), body)

    yield say
    event_types.clear()
    event_types.update(known)


def _read(folder: Path) -> dict[str, Schema]:
    return {p.stem: msgspec.json.decode(p.read_bytes()) for p in folder.glob("*.json")}


def test_a_contract_that_shrank_is_not_locked(teapots: Callable[..., None], tmp_path: Path) -> None:
    # given
    teapots(sku=str, quantity=int)
    call_command("makecontracts")
    locked = _read(tmp_path)

    # when
    teapots(sku=str)
    with pytest.raises(CommandError) as refused:
        call_command("makecontracts")

    # then
    assert "teapots.TeapotBoiled may only grow: no field 'quantity'" in str(refused.value)
    assert "a new event with a new name" in str(refused.value)
    assert _read(tmp_path) == locked
    with pytest.raises(CommandError, match=r"teapots\.TeapotBoiled. Run manage\.py makecontracts"):
        call_command("makecontracts", check=True)


@pytest.mark.parametrize("context", settings.CONTEXTS)
def test_every_event_says_what_it_means_and_is_locked(context: str) -> None:
    told = {name for name in event_types if name.startswith(f"{context}.")}
    promised = Path(apps.get_app_config(context).path, "contracts").glob("*.json")
    assert {f"{context}.{path.stem}" for path in promised} == told
    assert not told & set(contracts.stale())
    assert checks.check_contexts(None) == []


def _heard_by(monkeypatch: pytest.MonkeyPatch, handle: Callable[..., None], *events: str) -> str:
    monkeypatch.setattr(registry, "consumers", {})
    handle.__module__ = "payments.consumers"
    consumer(*events)(handle)
    return "\n".join(str(problem) for problem in checks.check_contexts(None))


def test_a_misspelt_event_is_found_and_the_right_one_offered(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def expect_payment(order_id: UUID) -> None: ...

    assert _heard_by(monkeypatch, expect_payment, "orders.OrderPlased") == (
        "?: (eventbus.E001) payments.expect_payment subscribes to orders.OrderPlased,"
        " which no context publishes.\n\tHINT: Did you mean orders.OrderPlaced?"
    )


@pytest.mark.parametrize(
    ("misspelt", "meant"),
    [
        ("orders.OrderPayed", "orders.OrderPaid"),
        ("orders.OrderPlace", "orders.OrderPlaced"),
        ("order.OrderPaid", "orders.OrderPaid"),
        ("orders.PaymentCaptured", "payments.PaymentCaptured"),
        ("payments.PaymentRefund", "payments.PaymentRefunded"),
        ("orders.InvoiceWritten", None),
    ],
)
def test_the_event_offered_is_the_nearest_of_its_context(misspelt: str, meant: str | None) -> None:
    assert nearest(misspelt, contracts.published()) == meant


def test_a_consumer_of_order_payed_is_offered_order_paid(monkeypatch: pytest.MonkeyPatch) -> None:
    def thank(order_id: UUID) -> None: ...

    assert "Did you mean orders.OrderPaid?" in _heard_by(monkeypatch, thank, "orders.OrderPayed")


def test_a_field_that_was_never_promised_is_found(monkeypatch: pytest.MonkeyPatch) -> None:
    def expect_payment(order_id: UUID, amount: Decimal) -> None: ...

    assert _heard_by(monkeypatch, expect_payment, "orders.OrderPlaced") == (
        "?: (eventbus.E002) payments.expect_payment reads orders.OrderPlaced: no field 'amount'.\n"
        "\tHINT: It offers: order_id, customer_id, lines, total, currency, country, placed_at."
    )


def test_a_field_of_another_type_is_found(monkeypatch: pytest.MonkeyPatch) -> None:
    def expect_payment(order_id: UUID, total: int) -> None: ...

    said = _heard_by(monkeypatch, expect_payment, "orders.OrderPlaced")
    assert "reads orders.OrderPlaced: 'total' may be decimal, not integer." in said


def test_a_field_with_a_default_need_not_be_promised(monkeypatch: pytest.MonkeyPatch) -> None:
    def expect_payment(order_id: UUID, gift_note: str = "") -> None: ...

    assert _heard_by(monkeypatch, expect_payment, "orders.OrderPlaced") == ""


def test_an_event_for_one_context_is_not_for_another(monkeypatch: pytest.MonkeyPatch) -> None:
    def eavesdrop(order_id: UUID) -> None: ...

    said = _heard_by(monkeypatch, eavesdrop, "inventory.ReservationExpiryDue")
    assert "is for one consumer in inventory, but payments subscribe." in said


def test_all_problems_are_told_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    def expect_payment(order_id: UUID, amount: Decimal, due: dt.datetime) -> None: ...

    said = _heard_by(monkeypatch, expect_payment, "orders.OrderPlaced", "orders.OrderPayed")
    assert said.count("eventbus.E002") == 2
    assert said.count("eventbus.E001") == 1


def test_a_contract_whose_context_is_not_installed_is_named_as_not_checked(monkeypatch):
    monkeypatch.delitem(event_types, "orders.OrderPlaced")
    out, err = StringIO(), StringIO()
    call_command("makecontracts", stdout=out, stderr=err)
    assert "Not checked, as no code here publishes them: orders.OrderPlaced." in err.getvalue()
    assert f"all {len(event_types)} events of this code" in out.getvalue()
