"""The relay: from the outbox to the consumers' queues, at least once.

Many may run side by side: each row is claimed by one (SKIP LOCKED). A claim turns outbox rows
into dispatches and commits before anything is sent, so a relay may be killed anywhere.
"""

import threading
import time
from collections.abc import Sequence
from typing import Any

import structlog
from django.db import close_old_connections, connection
from django.db.models import F
from django.db.models.functions import Now

from eventbus.conf import conf
from eventbus.consuming import inbox, streams
from eventbus.errors import BrokerUnreachable
from eventbus.models import Dispatch
from eventbus.publishing import wakeup
from eventbus.relay import claim, lost_messages, scheduled, subscriptions
from eventbus.relay.low_watermark import LowWatermark
from eventbus.relay.repeated_errors import RepeatedErrors
from eventbus.relay.transports import Message, Transport
from infra import database_session
from infra.database_errors import is_unreachable
from infra.failpoints import reach
from infra.heartbeat import Heartbeat

log = structlog.get_logger(__name__)

_MIN_POLL_INTERVAL = 0.01  # seconds between two polls of a busy relay
_FULL_POLL_INTERVAL = 0.1  # seconds between two polls of everything besides the outbox


class Relay:
    """One relay. `run` it in a thread or a process; `run_once` is one full iteration."""

    def __init__(self, transport: Transport) -> None:
        self.transport = transport
        self.heartbeat = Heartbeat(conf().BLOCKED_AFTER)
        self._watermark = LowWatermark()
        self._stopping = threading.Event()
        self._errors = RepeatedErrors("relay iteration failed")
        self._broker_unreachable = False
        self._full_poll_at = 0.0
        self._lost_search_at = 0.0

    def run(self) -> None:
        """Iterate until stopped, with growing pauses while idle; no error ends it."""
        prepared, pause = False, _MIN_POLL_INTERVAL
        with wakeup.listening(in_process=self.transport.in_process) as wait:
            while not self._stopping.is_set():
                self.heartbeat.beat()
                try:
                    if not prepared:
                        self.prepare()
                        prepared = True
                    sent = self._iterate()
                except Exception as error:
                    self._report(error)
                    self._stopping.wait(conf().BROKER_RETRY_INTERVAL)
                    continue
                pause = _MIN_POLL_INTERVAL if sent else min(pause * 2, conf().MAX_POLL_INTERVAL)
                if not sent and not self._stopping.is_set():
                    wait(pause)
        self.transport.close()
        self.heartbeat.stop()

    def stop(self) -> None:
        """End after the current iteration."""
        self._stopping.set()
        wakeup.wake_threads()

    def prepare(self) -> None:
        """Store the subscriptions; in one process, release everything the last one left."""
        subscriptions.sync()
        if self.transport.in_process:
            inbox.release_leases()
            # One of them may have killed the last process: suspect, so each event is counted.
            claimed = Dispatch.objects.exclude(claimed_at=None)
            claimed.update(claimed_at=None, confirmed_at=None, deliveries=F("deliveries") + 1)

    def run_once(self) -> int:
        """Do one full iteration and return how many messages were sent.

        Raises BrokerUnreachable.
        """
        due = scheduled.poll()
        due.promote()
        # Messages already claimed go first, so that an unreachable broker is probed with them.
        sent = self._send(due.resend())
        sent += self._send(due.probe())
        return sent or self._send(self._claim())

    def _iterate(self) -> int:
        """Poll the outbox; poll everything else at its interval."""
        _tune_session()
        sent = 0 if self._broker_unreachable else self._send(self._claim())
        now = time.monotonic()
        if now - self._full_poll_at < _FULL_POLL_INTERVAL:
            return sent
        self._full_poll_at = now
        sent += self.run_once()
        self._broker_unreachable = False
        if now - self._lost_search_at >= conf().MARKER_INTERVAL:
            self._lost_search_at = now
            close_old_connections()
            streams.wake_all()
            lost_messages.resend_lost(self.transport, subscriptions.queues())
        return sent

    def _report(self, error: Exception) -> None:
        if isinstance(error, BrokerUnreachable):
            self._broker_unreachable = True
            log.warning("broker unreachable", reason=str(error))
        elif is_unreachable(error):
            log.warning("database unreachable", reason=str(error))
            connection.close()
        else:
            self._errors.log(error)
            connection.close()  # its session may be what fails

    def _claim(self) -> list[Message]:
        claimed = claim.claim_batch(self._watermark.next_start())
        self._watermark.record_claim(exhausted=claimed.exhausted)
        return claimed.messages

    def _send(self, messages: Sequence[Message]) -> int:
        if not messages:
            return 0
        reach("claimed-not-sent")
        confirmed: list[int] = []
        try:
            confirmed = self.transport.send(messages)
            reach("sent-not-confirmed")
        finally:
            # A worker that found its consumer paused has marked the dispatch unsent meanwhile.
            sent = Dispatch.objects.filter(pk__in=confirmed, claimed_at__isnull=False)
            sent.update(confirmed_at=Now())
            unsent = {message.dispatch for message in messages} - set(confirmed)
            if unsent:
                Dispatch.objects.filter(pk__in=unsent).update(claimed_at=None)
        return len(confirmed)


def _tune_session() -> None:
    session: Any = connection.connection
    if connection.vendor == "postgresql" and not getattr(session, "_tuned", False):
        # synchronous_commit off saves two flushes between commit and effect. A claim lost in a
        # crash of the server is claimed again, and the inbox ignores the duplicate. An effect
        # cannot outlive its claim: its own commit flushes everything before it.
        # enable_seqscan off: a plan made while the outbox was empty would read all of a long one.
        # jit off: such plans have an enormous estimated cost, and compiling one takes 0.5 s a poll.
        database_session.lift_limits_in_this_thread()
        with connection.cursor() as cursor:
            cursor.execute(
                "SET synchronous_commit TO off; SET enable_seqscan TO off; SET jit TO off"
            )
        connection.connection._tuned = True
