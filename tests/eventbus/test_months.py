"""Months of the log and the inbox: partitions that are archived whole, and dropped."""

import datetime as dt
import gzip
import random
import threading
import time
from collections.abc import Callable, Iterator
from io import StringIO
from typing import Any
from uuid import UUID

import pytest
from django.core.management import CommandError, call_command
from django.db import connection, transaction

from eventbus import publish
from eventbus.cloudevents import to_cloudevent
from eventbus.consuming.delivery import deliver
from eventbus.errors import CannotArchive
from eventbus.models import Archive, DeadLetter, Event, Inbox, Subscription
from eventbus.operations import months, retention
from eventbus.publishing import outbox
from eventbus.testing import Bus, alone, listening
from infra import clock, partitions
from infra.ids import new_id
from infra.partitions import Month
from orders.events import ProductRetired
from tests.eventbus.archives import archive, restore_all, rows, skus
from tests.eventbus.consumers import make_consumer

pytestmark = [
    pytest.mark.postgres,
    pytest.mark.skipif("connection.vendor != 'postgresql'", reason="SQLite has no partitions"),
]
LOG, INBOX = "eventbus_event", "eventbus_inbox"
NOW = dt.datetime.now(dt.UTC)
UNTIL = NOW - dt.timedelta(days=40)  # of `archive`
UNENDED = Month.at(UNTIL)
ENDED = Month.at(UNENDED.start - dt.timedelta(days=1))
THE_ONE_BEFORE = Month.at(ENDED.start - dt.timedelta(days=1))


def id_in(month: Month) -> UUID:
    """Return a new id as if it was made in a month."""
    return UUID(int=month.first_id.int >> 80 << 80 | new_id().int & (1 << 80) - 1)


def publish_in(month: Month, *skus: str, due: dt.timedelta | None = None) -> list[UUID]:
    """Publish as if it was the first moment of a month."""
    with pytest.MonkeyPatch.context() as patched, transaction.atomic():
        patched.setattr(outbox, "new_id", lambda: id_in(month))
        ids = [publish(ProductRetired(sku=sku), due=due) for sku in skus]
    Event.objects.filter(pk__in=ids).update(recorded_at=month.start)
    return ids


def rows_in(*partition_names: str) -> list[int]:
    with connection.cursor() as cursor:
        return [
            cursor.execute(f"SELECT count(*) FROM {name}").fetchone()[0] for name in partition_names
        ]


@pytest.fixture
def handled() -> list[str]:
    return []


@pytest.fixture
def listener(handled) -> Iterator[Any]:
    def listen(sku: str) -> None:
        handled.append(sku)

    with alone("nowhere"), listening(make_consumer(listen, replayable=True)) as found:
        Subscription.objects.exclude(consumer="orders.listen").delete()
        Subscription.objects.update(since=THE_ONE_BEFORE.start)
        for table, column in ((LOG, "id"), (INBOX, "event_id")):
            partitions.create(table, column, [THE_ONE_BEFORE, ENDED, UNENDED])
        yield found


@pytest.fixture
def log(calm, listener) -> Bus:
    """Events of three months and a new one, all handled."""
    publish_in(THE_ONE_BEFORE, "a")
    publish_in(ENDED, "b", "c")
    publish_in(UNENDED, "d")
    publish_in(Month.at(NOW), "new")
    calm.settle()
    assert Inbox.objects.count() == 5
    return calm


def test_ended_months_are_archived_dropped_and_restored_unchanged(log, tmp_path):
    before = rows(Event, Inbox)
    assert archive(tmp_path) == 3
    assert skus() == ["d", "new"]
    assert Inbox.objects.count() == 2
    for table in (LOG, INBOX):
        assert not {THE_ONE_BEFORE, ENDED} & set(partitions.months(table))

    assert restore_all(tmp_path) == 3
    assert rows(Event, Inbox) == before
    assert {THE_ONE_BEFORE, ENDED} <= set(partitions.months(LOG)) & set(partitions.months(INBOX))
    assert rows_in(f"{LOG}_default", f"{INBOX}_default") == [0, 0]
    assert archive(tmp_path) == 3


