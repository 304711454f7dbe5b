"""A handler may do anything: its event takes effect once, or its failure is recorded at once."""

import contextlib
import decimal
from asyncio import CancelledError
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from functools import partial

import pytest
from django.db import Error, connection, transaction
from django.test import override_settings
from django.utils.timezone import activate as activate_time_zone
from django.utils.timezone import get_current_timezone_name
from django.utils.translation import activate as activate_language
from django.utils.translation import get_language

from eventbus import GiveUp, TryLater, publish
from eventbus.consuming import delivery
from eventbus.errors import BadConsumer, OutcomeUnknown
from eventbus.models import DeadLetter, Dispatch, Inbox, Retry
from eventbus.relay import subscriptions
from eventbus.relay.relay import Relay
from eventbus.relay.transports import Message
from eventbus.testing import Bus, InMemoryTransport, listening
from infra.errors import Refusal
from orders.events import ProductRetired
from orders.models import Product
from tests.eventbus.consumers import make_consumer

pytestmark = pytest.mark.django_db(transaction=True)


def deliver(handle: Callable[[str], object], *skus: str) -> None:
    """Publish events, deliver them to the handler, and check that each has one outcome."""
    with listening(make_consumer(handle, key="sku")):
        bus = Bus()
        with transaction.atomic():
            for sku in skus:
                publish(ProductRetired(sku=sku))
        bus.settle(allow_failures=True, until=lambda: Retry.objects.filter(attempts=1).exists())
        bus.settle(allow_failures=True, until=lambda: not Dispatch.objects.exists())
        assert not Dispatch.objects.exists()


def add(sku: str) -> None:
    Product.objects.create(sku=sku, name=sku, unit_price="1.00", currency="EUR")


def names() -> set[str]:
    return set(Product.objects.values_list("sku", flat=True))


def handled() -> int:
    return Inbox.objects.filter(consumer__startswith="orders.handle").count()


def end_by_hand(statement: str) -> None:
    with connection.cursor() as cursor:
        cursor.execute(statement)


def roll_back(sku: str) -> None:
    transaction.set_rollback(True)


def close(sku: str) -> None:
    connection.close()


def roll_back_by_hand(sku: str) -> None:
    end_by_hand("ROLLBACK")


def roll_back_and_begin_by_hand(sku: str) -> None:
    end_by_hand("ROLLBACK")
    end_by_hand("BEGIN")


def catch_a_database_error(sku: str) -> None:
    try:
        end_by_hand("SELECT no_such_column")
    except Error:
        end_by_hand("ROLLBACK")


ROLLS_BACK = [
    roll_back,
    pytest.param(close, marks=pytest.mark.postgres),  # SQLite in memory is never closed
    roll_back_by_hand,
    roll_back_and_begin_by_hand,
    catch_a_database_error,
]


@pytest.mark.parametrize("misbehave", ROLLS_BACK, ids=lambda f: f.__name__)
@pytest.mark.parametrize("neighbours", [0, 2])
def test_a_handler_that_loses_its_transaction_has_failed(misbehave, neighbours):
    def handle(sku: str) -> None:
        add(sku)
        if sku == "bad":
            misbehave(sku)

    good = [f"good-{n}" for n in range(neighbours)]
    deliver(handle, *good, "bad")

    failed = [*Retry.objects.all(), *DeadLetter.objects.all()]
    assert [row.consumer for row in failed] == ["orders.handle"]
    assert "its transaction" in failed[0].error
    assert names() == set(good)
    assert handled() == neighbours


def commit(sku: str) -> None:
    end_by_hand("COMMIT")


def commit_and_fail(sku: str) -> None:
    end_by_hand("COMMIT")
    raise ValueError("after the commit")


def commit_and_begin(sku: str) -> None:
    end_by_hand("COMMIT")
    end_by_hand("BEGIN")


