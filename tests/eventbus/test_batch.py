"""Consumers that take many events at once: what is fresh, in order, and nobody else harmed."""

import datetime as dt
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any
from uuid import UUID

import msgspec
import pytest

from eventbus import Envelope, acting_as, checks, consumer, origin, publish, registry
from eventbus.cloudevents import to_cloudevent
from eventbus.consuming.delivery import deliver
from eventbus.errors import BadConsumer
from eventbus.models import DeadLetter, Event, Inbox, Retry
from eventbus.testing import Bus, listening
from orders.events import ProductRepriced, ProductRetired


@dataclass(frozen=True)
class Retired:
    sku: str
    envelope: Envelope
    note: str = "none"


Heard = list[list[str]]


@pytest.fixture(autouse=True)
def own_registry() -> Iterator[None]:
    known = dict(registry.consumers)
    yield
    registry.consumers.clear()
    registry.consumers.update(known)


@pytest.fixture
def heard() -> Heard:
    return []


@pytest.fixture
def listen(heard: Heard) -> Callable[[list[Retired]], None]:
    """A handler that keeps what it is handed, and fails where one of it is bad."""

    def listen(news: list[Retired]) -> None:
        heard.append([each.sku for each in news])
        if "bad" in heard[-1]:
            raise ValueError("spoiled")

    return listen


def batch_consumer(handle: Callable[..., Any], *names: str, **options: Any) -> registry.Consumer:
    """Subscribe a handler as the context `tests` would."""
    consumer(*(names or ["orders.ProductRetired"]), batch=True, **options)(handle)
    return registry.consumers.pop(f"tests.{handle.__name__}")


def told(*skus: str) -> list[UUID]:
    return [publish(ProductRetired(sku=sku)) for sku in skus]


def wires(*ids: UUID) -> list[dict[str, Any]]:
    return [to_cloudevent(Event.objects.get(pk=id).envelope()) for id in ids]


def test_a_message_is_one_call_in_the_order_of_its_events(calm: Bus, heard, listen):
    with listening(batch_consumer(listen)):
        told("b", "a", "c")
        calm.settle()
    assert heard == [["b", "a", "c"]]
    assert Inbox.objects.filter(consumer="tests.listen").count() == 3


def test_only_what_is_fresh_is_handed_over(calm: Bus, heard, listen):
    with listening(batch_consumer(listen)):
        one, two, three = wires(*told("1", "2", "3"))
        deliver(0, "tests.listen", [two])
        deliver(0, "tests.listen", [one, two, three])
        deliver(0, "tests.listen", [one, two, three])
    assert heard == [["2"], ["1", "3"]]


def test_in_any_weather_each_event_is_handed_over_once(bus: Bus, heard, listen):
    with listening(batch_consumer(listen)):
        told("a", "b", "c")
        bus.settle()
    assert sorted(sku for skus in heard for sku in skus) == ["a", "b", "c"]


def test_one_bad_event_does_not_harm_its_neighbours(calm: Bus, heard, listen):
    with listening(batch_consumer(listen)):
        _, bad, _ = ids = told("a", "bad", "b")
        deliver(0, "tests.listen", wires(*ids))
    assert heard == [["a", "bad", "b"], ["a"], ["bad"], ["b"]]
    assert Retry.objects.get(consumer="tests.listen").event_id == bad
    handled = Inbox.objects.filter(consumer="tests.listen").values_list("event_id", flat=True)
    assert set(handled) == set(ids) - {bad}


def test_one_that_cannot_be_read_does_not_harm_its_neighbours(calm: Bus, heard, listen):
    with listening(batch_consumer(listen)):
        ids = told("a", "b", "c")
        messages = wires(*ids)
        messages[1]["data"] = {"sku": 7}
        deliver(0, "tests.listen", messages)
    assert heard == [["a"], ["c"]]
    assert DeadLetter.objects.get().event_id == ids[1]