def test_a_month_is_many_files_and_one_transaction(log, tmp_path, monkeypatch):
    before = rows(Event, Inbox)
    monkeypatch.setattr(retention, "BATCH", 1)
    monkeypatch.setattr(months, "PAUSE", 0)
    verify, calls = retention.archive_files.verify, []

    def fail_at_the_third(row: Archive) -> None:
        calls.append(row)
        if len(calls) == 3:
            raise CannotArchive(reason="a test")
        verify(row)

    monkeypatch.setattr(retention.archive_files, "verify", fail_at_the_third)
    with pytest.raises(CannotArchive, match="a test"):
        archive(tmp_path)
    # then: the first month is gone, of the second all is there
    assert skus() == ["b", "c", "d", "new"]
    assert archive(tmp_path) == 2
    restore_all(tmp_path)
    assert rows(Event, Inbox) == before


def test_the_events_of_a_month_wait_for_its_end(log, tmp_path):
    Event.objects.filter(payload__sku="d").update(recorded_at=UNTIL - dt.timedelta(seconds=1))
    found = retention.preview(retention.cutoff(40))
    assert found["in a month whose last day is younger"] == 1
    assert (found["events"], found["still needed"]) == (3, 0)
    archive(tmp_path)
    assert skus() == ["d", "new"]


def needed(month: Month) -> None:
    event = Event.objects.get(payload__sku="b")
    DeadLetter.objects.create(
        consumer="orders.other", event_id=event.pk, envelope={}, died_at=clock.now()
    )


def not_handled(month: Month) -> None:
    Inbox.objects.filter(event_id=Event.objects.get(payload__sku="b").pk).delete()


def young(month: Month) -> None:
    Event.objects.filter(payload__sku="b").update(recorded_at=UNTIL + dt.timedelta(hours=1))


@pytest.mark.parametrize("need", [needed, not_handled, young])
def test_a_month_with_an_event_that_stays_is_archived_in_batches(log, tmp_path, need):
    need(ENDED)
    before = rows(Event, Inbox)
    assert archive(tmp_path) == 2
    assert skus() == ["b", "d", "new"]
    assert ENDED in partitions.months(LOG)
    assert THE_ONE_BEFORE not in partitions.months(LOG)
    restore_all(tmp_path)
    assert rows(Event, Inbox) == before


def test_a_month_of_the_inbox_with_rows_of_no_archived_event_stays(log, tmp_path):
    Inbox.objects.create(consumer="orders.listen", event_id=id_in(ENDED), handled_at=NOW)
    assert archive(tmp_path) == 3
    assert Inbox.objects.count() == 3
    assert ENDED in partitions.months(INBOX)


def change_during(monkeypatch, change: Callable[[], object]) -> None:
    """Make a change after the files of the last month are verified."""
    empty = months.empty

    def changed(month: Month, confirm: Any) -> bool:
        if month == ENDED:
            change()
        return empty(month, confirm)

    monkeypatch.setattr(months, "empty", changed)


@pytest.mark.parametrize("change", ["an event", "a dead letter", "an inbox row"])
def test_a_month_that_changes_while_it_is_written_loses_nothing(log, tmp_path, monkeypatch, change):
    def add_inbox_row() -> None:
        event = Event.objects.get(payload__sku="b")
        Inbox.objects.create(consumer="orders.late", event_id=event.pk, handled_at=NOW)

    changes = {
        "an event": lambda: publish_in(ENDED, "late"),
        "a dead letter": lambda: needed(ENDED),
        "an inbox row": add_inbox_row,
    }
    change_during(monkeypatch, changes[change])
    archive(tmp_path)
    left = {"an event": ["d", "late", "new"], "a dead letter": ["b", "d", "new"]}
    assert skus() == left.get(change, ["d", "new"])
    marks = Inbox.objects.count()
    restore_all(tmp_path)
    assert {"a", "b", "c", "d", "new"} <= set(skus())
    added = {"a dead letter": 2, "an inbox row": 4}.get(change, 3)
    assert Inbox.objects.count() == marks + added