@pytest.mark.parametrize("misbehave", [commit, commit_and_fail])
@pytest.mark.parametrize("skus", [["bad"], ["a", "bad", "b"]], ids=len)
def test_a_handler_that_commits_by_hand_is_a_dead_letter_for_an_operator(misbehave, skus):
    runs = []

    def handle(sku: str) -> None:
        runs.append(sku)
        add(sku)
        if sku == "bad":
            misbehave(sku)

    deliver(handle, *skus)

    (dead_letter,) = DeadLetter.objects.all()
    assert dead_letter.envelope["data"] == {"sku": "bad"}
    assert "its transaction" in dead_letter.error
    assert runs.count("bad") == 1
    assert names() == set(skus)  # adding a product twice is an error
    assert handled() == len(skus) - 1  # so that a retry by the operator runs it


@pytest.mark.postgres  # SQLite's transactions have no id
def test_of_a_batch_that_went_on_in_another_transaction_each_event_is_a_dead_letter():
    runs = []

    def handle(sku: str) -> None:
        runs.append(sku)
        if sku == "bad":
            commit_and_begin(sku)

    deliver(handle, "a", "bad", "b")

    assert all("its transaction" in error for (error,) in DeadLetter.objects.values_list("error"))
    assert DeadLetter.objects.count() == 3
    assert runs == ["a", "bad", "b"]
    assert not handled()


@pytest.mark.parametrize("misbehave", [commit, commit_and_fail])
def test_a_duplicate_beside_a_commit_by_hand_is_not_handled_again(misbehave):
    runs = []

    def handle(sku: str) -> None:
        runs.append(sku)
        if sku == "bad":
            misbehave(sku)

    with listening(make_consumer(handle, key="sku")):
        bus = Bus()
        with transaction.atomic():
            for sku in ("a", "bad", "b"):
                publish(ProductRetired(sku=sku))
        bus._relay.run_once()
        (message,) = [m for m in bus._transport.messages if m.consumer == "orders.handle"]
        for events in (message.events[2:], message.events):
            delivery.deliver(0, message.consumer, events)

    assert runs == ["b", "a", "bad"]


class OutOfStock(Refusal):
    """There is none left."""


def refuse(sku: str) -> None:
    with transaction.atomic():
        add(f"{sku}-undone")
        raise OutOfStock


def try_it(sku: str) -> None:
    with transaction.atomic():
        add(f"{sku}-undone")
        transaction.set_rollback(True)


def try_with_a_savepoint_by_hand(sku: str) -> None:
    savepoint = transaction.savepoint()
    add(f"{sku}-undone")
    with contextlib.suppress(Error):
        end_by_hand("SELECT no_such_column")
    transaction.savepoint_rollback(savepoint)
    add(sku)


def forgive_by_hand(sku: str) -> None:
    with contextlib.suppress(OutOfStock):
        refuse(sku)
    transaction.set_rollback(False)
    add(sku)


def catch(sku: str) -> None:
    try:
        refuse(sku)
    except OutOfStock:
        add(f"{sku}-refused")


@pytest.mark.parametrize("skus", [["a"], ["a", "b", "c"]], ids=len)
@pytest.mark.parametrize(
    ("service", "rows"),
    [
        (catch, "{}-refused"),
        (try_it, "{}"),
        (try_with_a_savepoint_by_hand, "{}"),
        (forgive_by_hand, "{}"),
    ],
    ids=["refusal", "dry run", "savepoint", "set_rollback"],
)
def test_a_nested_transaction_may_be_rolled_back(service, rows, skus):
    def handle(sku: str) -> None:
        service(sku)
        if service is try_it:
            add(sku)

    deliver(handle, *skus)

    assert names() == {rows.format(sku) for sku in skus}
    assert handled() == len(skus)
    assert not Retry.objects.exists()


@pytest.mark.parametrize("words", ["nul \0", "surrogate \ud800"])
def test_an_error_is_recorded_whatever_its_text(words):
    def handle(sku: str) -> None:
        raise ValueError(words)

    deliver(handle, "a")

    (retry,) = Retry.objects.all()
    assert retry.attempts >= 1
    assert "ValueError" in retry.error


def test_an_error_that_cannot_be_printed_is_recorded():
    class Silent(Exception):
        def __str__(self) -> str:
            raise RuntimeError("no text")

    def handle(sku: str) -> None:
        raise Silent

    deliver(handle, "a")

    assert "Silent" in Retry.objects.get().error


