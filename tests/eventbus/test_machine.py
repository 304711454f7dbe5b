"""Whatever happens in whatever order, each event has its effect once, or is a dead letter.

Hypothesis makes up histories (publish, roll back, crash, lose, double, reorder, fail and succeed)
for the real outbox, relay and inbox, and holds them against a model that fits on a page. Only the
broker is played, and time.
"""

import datetime as dt
from collections import Counter
from collections.abc import Callable, Sequence

import pytest
from django.db import transaction
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import (
    RuleBasedStateMachine,
    invariant,
    precondition,
    rule,
    run_state_machine_as_test,
)

from eventbus import clock, publish, subscriptions
from eventbus.delivery import deliver
from eventbus.models import DeadLetter, Event, Flight, Inbox, Outbox, Retry, Scheduled
from eventbus.relay import Relay
from eventbus.sweeper import sweep
from eventbus.tasks import hear_tick
from eventbus.testing import Basket, alone, listening
from eventbus.transports import Parcel
from orders.events import ProductRetired
from orders.models import Product
from tests.eventbus.test_delivery import hearing

NAMES = ("orders.listen", "orders.call")
SHORT = {"ATTEMPTS": 3, "DELIVERIES": 3, "BATCH": 3, "PROBE_AFTER": 4, "LEASE": 30.0}
ANY = st.integers(0, 1_000_000)  # taken modulo how many there are


class Killed(BaseException):
    """The process ends here."""


class Broker(Basket):
    """Keeps messages until one is picked; can lose, and does carry ticks."""

    in_process = False

    def __init__(self) -> None:
        super().__init__()
        self.ticks: list[tuple[str, str]] = []

    def tick(self, queue: str, sent_at: str) -> None:
        self.ticks.append((queue, sent_at))


