"""Archiving and restoring: no needed event is archived, and no archived event is lost."""

import datetime as dt
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from io import StringIO
from typing import Any

import pytest
from django.core.management import CommandError, call_command
from django.db import connection, transaction

from eventbus import publish
from eventbus.cloudevents import to_cloudevent
from eventbus.consuming.delivery import deliver
from eventbus.errors import CannotArchive, CannotRestore, GiveUp, InArchive, LogBusy
from eventbus.models import (
    Action,
    Archive,
    DeadLetter,
    Dispatch,
    Event,
    Inbox,
    Outbox,
    Retry,
    Subscription,
)
from eventbus.operations import rebuild, replay, retention
from eventbus.operations.dead_letters import DeadLetterFilter as Filter
from eventbus.operations.dead_letters import discard
from eventbus.operations.replay import ReplayRequest
from eventbus.testing import Bus, alone, listening
from infra import clock
from orders.events import ProductRetired
from tests.analytics.figures import figures
from tests.analytics.sample_events import fortnight
from tests.eventbus.archives import ME, archive, restore_all, rows, skus
from tests.eventbus.consumers import make_consumer

OLD = dt.timedelta(days=70)
LISTEN = ReplayRequest(consumer="orders.listen")


def publish_all(*skus: str) -> None:
    with transaction.atomic():
        for sku in skus:
            publish(ProductRetired(sku=sku))


def grow_old() -> None:
    """Move all events and subscriptions seventy days into the past."""
    for row in Event.objects.all():
        Event.objects.filter(pk=row.pk).update(recorded_at=row.recorded_at - OLD)
    for sub in Subscription.objects.all():
        Subscription.objects.filter(pk=sub.pk).update(since=sub.since - OLD)


@pytest.fixture
def handled() -> list[str]:
    return []


@pytest.fixture
def log(calm, handled) -> Iterator[Bus]:
    """Three old events that a consumer has handled, and a new one."""

    def listen(sku: str) -> None:
        if sku == "bad":
            raise GiveUp(reason="bad")
        handled.append(sku)

    with alone("nowhere"), listening(make_consumer(listen, replayable=True)):
        Subscription.objects.exclude(consumer="orders.listen").delete()
        publish_all("a", "b", "c")
        calm.settle()
        grow_old()
        publish_all("new")
        calm.settle()
        yield calm


def test_old_events_are_archived_with_their_inbox_rows_and_restored_unchanged(log, tmp_path):
    before = rows(Event, Inbox)
    assert archive(tmp_path) == 3
    assert skus() == ["new"]
    assert Inbox.objects.count() == 1

    assert restore_all(tmp_path) == 3
    assert rows(Event, Inbox) == before
    assert not Archive.objects.exists()


def test_an_event_is_restored_with_all_its_attributes(log, tmp_path):
    Event.objects.filter(payload__sku="a").update(
        payload={"sku": "a", "words": 'é "\n\u2028', "deep": [1, -0.5, 1e300, None, {"b": True}]},
        aggregate="product:a",
        aggregate_version=0,
        causation=Event.objects.get(payload__sku="b").pk,
        traceparent="00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01",
        tracestate="vendor=1",
        actor="customer:1",
    )
    Inbox.objects.update(lease_until=clock.now())
    before = rows(Event, Inbox)
    archive(tmp_path)
    restore_all(tmp_path)
    assert rows(Event, Inbox) == before


def test_each_batch_is_a_recorded_file(log, tmp_path, monkeypatch):
    monkeypatch.setattr(retention, "BATCH", 2)
    monkeypatch.setattr(retention, "PAGE", 1)
    before, progress = rows(Event, Inbox), []
    retention.archive(retention.cutoff(40), tmp_path, ME, progress.append)
    assert progress == [2, 1]
    kept = Archive.objects.order_by("pk")
    assert [(row.events, row.inbox_rows) for row in kept] == [(2, 2), (1, 1)]
    assert [row.file for row in kept] == sorted(file.name for file in tmp_path.iterdir())
    assert kept[0].last_position < kept[1].first_position
    assert kept[0].since <= kept[0].until <= kept[1].since == kept[1].until
    # then: the files can be restored in any order
    for file in sorted(tmp_path.iterdir(), reverse=True):
        retention.restore(file, ME)
    assert rows(Event, Inbox) == before


def dispatch(event: Event) -> None:
    Dispatch.objects.create(consumer="orders.other", event_ids=[str(event.pk)])


def retry(event: Event) -> None:
    now = clock.now()
    Retry.objects.create(consumer="orders.other", event_id=event.pk, failed_at=now, next_at=now)


