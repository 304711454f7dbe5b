"""The relay: from the outbox to the consumers' queues, at least once.

Many may run side by side: each row is claimed by one (SKIP LOCKED). A claim turns outbox rows
into dispatches and commits before anything is sent, so a relay may die anywhere.
"""

import threading
import time
from collections.abc import Sequence
from typing import Any

import structlog
from django.db import Error, close_old_connections, connection
from django.db.models.functions import Now

from eventbus.conf import conf
from eventbus.consuming import inbox
from eventbus.errors import BrokerAway
from eventbus.models import Dispatch
from eventbus.publishing import wakeup
from eventbus.relay import claim, lost_messages, scheduled, subscriptions
from eventbus.relay.low_watermark import LowWatermark
from eventbus.relay.transports import Message, Transport
from infra.failpoints import reach
from infra.heartbeat import Heartbeat

log = structlog.get_logger(__name__)

_SHORTEST = 0.01  # seconds between two polls of a busy relay
_THOROUGH = 0.1  # seconds between two looks at all that may be due, besides the outbox


class Relay:
    """One relay. `run` it in a thread or a process; `turn` is one round of its work."""

    def __init__(self, transport: Transport) -> None:
        self.transport = transport
        self.heartbeat = Heartbeat(conf().BLOCKED_AFTER)
        self._watermark = LowWatermark()
        self._stopping = threading.Event()
        self._away = False
        self._looked = 0.0
        self._swept = 0.0

    def run(self) -> None:
        """Turn until stopped, resting while there is nothing to do; no trouble ends it."""
        prepared, pause = False, _SHORTEST
        with wakeup.listening(by_thread=self.transport.in_process) as wait:
            while not self._stopping.is_set():
                self.heartbeat.beat()
                try:
                    if not prepared:
                        self.prepare()
                        prepared = True
                    busy = self._round()
                except Exception as trouble:
                    self._report(trouble)
                    self._stopping.wait(conf().BROKER_RETRY_INTERVAL)
                    continue
                pause = _SHORTEST if busy else min(pause * 2, conf().MAX_POLL_INTERVAL)
                if not busy and not self._stopping.is_set():
                    wait(pause)
        self.transport.close()
        self.heartbeat.stop()

    def _round(self) -> int:
        """Poll the outbox; now and then look at everything else, too."""
        _tune_session()
        sent = 0 if self._away else self._send(self._claim())
        now = time.monotonic()
        if now - self._looked < _THOROUGH:
            return sent
        self._looked = now
        sent += self.turn()
        self._away = False
        if now - self._swept >= conf().MARKER_INTERVAL:
            self._swept = now
            close_old_connections()
            lost_messages.resend_lost(self.transport, subscriptions.queues())
        return sent

    def _report(self, trouble: Exception) -> None:
        if isinstance(trouble, BrokerAway):
            self._away = True
            log.warning("broker unreachable", reason=str(trouble))
        elif isinstance(trouble, Error):
            log.warning("database unreachable", reason=str(trouble))
            connection.close()
        else:
            log.error("relay iteration failed", exc_info=trouble)

    def stop(self) -> None:
        """End after the round under way."""
        self._stopping.set()
        wakeup.woken.set()

    def prepare(self) -> None:
        """Write the subscriptions down; in one process, take up what the last one left."""
        subscriptions.sync()
        if self.transport.in_process:
            inbox.release_leases()
            Dispatch.objects.update(claimed_at=None, confirmed_at=None)

    def turn(self) -> int:
        """Do one whole round and return how many messages went. Raises BrokerAway."""
        found = scheduled.poll()
        found.wake()
        # Messages already claimed go first, so that a broker that is away is probed with them.
        sent = self._send(found.again())
        sent += self._send(found.risks())
        return sent or self._send(self._claim())

    def _claim(self) -> list[Message]:
        claimed = claim.claim_batch(self._watermark.lowest())
        self._watermark.note(ran_dry=claimed.rows < conf().CLAIM_SIZE)
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
            Dispatch.objects.filter(pk__in=confirmed).update(confirmed_at=Now())
            unsent = {message.dispatch for message in messages} - set(confirmed)
            if unsent:
                Dispatch.objects.filter(pk__in=unsent).update(claimed_at=None)
        return len(confirmed)


def _tune_session() -> None:
    """Save the relay two flushes between commit and effect, and a plan for each claim.

    A claim lost in a crash of the server is claimed again, and the inbox absorbs what was sent. An
    effect cannot outlive the claim it came from: its own commit flushes all that was before it.
    A plan made while the outbox was empty would read all of a long one, if it might.
    """
    session: Any = connection.connection
    if connection.vendor == "postgresql" and not getattr(session, "_tuned", False):
        with connection.cursor() as cursor:
            cursor.execute("SET synchronous_commit TO off; SET enable_seqscan TO off")
        connection.connection._tuned = True