@pytest.mark.parametrize("seconds", ["soon", None, float("nan"), float("inf"), 1e15, -1])
def test_try_later_with_any_number_of_seconds_is_recorded(seconds):
    def handle(sku: str) -> None:
        raise TryLater(seconds=seconds, reason="the bank is busy")

    with listening(make_consumer(handle)):
        bus = Bus()
        with transaction.atomic():
            publish(ProductRetired(sku="a"))
        bus.settle(allow_failures=True, until=lambda: Retry.objects.exists())

    assert "the bank is busy" in Retry.objects.get().error


class Unrepeatable(OutcomeUnknown):
    """{consumer} may not call {bank} again: {reason}."""


def test_try_later_with_a_plain_text_is_recorded():
    def handle(sku: str) -> None:
        raise TryLater("the bank is busy")

    with listening(make_consumer(handle)):
        bus = Bus()
        with transaction.atomic():
            publish(ProductRetired(sku="a"))
        bus.settle(allow_failures=True, until=lambda: Retry.objects.exists())

    assert "the bank is busy" in Retry.objects.get().error


@pytest.mark.parametrize("error", [GiveUp, OutcomeUnknown, Unrepeatable])
def test_giving_up_with_a_plain_text_is_final(error):
    def handle(sku: str) -> None:
        raise error("the warehouse has burnt down")

    deliver(handle, "a")

    assert "the warehouse has burnt down" in DeadLetter.objects.get().error


@pytest.mark.postgres  # a thread has a connection of its own
@pytest.mark.parametrize("exit", [SystemExit, KeyboardInterrupt, GeneratorExit, CancelledError])
def test_a_handler_that_exits_in_a_thread_has_failed_and_its_neighbours_go_on(exit):
    def handle(sku: str) -> None:
        add(sku)
        if sku == "bad":
            raise exit

    def run() -> None:
        deliver(handle, "a", "bad", "b")
        connection.close()

    with ThreadPoolExecutor(1) as relay_thread:
        relay_thread.submit(run).result(timeout=60)

    assert names() == {"a", "b"}
    assert exit.__name__ in Retry.objects.get().error


def test_an_event_that_kills_the_only_process_ends_as_a_dead_letter(settings):
    def handle(sku: str) -> None:
        add(sku)
        if sku == "bad":
            raise KeyboardInterrupt  # the process is gone, with all that it has not committed

    with listening(make_consumer(handle, key="sku")):
        with transaction.atomic():
            for sku in ("a", "bad", "b"):
                publish(ProductRetired(sku=sku))
        starts = 0
        while not DeadLetter.objects.exists():
            starts += 1
            assert starts < 10
            bus = Bus()  # a process that starts
            bus._relay.prepare()
            with contextlib.suppress(KeyboardInterrupt):
                bus.settle(allow_failures=True, until=lambda: DeadLetter.objects.exists())
        bus.settle(allow_failures=True)

    assert "kill its worker" in DeadLetter.objects.get().error
    assert names() == {"a", "b"}
    assert not Dispatch.objects.exists()


@contextlib.contextmanager
def single_messages(handle: Callable[[str], object], *skus: str) -> Iterator[list[Message]]:
    """Give a message for each event, so that one session delivers one after another."""
    transport = InMemoryTransport()
    with listening(make_consumer(handle, key="sku")), override_settings(EVENTBUS={"BATCH_SIZE": 1}):
        subscriptions.sync()
        with transaction.atomic():
            for sku in skus:
                publish(ProductRetired(sku=sku))
        Relay(transport).run_once()
        yield [m for m in transport.messages if m.consumer.endswith(".handle")]


def locks_of_this_session() -> list[tuple[object, ...]]:
    with connection.cursor() as cursor:
        cursor.execute(
            "SELECT objid FROM pg_locks WHERE locktype = 'advisory' AND pid = pg_backend_pid()"
        )
        return list(cursor.fetchall())


LEFT_BEHIND = {
    "time-out": "SET statement_timeout TO '1ms'",
    "search path": "SET search_path TO nowhere",
    "time zone": "SELECT set_config('TimeZone', 'Asia/Jakarta', false)",
    "read-only": "SET default_transaction_read_only TO on",
    "role": "SET ROLE pg_monitor",
    "temporary table": "CREATE TEMP TABLE orders_product AS SELECT 1 AS id",
    "lock": "SELECT pg_advisory_lock(17)",
}


