"""A reader and a contract agree only if the reader takes every value that the contract allows."""

import datetime as dt
import enum
from decimal import Decimal
from itertools import count
from typing import Annotated, Any, Literal

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from msgspec import Meta

from eventbus.publishing import contracts
from eventbus.publishing.compatibility import incompatibilities
from eventbus.publishing.unstated import KEYS, ZONE, unstated


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


class Tree(msgspec.Struct):
    name: str
    branches: list["Tree"] = []


class ShortTree(msgspec.Struct):
    name: Annotated[str, Meta(max_length=3)]
    branches: list["ShortTree"] = []


class Size(enum.Enum):
    SMALL = "small"
    LARGE = "large"


def schema(annotation: Any) -> dict[str, Any]:
    """Return the schema of a payload with one field of this type."""
    return contracts.schema_of(payload(annotation))


def payload(annotation: Any) -> Any:
    return msgspec.defstruct("Payload", [("field", annotation)])


def problems(reader: Any, contract: Any) -> list[str]:
    return [*unstated(payload(reader)), *incompatibilities(schema(reader), schema(contract))]


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
    Tree,
    ShortTree,
    bytes,
    dict,
    dict[str, Any],
    dict[Short, int],
    dict[Annotated[str, Meta(pattern="^a")], int],
    Annotated[set[int], Meta(min_length=2)],
    Annotated[list[int], Meta(min_length=2)],
    Literal["a", None],
    Literal["a", 1],
    Annotated[dt.datetime, Meta(tz=True)],
    Annotated[dt.time, Meta(tz=False)],
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
    *("YQ==", "2026-11-25T10:00:00Z", "10:00:00", [1, 1], [2, 1], {"abcd": 1}, {"b": 1}),
    {"name": "a", "branches": [{"name": "abcd"}]},
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


def published(annotation: Any, values: list[Any]) -> list[Any]:
    """Return the values that a publisher with this type publishes; it reads what it has written."""
    taken = [msgspec.convert(value, annotation) for value in values if takes(annotation, value)]
    written = [msgspec.to_builtins(value) for value in taken]
    return [value for value in written if takes(annotation, value)]


@pytest.mark.parametrize("contract", TYPES, ids=str)
def test_a_reader_that_is_let_through_takes_each_value_of_the_contract(contract):
    values = published(contract, VALUES)
    for reader in (one for one in TYPES if not problems(one, contract)):
        assert [value for value in values if not takes(reader, value)] == [], reader


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
        (ShortTree, Tree, "'field.name' has maxLength none, its reader 3"),
        (bytes, str, "'field' may be string, not base64"),
        (dict[str, int], dict, "'field.*' may be anything, not integer"),
        (dict[Short, int], dict[str, int], "'field (a key)' has maxLength none, its reader 3"),
        (dict[int, str], dict[str, str], f"'field' {KEYS}"),
        (list[dict[Literal["a"], int]], list[dict[str, int]], f"'field[]' {KEYS}"),
        (Annotated[dt.datetime, Meta(tz=False)], str, f"'field' {ZONE}"),
        (list[dt.time], list[str], f"'field[]' {ZONE}"),
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
        (Tree, ShortTree),
        (str | None, Literal["a", None]),
        (float, Literal[1, 2]),
        (dict[Short, int], dict[Annotated[str, Meta(max_length=2)], int]),
    ],
    ids=str,
)
def test_a_wider_reader_is_let_through(reader, contract):
    assert problems(reader, contract) == []


NUMBERS = count()  # msgspec wants a name for each type
TEXT = st.text("ab1-", max_size=5)
LEAVES: list[tuple[Any, st.SearchStrategy[Any]]] = [
    (int, st.integers()),
    (float, st.floats(allow_nan=False, allow_infinity=False)),
    (str, TEXT),
    (bool, st.booleans()),
    (Literal["a", "ab"], st.sampled_from(["a", "ab"])),
    (Literal["a", 1, None], st.sampled_from(["a", 1, None])),
    (Decimal, st.decimals(-5, 5, places=2).map(str)),
    (Any, st.one_of(st.none(), TEXT, st.integers())),
]


@st.composite
def limited_leaves(draw: Any) -> tuple[Any, st.SearchStrategy[Any]]:
    """A type without parts, with limits, and values for it."""
    size, number = st.none() | st.integers(0, 4), st.none() | st.integers(-3, 6)
    lengths = {"min_length": draw(size), "max_length": draw(size)}
    pattern = draw(st.sampled_from([None, "^a", "b$", "^a"]))
    above, below = draw(st.sampled_from(["gt", "ge"])), draw(st.sampled_from(["lt", "le"]))
    bounds = {above: draw(number), below: draw(number)}
    return draw(
        st.sampled_from(
            [
                *LEAVES,
                (Annotated[str, Meta(**lengths, pattern=pattern)], TEXT),
                (Annotated[int, Meta(**bounds)], st.integers(-5, 8)),
                (Annotated[float, Meta(**bounds)], st.floats(-5, 8)),
                (Annotated[int, Meta(multiple_of=draw(st.integers(1, 6)))], st.integers(-12, 12)),
            ]
        )
    )


@st.composite
def leaf_pairs(draw: Any) -> tuple[Any, Any, st.SearchStrategy[Any]]:
    contract, values = draw(limited_leaves())
    return draw(st.sampled_from([contract, draw(limited_leaves())[0]])), contract, values


@st.composite
def containers(draw: Any, parts: Any) -> tuple[Any, Any, st.SearchStrategy[Any]]:
    """Draw a nested reader and contract, with values of the contract."""
    reader, contract, values = draw(parts)
    shape = draw(st.sampled_from(["items", "fields", "optional", "struct"]))
    if shape == "optional":
        return draw(st.sampled_from([reader, reader | None])), contract | None, values | st.none()
    if shape == "struct":
        fields = [
            draw(st.sampled_from([("part", one), ("part", one, msgspec.UNSET)]))
            for one in (reader, contract)
        ]
        value = st.fixed_dictionaries({}, optional={"part": values, "other": st.just(1)})
        structs = [
            msgspec.defstruct(
                f"Part{next(NUMBERS)}",
                [field, *more],
                forbid_unknown_fields=strict,
                omit_defaults=True,
            )
            for field, strict, more in (
                (fields[0], draw(st.booleans()), []),
                (fields[1], False, draw(st.sampled_from([[], [("other", int, 0)]]))),
            )
        ]
        return structs[0], structs[1], value
    size = st.none() | st.integers(0, 3)
    limits = [Meta(min_length=draw(size), max_length=draw(size)) for _ in range(2)]
    if shape == "fields":
        sides = [
            Annotated[dict[draw(st.sampled_from([str, Short, Any, int])), one], limit]
            for one, limit in zip((reader, contract), limits, strict=True)
        ]
        return *sides, st.dictionaries(TEXT, values, max_size=3)
    sides = [
        draw(st.sampled_from([Annotated[list[one], limit], tuple[one, ...], tuple[one, one]]))
        for one, limit in zip((reader, contract), limits, strict=True)
    ]
    return *sides, st.lists(values, max_size=3)


@settings(max_examples=400, deadline=None)
@given(st.data(), st.recursive(leaf_pairs(), containers, max_leaves=3))
def test_whatever_the_types_a_reader_that_is_let_through_takes_what_is_published(data, pair):
    reader, contract, values = pair
    if problems(reader, contract):
        return
    for value in published(contract, data.draw(st.lists(values, max_size=5))):
        assert takes(reader, value), (reader, contract, value)