class House(RuleBasedStateMachine):
    """The rules are what may happen; the model is what was said and how often it still fails."""

    def __init__(self) -> None:
        super().__init__()
        self.said: set[str] = set()
        self.fails: Counter[str] = Counter()
        self.calls: Counter[str] = Counter()
        self.mortal = False
        self.number = 0
        self._world = transaction.atomic()
        self._world.__enter__()
        self._hearing = self._listen()
        self.broker = Broker()
        self.relay = Relay(self.broker)

    def _listen(self) -> Sequence[object]:
        deaf, consumers = alone("nobody"), listening(*self._consumers())
        deaf.__enter__()
        consumers.__enter__()
        subscriptions.sync()
        return consumers, deaf

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

        return hearing(listen), hearing(call, outside=True)

    def _may_fail(self, what: str) -> None:
        if self.mortal:
            raise Killed
        if self.fails[what]:
            self.fails[what] -= 1
            raise ValueError("not yet")

    def teardown(self) -> None:
        try:
            self._settle()
            self._must_have_ended_well()
        finally:
            for context in self._hearing:
                context.__exit__(None, None, None)
            transaction.set_rollback(True)
            self._world.__exit__(None, None, None)
            clock.offset = dt.timedelta()

    # --- what may happen ----------------------------------------------------------------------
    @rule(count=st.integers(1, 4), fails=st.integers(0, 4), later=st.booleans())
    def publish(self, count: int, fails: int, later: bool) -> None:
        with transaction.atomic():
            for _ in range(count):
                self._say(fails, dt.timedelta(seconds=40) if later else None)

    def _say(self, fails: int, due: dt.timedelta | None) -> None:
        self.number += 1
        sku = f"p{self.number}"
        publish(ProductRetired(sku=sku), due=due)
        self.said.add(sku)
        self.fails[sku] = self.fails[f"call {sku}"] = fails

    @rule(count=st.integers(1, 3))
    def publish_and_roll_back(self, count: int) -> None:
        with pytest.raises(ZeroDivisionError), transaction.atomic():
            for number in range(count):
                publish(ProductRetired(sku=f"ghost {number}"))
            raise ZeroDivisionError

    @rule()
    def relay_turns(self) -> None:
        self.relay.turn()

    @rule()
    def relay_dies_before_it_sends(self) -> None:
        Relay(Broker())._claim()

    @rule()
    def relay_dies_before_it_notes(self) -> None:
        before = len(self.broker.parcels)
        self.relay.turn()
        sent = [parcel.flight for parcel in self.broker.parcels[before:]]
        Flight.objects.filter(pk__in=sent).update(confirmed_at=None)

    @precondition(lambda self: self.broker.parcels)
    @rule(which=ANY)
    def broker_doubles(self, which: int) -> None:
        self.broker.parcels.append(self.broker.parcels[which % len(self.broker.parcels)])

    @precondition(lambda self: self.broker.parcels)
    @rule()
    def broker_loses_everything(self) -> None:
        self.broker.parcels.clear()
        self.broker.ticks.clear()

    @precondition(lambda self: self.broker.parcels)
    @rule(which=ANY, redelivered=st.booleans())
    def worker_handles(self, which: int, redelivered: bool) -> None:
        self._deliver(self._pick(which), redelivered)

    @precondition(lambda self: self.broker.parcels)
    @rule(which=ANY, redelivered=st.booleans())
    def worker_dies_in_the_handler(self, which: int, redelivered: bool) -> None:
        parcel, self.mortal = self._pick(which), True
        try:
            self._deliver(parcel, redelivered)
        except Killed:
            self.broker.parcels.append(parcel)
        finally:
            self.mortal = False

    @precondition(lambda self: self.broker.parcels)
    @rule(which=ANY)
    def worker_dies_before_it_acknowledges(self, which: int) -> None:
        parcel = self._pick(which)
        self._deliver(parcel, False)
        self.broker.parcels.append(parcel)

    @rule()
    def worker_hears_the_ticks(self) -> None:
        while self.broker.ticks:
            hear_tick(*self.broker.ticks.pop())

    @rule(seconds=st.sampled_from([1, 20, 45, 400]))
    def time_passes(self, seconds: int) -> None:
        clock.offset += dt.timedelta(seconds=seconds)

    @rule()
    def relay_sweeps(self) -> None:
        sweep(self.broker, ["orders"])

    def _pick(self, which: int) -> Parcel:
        return self.broker.parcels.pop(which % len(self.broker.parcels))

    def _deliver(self, parcel: Parcel, redelivered: bool) -> None:
        again = redelivered or parcel.suspect
        deliver(parcel.flight, parcel.consumer, parcel.events, again)

    # --- what must always be so ---------------------------------------------------------------
    @invariant()
    def every_effect_once(self) -> None:
        assert set(Product.objects.values_list("views", flat=True)) <= {1}
        assert set(self.calls.values()) <= {1}

    @invariant()
    def nothing_is_heard_that_was_not_said(self) -> None:
        assert set(Product.objects.values_list("pk", flat=True)) <= self.said
        assert set(self.calls) <= self.said

    @invariant()
    def every_delivery_owed_is_somewhere(self) -> None:
        waiting = set(Outbox.objects.values_list("event_id", flat=True))
        somewhere = set(Retry.objects.values_list("consumer", "event_id"))
        somewhere |= set(DeadLetter.objects.values_list("consumer", "event_id"))
        handled = Inbox.objects.exclude(handled_at=None)
        somewhere |= set(handled.values_list("consumer", "event_id"))
        flying = Flight.objects.values_list("consumer", "event_ids")
        told = {(name, id) for name, ids in flying for id in ids}
        for id in Event.objects.values_list("id", flat=True):
            for name in NAMES:
                assert id in waiting or (name, id) in somewhere or (name, str(id)) in told

    def _settle(self) -> None:
        """Let everything arrive, as a house does that is left alone."""
        for _ in range(60):
            clock.offset += dt.timedelta(seconds=60)
            self.relay_sweeps()
            self.worker_hears_the_ticks()
            while self.relay.turn():
                continue
            while self.broker.parcels:
                self._deliver(self.broker.parcels.pop(0), False)
            left = (Outbox, Flight, Retry, Scheduled)
            if not any(table._default_manager.exists() for table in left):
                return
        raise AssertionError(f"never ends: {list(Flight.objects.values())} {Retry.objects.all()}")

    def _must_have_ended_well(self) -> None:
        names = dict(Event.objects.values_list("id", "payload__sku"))
        assert set(names.values()) == self.said
        dead = {(c, names[id]) for c, id in DeadLetter.objects.values_list("consumer", "event_id")}
        heard = {("orders.listen", sku) for sku in Product.objects.values_list("pk", flat=True)}
        heard |= {("orders.call", sku) for sku in self.calls}
        assert heard | dead == {(name, sku) for name in NAMES for sku in self.said}
        self.every_effect_once()


@pytest.mark.django_db
def test_no_history_loses_or_doubles_anything(settings_of_the_machine: settings) -> None:
    run_state_machine_as_test(House, settings=settings_of_the_machine)


@pytest.fixture
def settings_of_the_machine(settings) -> object:
    settings.EVENTBUS = {**settings.EVENTBUS, **SHORT}
    return _quick


_quick = settings(
    derandomize=True,
    deadline=None,
    max_examples=25,
    stateful_step_count=25,
    suppress_health_check=list(HealthCheck),
    database=None,
)