def test_a_file_that_the_disk_has_spoiled_deletes_nothing(log, tmp_path, monkeypatch):
    def spoil(name: str) -> None:
        for file in tmp_path.glob("events-*"):
            file.write_bytes(gzip.compress(b"{}\n"))

    monkeypatch.setattr(retention, "reach", spoil)
    before = rows(Event, Inbox)
    with pytest.raises(CannotArchive, match="not as it was written"):
        archive(tmp_path)
    assert rows(Event, Inbox) == before
    assert not Archive.objects.exists()


def test_a_scheduled_event_is_due_after_its_month_was_dropped(log, handled, tmp_path):
    (id,) = publish_in(ENDED, "due", due=dt.timedelta(hours=1))
    archive(tmp_path)
    assert ENDED not in partitions.months(LOG)
    log.later(hours=2)
    assert handled[-1] == "due"
    assert rows_in(f"{LOG}_default", f"{INBOX}_default") == [1, 1]
    # then: it is young, however old its id; when it is old, it is archived from DEFAULT
    publish_in(Month.at(NOW), "newest")
    log.settle()
    assert archive(tmp_path) == 0
    Event.objects.filter(pk=id).update(recorded_at=UNTIL - dt.timedelta(1))
    assert archive(tmp_path) == 1
    assert rows_in(f"{LOG}_default", f"{INBOX}_default") == [0, 0]


def test_a_second_copy_changes_nothing_after_its_month_was_dropped(log, handled, tmp_path):
    copy = to_cloudevent(Event.objects.get(payload__sku="b").envelope())
    archive(tmp_path)
    deliver(0, "orders.listen", [copy])
    assert handled == ["a", "b", "c", "d", "new"]
    assert Inbox.objects.count() == 2


def test_restored_events_of_a_month_that_default_has_join_them(log, tmp_path):
    before = rows(Event, Inbox)
    archive(tmp_path)
    publish_in(ENDED, "late")
    publish_in(Month.at(NOW), "newest")
    log.settle()
    restore_all(tmp_path)
    assert ENDED not in partitions.months(LOG)
    assert [row for row in rows(Event) if row in before] == before[:5]
    assert archive(tmp_path) == 4


def test_the_coming_months_are_made_by_migrate(db):
    coming = [Month.at(NOW)]
    for _ in range(months.AHEAD):
        coming.append(coming[-1].next)
    for table in (LOG, INBOX):
        assert set(coming) <= set(partitions.months(table))
    assert months.missing() == []
    with connection.cursor() as cursor:
        cursor.execute(f"DROP TABLE {partitions.months(INBOX)[coming[1]]}")
    assert len(months.missing()) == 1
    out = StringIO()
    with pytest.raises(CommandError):
        call_command("audit", stdout=out)
    assert f"{INBOX} has no partition for {coming[1]}" in out.getvalue()
    months.make_ahead()
    assert months.missing() == []


def test_a_role_without_the_right_to_change_tables_archives_in_batches(log, tmp_path):
    with connection.cursor() as cursor:
        cursor.execute("CREATE ROLE operators")
        cursor.execute("GRANT ALL ON ALL TABLES IN SCHEMA public TO operators")
        cursor.execute("GRANT ALL ON ALL SEQUENCES IN SCHEMA public TO operators")
        cursor.execute("SET LOCAL ROLE operators")
    before = rows(Event, Inbox)
    assert archive(tmp_path) == 4
    assert skus() == ["new"]
    restore_all(tmp_path)
    assert rows(Event, Inbox) == before
    with connection.cursor() as cursor:
        cursor.execute("RESET ROLE")
    assert ENDED in partitions.months(LOG)