def dead_letter(event: Event) -> None:
    DeadLetter.objects.create(
        consumer="orders.other", event_id=event.pk, envelope={}, died_at=clock.now()
    )


def not_handled(event: Event) -> None:
    Inbox.objects.filter(event_id=event.pk).delete()


def call_started(event: Event) -> None:
    Inbox.objects.filter(event_id=event.pk).update(handled_at=None)


def rebuild_interrupted(event: Event) -> None:
    Inbox.objects.exclude(event_id=event.pk).update(generation=1)
    Subscription.objects.update(generation=1)


@pytest.mark.parametrize(
    "need",
    [
        lambda event: Outbox.objects.create(event_id=event.pk),
        dispatch,
        retry,
        dead_letter,
        not_handled,
        call_started,
        rebuild_interrupted,
    ],
    ids=["outbox", "dispatch", "retry", "dead_letter", "not_handled", "call_started", "rebuild"],
)
def test_needed_events_stay(log, tmp_path, need):
    need(Event.objects.get(payload__sku="b"))
    found = retention.preview(retention.cutoff(40))
    assert (found["events"], found["still needed"]) == (2, 1)
    assert archive(tmp_path) == 2
    assert skus() == ["b", "new"]


def test_a_discarded_event_is_not_needed(log, tmp_path):
    publish_all("bad")
    log.settle(allow_failures=True)
    discard(Filter(), "a test", ME)
    grow_old()
    publish_all("newest")
    archive(tmp_path)
    assert skus() == ["newest"]


def test_an_event_needed_again_during_the_write_stays(log, tmp_path, monkeypatch):
    event = Event.objects.get(payload__sku="b")
    monkeypatch.setattr(retention, "reach", lambda name: dispatch(event))
    with pytest.raises(CannotArchive, match="needed again"):
        archive(tmp_path)
    assert skus() == ["a", "b", "c", "new"]
    assert not Archive.objects.exists()


def test_the_newest_event_stays(log, tmp_path):
    grow_old()
    assert archive(tmp_path) == 3
    publish_all("next")
    log.settle()
    restore_all(tmp_path)
    assert skus() == ["a", "b", "c", "new", "next"]


def test_events_younger_than_a_day_stay():
    with pytest.raises(CannotArchive, match="at least a day"):
        retention.cutoff(0)


def test_without_old_events_no_file_is_written(log, tmp_path):
    assert archive(tmp_path, days=80) == 0
    assert not list(tmp_path.iterdir())


def test_only_the_owner_can_read_a_file(log, tmp_path):
    archive(tmp_path)
    (file,) = tmp_path.iterdir()
    assert file.stat().st_mode & 0o077 == 0


class TestASecondCopy:
    """A message that arrives seventy days late is not handled as a new one."""

    def wire(self, sku: str) -> dict[str, Any]:
        return to_cloudevent(Event.objects.get(payload__sku=sku).envelope())

    def test_of_an_archived_event_changes_nothing(self, log, handled, tmp_path):
        copy = self.wire("a")
        archive(tmp_path)
        deliver(0, "orders.listen", [copy])
        assert handled == ["a", "b", "c", "new"]
        assert Inbox.objects.count() == 1

    def test_of_an_archived_event_makes_no_external_call(self, log, tmp_path):
        calls: list[str] = []

        def call(sku: str) -> None:
            calls.append(sku)

        copy = self.wire("a")
        archive(tmp_path)
        with listening(make_consumer(call, external=True)):
            deliver(0, "orders.call", [copy])
            assert not calls
            assert Inbox.objects.filter(consumer="orders.call").count() == 0
            restore_all(tmp_path)
            deliver(0, "orders.call", [copy])
            assert calls == ["a"]


