"""In any history and order, each event has its effect once, or is a dead letter.

Hypothesis makes up histories (publish, roll back, crash, lose, double, reorder, fail and succeed)
for the real outbox, relay and inbox, and compares them with a model that fits on a page. Only the
broker and the time are simulated.
"""

import datetime as dt
from collections import Counter
from collections.abc import Callable, Iterator, Sequence

import pytest
from django.db import transaction
from hypothesis import settings as hypothesis_settings
from hypothesis import strategies as st
from hypothesis.stateful import (
    RuleBasedStateMachine,
    initialize,
    invariant,
    rule,
    run_state_machine_as_test,
)

from eventbus import publish
from eventbus.consuming.delivery import deliver
from eventbus.consuming.tasks import receive_marker
from eventbus.models import DeadLetter, Dispatch, Event, Inbox, Outbox, Retry, Scheduled
from eventbus.relay import subscriptions
from eventbus.relay.lost_messages import resend_lost
from eventbus.relay.relay import Relay
from eventbus.relay.transports import Message
from eventbus.testing import InMemoryTransport, alone, listening
from infra import clock
from orders.events import ProductRetired
from orders.models import Product
from tests.eventbus.consumers import make_consumer

NAMES = ("orders.listen", "orders.call")
SHORT = {
    "MAX_ATTEMPTS": 3,
    "MAX_DELIVERIES": 3,
    "BATCH_SIZE": 3,
    "PROBE_AFTER_FAILURES": 4,
    "LEASE_SECONDS": 30.0,
}
RELAYS = st.sampled_from(["runs", "dies before it sends", "dies before it confirms"])
ANY = st.integers(0, 1_000_000)  # taken modulo how many there are


class Killed(KeyboardInterrupt):
    """The process ends here."""


class Broker(InMemoryTransport):
    """Keeps messages until one is picked; may lose them, and carries markers."""

    in_process = False

    def __init__(self) -> None:
        super().__init__()
        self.markers: list[tuple[str, str]] = []

    def send_marker(self, queue: str, sent_at: str) -> None:
        self.markers.append((queue, sent_at))