@pytest.mark.postgres
@pytest.mark.parametrize("statement", LEFT_BEHIND.values(), ids=list(LEFT_BEHIND))
def test_the_next_handler_runs_in_the_session_as_it_was_opened(statement):
    def handle(sku: str) -> None:
        add(sku)
        if sku == "first":
            end_by_hand(statement)

    with single_messages(handle, "zeroth", "first", "second") as messages:
        for message in messages:
            delivery.deliver(message.dispatch, message.consumer, message.events)
        held_locks = locks_of_this_session()
        connection.close()

    failed = Retry.objects.filter(attempts=1).count()  # without its tables the delivery itself is
    assert names() | ({"first"} if failed else set()) == {"zeroth", "first", "second"}
    assert not held_locks


async def wait(sku: str) -> None:
    """Never run: no event loop awaits it."""


def generate(sku: str) -> Iterator[str]:
    yield sku


@pytest.mark.parametrize("handle", [wait, generate], ids=lambda f: f.__name__)
def test_a_handler_whose_body_would_never_run_is_refused(handle):
    with pytest.raises(BadConsumer, match="would never run"):
        make_consumer(handle)

    deliver(lambda_of(handle), "a")  # behind a decorator it is not seen until it runs

    assert "would never run" in DeadLetter.objects.get().error
    assert not handled()


def lambda_of(handle: Callable[[str], object]) -> Callable[[str], object]:
    def handle_decorated(sku: str) -> object:
        return handle(sku)

    return handle_decorated


@pytest.mark.parametrize("skus", [["bad"], ["a", "bad", "b"]], ids=len)
def test_a_hook_that_fails_after_the_commit_fails_neither_its_event_nor_other_hooks(skus):
    ran = []

    def hook(sku: str) -> None:
        if sku == "bad":
            raise ValueError(sku)
        ran.append(sku)

    def handle(sku: str) -> None:
        add(sku)
        transaction.on_commit(partial(hook, sku))

    deliver(handle, *skus)

    assert names() == set(skus)
    assert ran == [sku for sku in skus if sku != "bad"]
    assert not Retry.objects.exists()


def begin_by_hand(sku: str) -> None:
    end_by_hand("BEGIN")


def turn_autocommit_off(sku: str) -> None:
    transaction.set_autocommit(False)


@pytest.mark.parametrize(
    "misbehave", [begin_by_hand, turn_autocommit_off], ids=lambda f: f.__name__
)
@pytest.mark.parametrize("fails", [False, True])
def test_an_external_handler_that_leaves_a_transaction_open_is_shown(misbehave, fails):
    calls = []

    def call(sku: str) -> None:
        calls.append(sku)
        if sku == "bad":
            misbehave(sku)
            add("lost with the transaction")
        if fails:
            raise ValueError(sku)

    with listening(make_consumer(call, external=True)):
        bus = Bus()
        with transaction.atomic():
            publish(ProductRetired(sku="bad"))
        bus.settle(allow_failures=True, until=lambda: Retry.objects.exists())

    assert calls == ["bad"]
    assert names() == set()
    assert Retry.objects.exists() == fails
    assert DeadLetter.objects.exists() != fails
    assert Inbox.objects.filter(consumer="orders.call").exists() != fails  # started: not repeated


def test_an_external_handler_that_returns_a_value_is_shown_and_not_repeated():
    calls = []

    def call(sku: str) -> object:
        calls.append(sku)
        return {"status": 200}

    with listening(make_consumer(call, external=True)):
        bus = Bus()
        with transaction.atomic():
            publish(ProductRetired(sku="a"))
        bus.settle(allow_failures=True)

    assert calls == ["a"]
    assert "it returned a dict" in DeadLetter.objects.get().error


def test_language_time_zone_and_precision_end_with_the_handler_that_set_them():
    seen = []

    def handle(sku: str) -> None:
        seen.append((get_language(), get_current_timezone_name(), decimal.getcontext().prec))
        activate_language("id")
        activate_time_zone("Asia/Jakarta")
        decimal.getcontext().prec = 2

    deliver(handle, "a", "b")

    assert len(seen) == 2
    assert len(set(seen)) == 1