@pytest.mark.parametrize("seed", range(8))
def test_any_log_archived_and_restored_is_what_it_was(calm, listener, tmp_path, monkeypatch, seed):
    chance = random.Random(seed)
    monkeypatch.setattr(retention, "BATCH", chance.randint(1, 5))
    monkeypatch.setattr(retention, "PAGE", chance.randint(1, 5))
    for n in range(chance.randint(1, 30)):
        month = chance.choice([THE_ONE_BEFORE, ENDED, UNENDED, Month.at(NOW), Month(2020, 2)])
        publish_in(month, f"{n}")
    publish_in(Month.at(NOW), "new")
    calm.settle()
    for event in Event.objects.all():
        if chance.random() < 0.1:
            Inbox.objects.filter(event_id=event.pk).delete()
    before = rows(Event, Inbox)
    archived = archive(tmp_path)
    assert Event.objects.count() + archived == len([row for row in before if "payload" in row])
    restore_all(tmp_path)
    assert rows(Event, Inbox) == before


class TestWithOthersAtWork:
    """Real threads, each with a connection of its own."""

    pytestmark = pytest.mark.django_db(transaction=True)

    @pytest.fixture
    def log(self, transactional_db, listener) -> Bus:
        bus = Bus()
        subscription, _ = Subscription.objects.get_or_create(
            consumer="orders.listen", event="orders.ProductRetired", defaults={"since": NOW}
        )
        Subscription.objects.exclude(pk=subscription.pk).delete()
        Subscription.objects.update(since=THE_ONE_BEFORE.start)
        publish_in(ENDED, *map(str, range(300)))
        publish_in(Month.at(NOW), "new")
        bus.settle()
        return bus

    def test_publishing_and_delivering_go_on_while_a_month_is_dropped(
        self, log, tmp_path, monkeypatch
    ):
        stop, errors, published, waits = threading.Event(), [], [], []
        before = rows(Event, Inbox)

        def work(one: Callable[[], object]) -> threading.Thread:
            def run() -> None:
                try:
                    while not stop.is_set():
                        began = time.monotonic()
                        one()
                        waits.append(time.monotonic() - began)
                except Exception as error:
                    errors.append(error)
                finally:
                    connection.close()

            thread = threading.Thread(target=run)
            thread.start()
            return thread

        def publish_one() -> None:
            with transaction.atomic():
                published.append(publish(ProductRetired(sku="live")))

        def read_all() -> None:
            Event.objects.filter(name="orders.ProductRetired").count()

        def settle() -> None:
            log.settle()
            time.sleep(0.01)

        threads = [work(one) for one in (publish_one, publish_one, settle, read_all)]
        try:
            archived = archive(tmp_path)
        finally:
            time.sleep(0.2)
            stop.set()
            for thread in threads:
                thread.join()
        assert errors == []
        assert archived == 300
        assert ENDED not in partitions.months(LOG)
        log.settle()
        assert len(published) > 10
        assert Event.objects.count() == len(published) + 1
        assert Inbox.objects.count() == len(published) + 1
        assert max(waits) < 10
        restore_all(tmp_path)
        ids = {row["id"] for row in before if "payload" in row}
        assert [row for row in rows(Event) if row["id"] in ids] == before[: len(ids)]

    def test_a_long_reader_of_the_month_is_not_waited_for(self, log, tmp_path, monkeypatch):
        monkeypatch.setattr(months, "ATTEMPTS", 2)
        monkeypatch.setattr(months, "PAUSE", 0.01)
        reading, done = threading.Event(), threading.Event()
        before = rows(Event, Inbox)

        def read() -> None:
            with transaction.atomic():
                Event.objects.count()
                reading.set()
                done.wait(60)
            connection.close()

        thread = threading.Thread(target=read)
        thread.start()
        try:
            assert reading.wait(30)
            with pytest.raises(CannotArchive, match="a long transaction"):
                archive(tmp_path)
            with transaction.atomic():
                publish(ProductRetired(sku="meanwhile"))
        finally:
            done.set()
            thread.join()
        assert [row for row in rows(Event) if row["payload"]["sku"] != "meanwhile"] == before[:301]
        assert not Archive.objects.exists()
        log.settle()
        assert archive(tmp_path) == 300