class BusMachine(RuleBasedStateMachine):
    """The rules are the possible steps; the model is the published skus and their failures left."""

    def __init__(self) -> None:
        super().__init__()
        self.published: set[str] = set()
        self.fails: Counter[str] = Counter()
        self.calls: Counter[str] = Counter()
        self.mortal = False
        self.number = 0
        self._transaction = transaction.atomic()
        self._transaction.__enter__()
        self._subscribed = self._subscribe()
        self.broker = Broker()
        self.relay_process = Relay(self.broker)

    def _subscribe(self) -> Sequence[object]:
        others, consumers = alone("nobody"), listening(*self._consumers())
        others.__enter__()
        consumers.__enter__()
        subscriptions.sync()
        return consumers, others

    def _consumers(self):
        def listen(sku: str) -> None:
            Product.objects.get_or_create(pk=sku, defaults={"unit_price": 0})
            product = Product.objects.get(pk=sku)
            product.views += 1
            product.save()
            self._may_fail(sku)

        def call(sku: str) -> Callable[[], object]:
            self._may_fail(f"call {sku}")
            return lambda: self.calls.update([sku])

        return make_consumer(listen), make_consumer(call, external=True)

    def _may_fail(self, call: str) -> None:
        if self.mortal:
            raise Killed
        if self.fails[call]:
            self.fails[call] -= 1
            raise ValueError("not yet")

    def teardown(self) -> None:
        try:
            self._settle()
            self._check_the_end()
        finally:
            for context in self._subscribed:
                context.__exit__(None, None, None)
            transaction.set_rollback(True)
            self._transaction.__exit__(None, None, None)
            clock.offset = dt.timedelta()

    # --- possible steps ----------------------------------------------------------------------
    # Few rules of many ways: with one rule each, Hypothesis spends its histories on empty brokers.
    @initialize(count=st.integers(1, 4))
    def begin(self, count: int) -> None:
        self.publish(count, 1, None, "runs")

    @rule(
        count=st.integers(1, 4),
        fails=st.integers(0, 4),
        due=st.sampled_from([None, 40]),
        relay=RELAYS,
    )
    def publish(self, count: int, fails: int, due: int | None, relay: str) -> None:
        with transaction.atomic():
            for _ in range(count):
                self._publish_one(fails, due)
        self.relay(relay)

    def _publish_one(self, fails: int, due: int | None) -> None:
        self.number += 1
        sku = f"p{self.number}"
        publish(ProductRetired(sku=sku), due=None if due is None else dt.timedelta(seconds=due))
        self.published.add(sku)
        self.fails[sku] = self.fails[f"call {sku}"] = fails

    @rule(count=st.integers(1, 3))
    def roll_back(self, count: int) -> None:
        with pytest.raises(ZeroDivisionError), transaction.atomic():
            for number in range(count):
                publish(ProductRetired(sku=f"ghost {number}"))
            raise ZeroDivisionError

    @rule(how=RELAYS)
    def relay(self, how: str) -> None:
        if how == "dies before it sends":
            Relay(Broker())._claim()
            return
        before = len(self.broker.messages)
        self.relay_process.run_once()
        if how == "dies before it confirms":
            sent = [message.dispatch for message in self.broker.messages[before:]]
            Dispatch.objects.filter(pk__in=sent).update(confirmed_at=None)

    @rule(which=ANY, how=st.sampled_from(["doubles", "carries its markers", "loses everything"]))
    def broker_may(self, which: int, how: str) -> None:
        messages = self.broker.messages
        if how == "doubles" and messages:
            messages.append(messages[which % len(messages)])
        elif how == "carries its markers":
            self._receive_markers()
        elif how == "loses everything":
            messages.clear()
            self.broker.markers.clear()

    @rule(
        which=ANY,
        redelivered=st.booleans(),
        how=st.sampled_from(["handles", "handles", "dies in the handler", "never acknowledges"]),
    )
    def worker(self, which: int, redelivered: bool, how: str) -> None:
        messages = self.broker.messages
        if not messages:
            return
        message = messages.pop(which % len(messages))
        self.mortal = how == "dies in the handler"
        try:
            self._deliver(message, redelivered)
        except Killed:
            messages.append(message)
        finally:
            self.mortal = False
        if how == "never acknowledges":
            messages.append(message)

    @rule(seconds=st.sampled_from([1, 20, 45, 400]))
    def time_passes(self, seconds: int) -> None:
        clock.offset += dt.timedelta(seconds=seconds)
        self._resend_lost()

    def _resend_lost(self) -> None:
        resend_lost(self.broker, ["orders"])

    def _receive_markers(self) -> None:
        while self.broker.markers:
            receive_marker(*self.broker.markers.pop())

    def _deliver(self, message: Message, redelivered: bool) -> None:
        suspect = redelivered or message.suspect
        deliver(message.dispatch, message.consumer, message.events, suspect)

    # --- invariants ---------------------------------------------------------------
    @invariant()
    def every_effect_once(self) -> None:
        assert set(Product.objects.values_list("views", flat=True)) <= {1}
        assert set(self.calls.values()) <= {1}

    @invariant()
    def only_published_events_have_effects(self) -> None:
        assert set(Product.objects.values_list("pk", flat=True)) <= self.published
        assert set(self.calls) <= self.published

    @invariant()
    def every_delivery_owed_is_somewhere(self) -> None:
        waiting = set(Outbox.objects.values_list("event_id", flat=True))
        somewhere = set(Retry.objects.values_list("consumer", "event_id"))
        somewhere |= set(DeadLetter.objects.values_list("consumer", "event_id"))
        handled = Inbox.objects.exclude(handled_at=None)
        somewhere |= set(handled.values_list("consumer", "event_id"))
        dispatches = Dispatch.objects.values_list("consumer", "event_ids")
        dispatched = {(name, id) for name, ids in dispatches for id in ids}
        for id in Event.objects.values_list("id", flat=True):
            for name in NAMES:
                assert id in waiting or (name, id) in somewhere or (name, str(id)) in dispatched

    def _settle(self) -> None:
        """Deliver everything that is left, with a broker that loses no message."""
        for _ in range(60):
            clock.offset += dt.timedelta(seconds=60)
            self._resend_lost()
            self._receive_markers()
            while self.relay_process.run_once():
                continue
            while self.broker.messages:
                self._deliver(self.broker.messages.pop(0), False)
            left = (Outbox, Dispatch, Retry, Scheduled)
            if not any(table._default_manager.exists() for table in left):
                return
        raise AssertionError(f"never ends: {list(Dispatch.objects.values())} {Retry.objects.all()}")

    def _check_the_end(self) -> None:
        names = dict(Event.objects.values_list("id", "payload__sku"))
        assert set(names.values()) == self.published
        dead = {(c, names[id]) for c, id in DeadLetter.objects.values_list("consumer", "event_id")}
        handled_skus = {
            ("orders.listen", sku) for sku in Product.objects.values_list("pk", flat=True)
        }
        handled_skus |= {("orders.call", sku) for sku in self.calls}
        assert handled_skus | dead == {(name, sku) for name in NAMES for sku in self.published}
        assert not handled_skus & dead
        self.every_effect_once()


@pytest.mark.django_db
def test_no_history_loses_or_duplicates_an_effect(
    machine_settings: hypothesis_settings,
) -> None:
    run_state_machine_as_test(BusMachine, settings=machine_settings)


@pytest.fixture
def history(db, machine_settings: hypothesis_settings) -> Iterator[BusMachine]:
    """A history written by hand; its end is checked like any other."""
    machine = BusMachine()
    machine.publish(1, 3, None, "runs")
    machine.broker.messages = [
        p for p in machine.broker.messages if p.consumer == "orders.listen"
    ] * 2
    yield machine
    machine.teardown()


def test_the_retry_of_a_killed_worker_is_deleted_when_another_copy_is_handled(
    history: BusMachine,
) -> None:
    history.fails.clear()
    history.worker(0, True, "dies in the handler")
    history.worker(0, False, "handles")
    history.broker_may(0, "loses everything")


def test_a_dead_letter_is_deleted_when_another_copy_is_handled(history: BusMachine) -> None:
    other = history.broker.messages.pop()
    while not DeadLetter.objects.filter(consumer="orders.listen").exists():
        history.time_passes(60)
        history.relay("runs")
        while history.broker.messages:
            history.worker(0, False, "handles")
    history.broker.messages.append(other)


@pytest.fixture
def machine_settings(settings) -> object:
    settings.EVENTBUS = {**settings.EVENTBUS, **SHORT}
    return hypothesis_settings(stateful_step_count=25)
