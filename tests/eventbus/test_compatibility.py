"""A reader and a contract agree only if the reader takes every value that the contract allows."""

import datetime as dt
import enum
from decimal import Decimal
from typing import Annotated, Any, Literal

import msgspec
import pytest
from msgspec import Meta

from eventbus.publishing import contracts
from eventbus.publishing.compatibility import incompatibilities


class Line(msgspec.Struct):
    sku: str
    quantity: int = 1


class LongLine(msgspec.Struct):
    sku: str
    quantity: int
    note: str = ""


class Strict(msgspec.Struct, forbid_unknown_fields=True):
    sku: str
    quantity: int = 1


class Size(enum.Enum):
    SMALL = "small"
    LARGE = "large"


def schema(annotation: Any) -> dict[str, Any]:
    """Return the schema of a payload with one field of this type."""
    return contracts.schema_of(msgspec.defstruct("Payload", [("field", annotation)]))


def problems(reader: Any, contract: Any) -> list[str]:
    return incompatibilities(schema(reader), schema(contract))


Short = Annotated[str, Meta(max_length=3)]
TYPES: list[Any] = [
    int,
    float,
    str,
    bool,
    Decimal,
    dt.date,
    Short,
    Annotated[str, Meta(max_length=5)],
    Annotated[str, Meta(min_length=1, max_length=3)],
    Annotated[str, Meta(pattern="^a")],
    Annotated[int, Meta(gt=0)],
    Annotated[int, Meta(ge=1)],
    Annotated[int, Meta(ge=0, lt=10)],
    Annotated[int, Meta(le=9)],
    Annotated[int, Meta(multiple_of=4)],
    Annotated[int, Meta(multiple_of=2)],
    Annotated[float, Meta(gt=0)],
    Annotated[float, Meta(ge=0)],
    Annotated[list[int], Meta(max_length=2)],
    Annotated[list[int], Meta(min_length=1)],
    list[int],
    list[Short],
    tuple[int, ...],
    tuple[int, str],
    tuple[int, int],
    set[int],
    dict[str, int],
    dict[str, str],
    dict[str, Short],
    Annotated[dict[str, int], Meta(max_length=1)],
    Literal["a", "b"],
    Literal["a", "longer"],
    Literal[1, 2],
    Literal["small"],
    Size,
    int | None,
    str | None,
    Short | None,
    Line,
    LongLine,
    Strict,
    list[Line],
    list[LongLine],
    Line | None,
]
VALUES: list[Any] = [
    *(-1, 0, 1, 2, 4, 9, 10, 2**40),
    *(0.0, 0.5, -0.5, 10.5),
    *("", "a", "b", "abc", "abcd", "abcdef", "longer", "small", "large", "1.50", "2026-11-25"),
    *(True, None),
    *([], [1], [1, 2], [1, 2, 3], ["a"], ["abcd"], [1, "a"], [0.5]),
    *({}, {"a": 1}, {"a": "x"}, {"a": "abcd"}, {"a": 1, "b": 2}),
    {"sku": "a"},
    {"sku": "a", "quantity": 2},
    {"sku": "a", "quantity": 2, "note": "n"},
    [{"sku": "a"}],
    [{"sku": "a", "quantity": 2, "note": "n"}],
]


def takes(annotation: Any, value: Any) -> bool:
    """Return whether msgspec reads the value as this type."""
    try:
        msgspec.convert(value, annotation)
    except msgspec.ValidationError:
        return False
    return True


def written(annotation: Any, value: Any) -> Any:
    """Return the value as a publisher with this type writes it."""
    return msgspec.to_builtins(msgspec.convert(value, annotation))


@pytest.mark.parametrize("contract", TYPES, ids=str)
def test_a_reader_that_is_let_through_takes_each_value_of_the_contract(contract):
    published = [written(contract, value) for value in VALUES if takes(contract, value)]
    for reader in (one for one in TYPES if not problems(one, contract)):
        assert [value for value in published if not takes(reader, value)] == [], reader


@pytest.mark.parametrize("annotation", TYPES, ids=str)
def test_each_type_agrees_with_itself(annotation):
    assert problems(annotation, annotation) == []


@pytest.mark.parametrize(
    ("reader", "contract", "problem"),
    [
        (Short, str, "'field' has maxLength none, its reader 3"),
        (Short, Annotated[str, Meta(max_length=5)], "'field' has maxLength 5, its reader 3"),
        (Annotated[int, Meta(gt=0)], int, "'field' has exclusiveMinimum none, its reader 0"),
        (Annotated[str, Meta(pattern="^a")], str, "'field' has pattern none, its reader ^a"),
        (Short, Literal["a", "longer"], "'field' has maxLength ['a', 'longer'], its reader 3"),
        (
            Annotated[list[int], Meta(min_length=1)],
            list[int],
            "'field' has minItems none, its reader 1",
        ),
        (dict[str, int], dict[str, str], "'field.*' may be string, not integer"),
        (tuple[int, str], tuple[int, int], "'field[1]' may be integer, not string"),
        (tuple[int, ...], list[str], "'field[]' may be string, not integer"),
        (Line, dict[str, int], "'field.sku' may be absent"),
        (dict[str, int], Line, "'field.sku' may be string, not integer"),
        (Strict, LongLine, "'field.note' may be present, which its reader forbids"),
    ],
    ids=str,
)
def test_a_reader_that_may_be_given_other_values_is_refused(reader, contract, problem):
    assert problem in problems(reader, contract)


@pytest.mark.parametrize(
    ("reader", "contract"),
    [
        (Annotated[int, Meta(gt=0)], Annotated[int, Meta(ge=1)]),
        (Annotated[int, Meta(ge=0)], Annotated[int, Meta(gt=0, lt=10)]),
        (Annotated[int, Meta(multiple_of=2)], Annotated[int, Meta(multiple_of=4)]),
        (float, int),
        (str | None, Short),
        (str, Size),
        (Line, LongLine),
        (tuple[int, ...], list[int]),
    ],
    ids=str,
)
def test_a_wider_reader_is_let_through(reader, contract):
    assert problems(reader, contract) == []
