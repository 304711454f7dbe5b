"""Batch consumers receive unhandled events in order, and a bad one harms no other."""

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


Received = list[list[str]]


@pytest.fixture(autouse=True)
def own_registry() -> Iterator[None]:
    known = dict(registry.consumers)
    yield
    registry.consumers.clear()
    registry.consumers.update(known)


@pytest.fixture
def received() -> Received:
    return []


@pytest.fixture
def listen(received: Received) -> Callable[[list[Retired]], None]:
    """A handler that keeps the items it receives, and fails if one of them is bad."""

    def listen(items: list[Retired]) -> None:
        received.append([each.sku for each in items])
        if "bad" in received[-1]:
            raise ValueError("spoiled")

    return listen


def batch_consumer(handle: Callable[..., Any], *names: str, **options: Any) -> registry.Consumer:
    """Return a consumer of the context `tests`, not registered."""
    consumer(*(names or ["orders.ProductRetired"]), batch=True, **options)(handle)
    return registry.consumers.pop(f"tests.{handle.__name__}")


def retire(*skus: str) -> list[UUID]:
    return [publish(ProductRetired(sku=sku)) for sku in skus]


def cloudevents(*ids: UUID) -> list[dict[str, Any]]:
    return [to_cloudevent(Event.objects.get(pk=id).envelope()) for id in ids]


def test_a_message_is_one_call_in_the_order_of_its_events(calm: Bus, received, listen):
    with listening(batch_consumer(listen)):
        retire("b", "a", "c")
        calm.settle()
    assert received == [["b", "a", "c"]]
    assert Inbox.objects.filter(consumer="tests.listen").count() == 3


def test_a_batch_handler_receives_only_unhandled_events(calm: Bus, received, listen):
    with listening(batch_consumer(listen)):
        one, two, three = cloudevents(*retire("1", "2", "3"))
        deliver(0, "tests.listen", [two])
        deliver(0, "tests.listen", [one, two, three])
        deliver(0, "tests.listen", [one, two, three])
    assert received == [["2"], ["1", "3"]]


def test_a_batch_handler_receives_each_event_once_in_any_weather(bus: Bus, received, listen):
    with listening(batch_consumer(listen)):
        retire("a", "b", "c")
        bus.settle()
    assert sorted(sku for skus in received for sku in skus) == ["a", "b", "c"]


def test_one_bad_event_does_not_harm_its_neighbours(calm: Bus, received, listen):
    with listening(batch_consumer(listen)):
        _, bad, _ = ids = retire("a", "bad", "b")
        deliver(0, "tests.listen", cloudevents(*ids))
    assert received == [["a", "bad", "b"], ["a"], ["bad"], ["b"]]
    assert Retry.objects.get(consumer="tests.listen").event_id == bad
    handled = Inbox.objects.filter(consumer="tests.listen").values_list("event_id", flat=True)
    assert set(handled) == set(ids) - {bad}


def test_an_undecodable_event_does_not_harm_its_neighbours(calm: Bus, received, listen):
    with listening(batch_consumer(listen)):
        ids = retire("a", "b", "c")
        messages = cloudevents(*ids)
        messages[1]["data"] = {"sku": 7}
        deliver(0, "tests.listen", messages)
    assert received == [["a"], ["c"]]
    assert DeadLetter.objects.get().event_id == ids[1]


def test_the_effects_of_a_failed_batch_are_rolled_back(calm: Bus):
    def write(items: list[Retired]) -> None:
        for each in items:
            Inbox.objects.create(consumer="effect", event_id=each.envelope.id)
            if each.sku == "bad":
                raise ValueError("half way")

    with listening(batch_consumer(write)):
        good, bad = retire("good", "bad")
        deliver(0, "tests.write", cloudevents(good, bad))
    effects = Inbox.objects.filter(consumer="effect").values_list("event_id", flat=True)
    assert list(effects) == [good]


def test_an_item_has_its_defaults_and_its_envelope(calm: Bus):
    seen: list[Retired] = []

    def look(items: Sequence[Retired]) -> None:
        seen.extend(items)

    with listening(batch_consumer(look)), acting_as("operator:1"):
        (id,) = retire("teapot")
        calm.settle()
    (one,) = seen
    assert (one.sku, one.note, one.envelope.id) == ("teapot", "none", id)
    assert one.envelope.actor == "operator:1"


def test_events_of_many_kinds_share_a_call(calm: Bus, received, listen):
    with listening(batch_consumer(listen, "orders.ProductRetired", "orders.ProductRepriced")):
        retire("a")
        publish(ProductRepriced(sku="b", unit_price="2.00", was="1.00", currency="EUR"))
        calm.settle()
    assert received == [["a", "b"]]


@pytest.mark.parametrize("many", [1, 3])
@pytest.mark.parametrize("ask", [origin, lambda: publish(ProductRetired(sku="echo"))])
def test_a_batch_handler_has_no_single_cause_and_cannot_publish(calm: Bus, many, ask):
    def speak(items: list[Retired]) -> None:
        ask()

    with listening(batch_consumer(speak)):
        retire(*["a"] * many)
        calm.settle(allow_failures=True)
    assert DeadLetter.objects.count() == many == Event.objects.count()
    for dead in DeadLetter.objects.all():
        assert "tests.speak handles many events at once" in dead.error


def test_the_key_of_a_batch_consumer_names_a_field(calm: Bus, listen):
    (id,) = retire("teapot")
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


def test_the_fields_of_an_item_are_checked_against_the_contract(calm: Bus):
    def misread(items: list[Wrong]) -> None:
        """Read a field that is not in the contract."""

    with listening(batch_consumer(misread)):
        problems = [p.msg for p in checks.check_contexts(None)]
    assert problems == [
        "tests.misread reads orders.ProductRetired: no field 'skew'.",
        "tests.misread reads orders.ProductRetired: 'sku' may be string, not integer.",
    ]


class Struct(msgspec.Struct):
    sku: str


def plain(sku: str) -> None: ...
def untyped(items): ...
def of_words(items: list[str]) -> None: ...
def of_envelopes(items: list[Envelope]) -> None: ...
def of_structs(items: list[Struct]) -> None: ...
def a_set(items: set[Retired]) -> None: ...
def two(items: list[Retired], envelope: Envelope) -> None: ...
def none() -> None: ...


@pytest.mark.parametrize(
    "handle", [plain, untyped, of_words, of_envelopes, of_structs, a_set, two, none]
)
def test_anything_but_one_list_of_a_dataclass_is_refused(handle):
    with pytest.raises(BadConsumer, match="takes one list of a dataclass with the fields it reads"):
        batch_consumer(handle)


def test_an_external_consumer_cannot_be_a_batch_consumer(listen):
    with pytest.raises(BadConsumer, match="external=True has none"):
        batch_consumer(listen, external=True)