class TestReadingAgain:
    """A replay or rebuild never skips an archived event silently."""

    def test_a_replay_refuses_and_works_after_the_restore(self, log, handled, tmp_path):
        archive(tmp_path)
        handled.clear()
        with pytest.raises(InArchive, match=rf"manage\.py restoreevents {tmp_path}/events-"):
            replay.replay(LISTEN, ME, again=True)
        with pytest.raises(InArchive, match="3 events"):
            replay.preview(LISTEN)
        assert not Action.objects.filter(operation="replay").exists()

        restore_all(tmp_path)
        assert replay.replay(LISTEN, ME, again=True) == 4
        log.settle()
        assert handled == ["a", "b", "c", "new"]

    def test_a_replay_of_another_time_is_not_affected(self, log, tmp_path):
        archive(tmp_path)
        (kept,) = Archive.objects.all()
        after = kept.until + dt.timedelta(microseconds=1)
        assert replay.preview(ReplayRequest(consumer="orders.listen", since=after))["matching"] == 1
        assert not replay.preview(ReplayRequest(consumer="orders.listen", until=kept.since))[
            "matching"
        ]
        for reached in ({"since": kept.until}, {"until": kept.since + dt.timedelta.resolution}):
            with pytest.raises(InArchive):
                replay.preview(ReplayRequest(consumer="orders.listen", **reached))

    def test_events_restored_after_a_later_replay_stay_handled(self, log, handled, tmp_path):
        """Inbox rows are restored under the current generation."""
        archive(tmp_path)
        handled.clear()
        since = Archive.objects.get().until + dt.timedelta(seconds=1)
        replay.replay(ReplayRequest(consumer="orders.listen", since=since), ME, again=True)
        log.settle()
        assert handled == ["new"]

        restore_all(tmp_path)
        assert replay.replay(LISTEN, ME) == 0
        assert Inbox.objects.filter(generation=1).count() == 4

    def test_a_rebuild_refuses_and_works_after_the_restore(self, calm, tmp_path):
        with alone("analytics"):
            Subscription.objects.exclude(consumer__startswith="analytics.").delete()
            with transaction.atomic():
                for fact in fortnight():
                    publish(fact)
            grow_old()
            publish_all("new")
            calm.settle()
            before = figures()
            assert archive(tmp_path) == len(fortnight())
            with pytest.raises(CommandError, match=r"manage\.py restoreevents"):
                call_command("rebuild", "analytics", "--yes", stdout=StringIO())
            with pytest.raises(InArchive):
                rebuild.rebuild("analytics", ME)
            assert figures() == before

            restore_all(tmp_path)
            rebuild.rebuild("analytics", ME)
            assert figures() == before

    def test_an_error_names_only_the_first_files(self, log, tmp_path, monkeypatch):
        monkeypatch.setattr(retention, "BATCH", 1)
        monkeypatch.setattr(retention, "MAX_FILES", 2)
        archive(tmp_path)
        with pytest.raises(InArchive, match="and 1 more"):
            retention.require_complete()