def test_what_it_did_goes_with_the_call_that_failed(calm: Bus):
    def write(news: list[Retired]) -> None:
        for each in news:
            Inbox.objects.create(consumer="effect", event_id=each.envelope.id)
            if each.sku == "bad":
                raise ValueError("half way")

    with listening(batch_consumer(write)):
        good, bad = told("good", "bad")
        deliver(0, "tests.write", wires(good, bad))
    effects = Inbox.objects.filter(consumer="effect").values_list("event_id", flat=True)
    assert list(effects) == [good]


def test_the_fields_are_the_readers_defaults_and_envelope_included(calm: Bus):
    seen: list[Retired] = []

    def look(news: Sequence[Retired]) -> None:
        seen.extend(news)

    with listening(batch_consumer(look)), acting_as("operator:1"):
        (id,) = told("teapot")
        calm.settle()
    (one,) = seen
    assert (one.sku, one.note, one.envelope.id) == ("teapot", "none", id)
    assert one.envelope.actor == "operator:1"


def test_events_of_many_kinds_share_a_call(calm: Bus, heard, listen):
    with listening(batch_consumer(listen, "orders.ProductRetired", "orders.ProductRepriced")):
        told("a")
        publish(ProductRepriced(sku="b", unit_price="2.00", was="1.00", currency="EUR"))
        calm.settle()
    assert heard == [["a", "b"]]


@pytest.mark.parametrize("many", [1, 3])
@pytest.mark.parametrize("ask", [origin, lambda: publish(ProductRetired(sku="echo"))])
def test_it_has_no_one_cause_so_it_says_nothing(calm: Bus, many, ask):
    def speak(news: list[Retired]) -> None:
        ask()

    with listening(batch_consumer(speak)):
        told(*["a"] * many)
        calm.settle(allow_failures=True)
    assert DeadLetter.objects.count() == many == Event.objects.count()
    for letter in DeadLetter.objects.all():
        assert "tests.speak handles many events at once" in letter.error


def test_its_key_names_a_field(calm: Bus, listen):
    (id,) = told("teapot")
    by_sku = batch_consumer(listen, key="sku")
    arguments = by_sku.arguments(Event.objects.get(pk=id).envelope())
    assert by_sku.keys(arguments) == ["tests/teapot"]
    both = batch_consumer(listen, key=lambda sku, note: [sku, note])
    assert both.keys(arguments) == ["tests/none", "tests/teapot"]
    with pytest.raises(BadConsumer, match="its key names colour"):
        batch_consumer(listen, key="colour")


@dataclass(frozen=True)
class Wrong:
    skew: str
    sku: int
    at: dt.datetime = field(default_factory=dt.datetime.now)


def test_its_fields_are_held_against_the_contract(calm: Bus):
    def misread(news: list[Wrong]) -> None:
        """Read what nobody promises."""

    with listening(batch_consumer(misread)):
        problems = [p.msg for p in checks.check_contexts(None)]
    assert problems == [
        "tests.misread reads orders.ProductRetired: no field 'skew'.",
        "tests.misread reads orders.ProductRetired: 'sku' may be string, not integer.",
    ]


class Struct(msgspec.Struct):
    sku: str


def plain(sku: str) -> None: ...
def untyped(news): ...
def of_words(news: list[str]) -> None: ...
def of_envelopes(news: list[Envelope]) -> None: ...
def of_structs(news: list[Struct]) -> None: ...
def a_set(news: set[Retired]) -> None: ...
def two(news: list[Retired], envelope: Envelope) -> None: ...
def none() -> None: ...


@pytest.mark.parametrize(
    "handle", [plain, untyped, of_words, of_envelopes, of_structs, a_set, two, none]
)
def test_anything_but_one_list_of_a_dataclass_is_refused(handle):
    with pytest.raises(BadConsumer, match="takes one list of a dataclass with the fields it reads"):
        batch_consumer(handle)


def test_what_calls_outside_is_not_told_many_at_once(listen):
    with pytest.raises(BadConsumer, match="external=True has none"):
        batch_consumer(listen, external=True)