class TestAFile:
    def test_that_is_damaged_is_refused(self, log, tmp_path):
        archive(tmp_path)
        (file,) = tmp_path.iterdir()
        content = bytearray(file.read_bytes())
        content[len(content) // 2] ^= 1
        file.write_bytes(content)
        with pytest.raises(CannotRestore, match="damaged"):
            retention.restore(file, ME)
        assert skus() == ["new"]
        assert Archive.objects.exists()

    def test_that_is_missing_is_refused(self, log, tmp_path):
        archive(tmp_path)
        (file,) = tmp_path.iterdir()
        file.unlink()
        with pytest.raises(CannotRestore, match="No such file"):
            retention.restore(file, ME)

    def test_that_is_not_recorded_is_refused(self, log, tmp_path):
        archive(tmp_path)
        (file,) = tmp_path.iterdir()
        retention.restore(file, ME)
        with pytest.raises(CannotRestore, match="no archive of that name"):
            retention.restore(file, ME)

    def test_whose_positions_are_taken_is_refused(self, log, tmp_path):
        position = Event.objects.get(payload__sku="b").position
        archive(tmp_path)
        Event.objects.update(position=position)
        (file,) = tmp_path.iterdir()
        with pytest.raises(CannotRestore, match="positions of 1 events are taken"):
            retention.restore(file, ME)
        assert Archive.objects.exists()


def test_an_interrupted_restore_is_completed_by_the_next_one(log, tmp_path, monkeypatch):
    before = rows(Event, Inbox)
    archive(tmp_path)
    (file,) = tmp_path.iterdir()
    monkeypatch.setattr(retention, "PAGE", 1)

    def killed(n: int) -> None:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        retention.restore(file, ME, killed)
    assert skus() == ["a", "new"]
    with pytest.raises(InArchive):
        replay.preview(LISTEN)
    assert retention.restore(file, ME) == 3
    assert rows(Event, Inbox) == before


def test_partly_restored_events_can_be_archived_again(log, tmp_path, monkeypatch):
    before = rows(Event, Inbox)
    archive(tmp_path)
    (file,) = tmp_path.iterdir()

    def killed(n: int) -> None:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        retention.restore(file, ME, killed)
    assert archive(tmp_path) == 3
    restore_all(tmp_path)
    assert rows(Event, Inbox) == before


def test_archiving_and_restoring_are_recorded(log, tmp_path):
    archive(tmp_path)
    (file,) = tmp_path.iterdir()
    action = Action.objects.get(operation="archive")
    assert action.actor == ME
    assert action.preview == {"events": 3, "inbox rows": 3, "still needed": 0}
    assert action.result == {"files": [file.name], "events": 3}
    assert action.selection["folder"] == str(tmp_path)
    restore_all(tmp_path)
    action = Action.objects.get(operation="restore")
    assert action.selection == {"file": str(file)}
    assert action.result == {"events": 3, "inbox rows": 3}
    assert action.ended_at


class TestTheCommands:
    def run(self, command: str, *options: object) -> str:
        out = StringIO()
        call_command(command, *options, stdout=out)
        return out.getvalue()

    def test_a_dry_run_counts_and_changes_nothing(self, log, tmp_path):
        before = rows(Event, Inbox)
        output = self.run("archiveevents", "--older-than=40", f"--to={tmp_path}", "--dry-run")
        assert "3  events" in output
        assert "0  still needed" in output
        assert rows(Event, Inbox) == before
        assert not list(tmp_path.iterdir())
        assert not Action.objects.exists()

        archive(tmp_path)
        (file,) = tmp_path.iterdir()
        assert "3  20" in self.run("restoreevents", file, "--dry-run")
        assert skus() == ["new"]

    def test_events_are_archived_and_restored(self, log, tmp_path):
        folder = tmp_path / "made" / "here"
        output = self.run("archiveevents", "--older-than=40", f"--to={folder}", "--yes")
        assert f"Archived 3 events in {folder}" in output
        assert "Restored 3 events" in self.run("restoreevents", *folder.iterdir(), "--yes")

    def test_a_refusal_is_a_sentence(self, log, tmp_path):
        with pytest.raises(CommandError, match="at least a day"):
            self.run("archiveevents", "--older-than=0", f"--to={tmp_path}")
        with pytest.raises(CommandError, match="no archive of that name"):
            self.run("restoreevents", "nothing.gz")
        (tmp_path / "file").touch()
        with pytest.raises(CommandError, match="File exists"):
            self.run("archiveevents", "--older-than=40", f"--to={tmp_path / 'file'}", "--yes")
        archive(tmp_path)
        with pytest.raises(CommandError, match=r"manage\.py restoreevents"):
            self.run("replayevents", "--consumer=orders.listen", "--yes")

    def test_the_audit_agrees(self, log, tmp_path):
        archive(tmp_path)
        assert "The books agree." in self.run("audit")


@pytest.mark.postgres
@pytest.mark.django_db(transaction=True)
def test_a_second_copy_delivered_while_its_event_is_archived_changes_nothing(
    log, handled, tmp_path, monkeypatch
):
    if connection.vendor != "postgresql":
        pytest.skip("a race takes two writers, and SQLite has one")
    copy, save = to_cloudevent(Event.objects.get(payload__sku="a").envelope()), Archive.save

    def deliver_copy() -> None:
        deliver(0, "orders.listen", [copy])
        connection.close()

    late = threading.Thread(target=deliver_copy)

    def save_late(row: Archive) -> None:
        """Deliver the copy after the delete and before the commit."""
        late.start()
        deadline = time.monotonic() + 10
        while not waits_for_a_lock() and time.monotonic() < deadline:
            time.sleep(0.02)
        assert waits_for_a_lock()
        save(row)

    monkeypatch.setattr(Archive, "save", save_late)
    assert archive(tmp_path) == 3
    late.join()
    assert handled == ["a", "b", "c", "new"]
    assert Inbox.objects.count() == 1


def waits_for_a_lock() -> bool:
    with connection.cursor() as cursor:
        cursor.execute("SELECT 1 FROM pg_locks WHERE NOT granted")
        return bool(cursor.fetchall())


@contextmanager
def log_locked(shared: bool) -> Iterator[None]:
    """Hold the lock of the log in another connection."""
    locked, release = threading.Event(), threading.Event()

    def hold() -> None:
        with retention._locked(shared=shared):
            locked.set()
            release.wait(10)
        connection.close()

    thread = threading.Thread(target=hold)
    thread.start()
    assert locked.wait(10)
    yield
    release.set()
    thread.join()


@pytest.mark.django_db(transaction=True)
@pytest.mark.parametrize("shared", [False, True], ids=["archiving", "replaying"])
def test_archiving_excludes_other_operations_on_the_log(tmp_path, shared):
    Bus()
    publish_all("a")
    with log_locked(shared):
        with pytest.raises(LogBusy):
            archive(tmp_path)
        if shared:
            with retention.hold_complete():
                pass
        else:
            with pytest.raises(LogBusy), retention.hold_complete():
                pass
    assert archive(tmp_path) == 0
    with retention.hold_complete():
        pass
