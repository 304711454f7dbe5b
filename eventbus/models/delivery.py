"""Models of deliveries: outbox, dispatches, inbox, retries, dead letters, subscriptions."""

from django.db import models
from django.db.models.functions import Now


class Outbox(models.Model):
    """An event that is not yet dispatched: the table is small and busy."""

    id = models.BigAutoField(primary_key=True)
    event_id = models.UUIDField()

    class Meta:
        verbose_name_plural = "outbox"

    def __str__(self) -> str:
        return str(self.event_id)


class Dispatch(models.Model):
    """A message to one consumer with up to EVENTBUS.BATCH_SIZE events; its row is the lease.

    Committed before the message is sent, deleted by the transaction that records the outcome.
    `claimed_at` empty: not sent; `confirmed_at` empty: not confirmed by the broker.
    """

    id = models.BigAutoField(primary_key=True)
    consumer = models.CharField(max_length=120)
    event_ids = models.JSONField()
    claimed_at = models.DateTimeField(null=True)
    confirmed_at = models.DateTimeField(null=True)
    deliveries = models.PositiveIntegerField(
        default=0, help_text="times it was lost and sent again"
    )
    retry = models.BooleanField(default=False)
    replayed = models.BooleanField(default=False, db_default=False)

    class Meta:
        verbose_name_plural = "dispatches"
        indexes = [
            models.Index(
                fields=["claimed_at"],
                name="dispatch_unsent",
                condition=models.Q(confirmed_at=None),
            ),
            models.Index(
                fields=["consumer"],
                name="dispatch_sent",
                condition=models.Q(claimed_at__isnull=False),
            ),
        ]

    def __str__(self) -> str:
        return f"{len(self.event_ids)} for {self.consumer}"


class Inbox(models.Model):
    """An event that a consumer has handled, written in the handler's own transaction.

    Partitioned by month on PostgreSQL, as the log is: a month of both is archived together.
    An external consumer has *started* while `handled_at` is empty; until its lease ends, no other
    delivery calls.
    """

    pk = models.CompositePrimaryKey("consumer", "generation", "event_id")
    consumer = models.CharField(max_length=120)
    generation = models.PositiveIntegerField(default=0)
    event_id = models.UUIDField()
    handled_at = models.DateTimeField(null=True)
    lease_until = models.DateTimeField(null=True)

    class Meta:
        verbose_name_plural = "inbox"
        indexes = [models.Index(fields=["event_id"], name="inbox_event")]


class Duplicates(models.Model):
    """The deliveries of a consumer that the inbox absorbed: their events were handled before.

    With `order="latest"` also those whose events were superseded by a later one.
    """

    consumer = models.CharField(max_length=120, primary_key=True)
    absorbed = models.PositiveBigIntegerField("deliveries absorbed")
    superseded = models.PositiveBigIntegerField("deliveries superseded", default=0)
    last_at = models.DateTimeField("last one at")

    class Meta:
        verbose_name_plural = "duplicates"

    def __str__(self) -> str:
        return f"{self.absorbed} for {self.consumer}"


class Retry(models.Model):
    """A failed delivery that will be repeated; `next_at` is empty while it is in flight.

    A suspect delivery is recorded before it runs, and due at the time at which it counts as lost.
    """

    id = models.BigAutoField(primary_key=True)
    consumer = models.CharField(max_length=120)
    event_id = models.UUIDField()
    attempts = models.PositiveIntegerField(default=0)
    deliveries = models.PositiveIntegerField(default=0, help_text="started since it is suspect")
    next_at = models.DateTimeField("next attempt at", null=True, db_index=True)
    error = models.TextField()
    signature = models.CharField(max_length=300, default="", db_default="")
    failed_at = models.DateTimeField()
    replayed = models.BooleanField(default=False, db_default=False)

    class Meta:
        verbose_name_plural = "retries"
        constraints = [
            models.UniqueConstraint(fields=["consumer", "event_id"], name="one_retry_each")
        ]

    def __str__(self) -> str:
        return f"{self.consumer} after {self.attempts}"


class Parked(models.Model):
    """An event that waits for earlier ones of its stream: its consumer has `order="strict"`.

    `dispatched_at` is empty while it waits. A skipped event was awaited by later ones, until an
    operator let them go on without it.
    """

    id = models.BigAutoField(primary_key=True)
    consumer = models.CharField(max_length=120)
    event_id = models.UUIDField()
    aggregate = models.CharField(max_length=120)
    position = models.BigIntegerField(help_text="in the log")
    parked_at = models.DateTimeField()
    dispatched_at = models.DateTimeField(
        null=True, help_text="when it was dispatched again; its row stays until it is handled"
    )
    skipped = models.BooleanField(default=False, help_text="later events do not wait for it")
    replayed = models.BooleanField(default=False)

    class Meta:
        verbose_name = "parked event"
        constraints = [
            models.UniqueConstraint(fields=["consumer", "event_id"], name="parked_once_each")
        ]
        indexes = [models.Index(fields=["consumer", "aggregate"], name="parked_stream")]

    def __str__(self) -> str:
        return f"{self.event_id} for {self.consumer}, in {self.aggregate}"


class DeadLetter(models.Model):
    """A delivery that is not repeated: it waits for an operator."""

    id = models.BigAutoField(primary_key=True)
    consumer = models.CharField(max_length=120)
    event_id = models.UUIDField()
    name = models.CharField(max_length=120)
    attempts = models.PositiveIntegerField(default=0)
    error = models.TextField()
    signature = models.CharField(max_length=300, db_index=True)
    envelope = models.JSONField()
    notes = models.TextField(blank=True)
    died_at = models.DateTimeField()

    class Meta:
        db_table = "eventbus_dead_letter"
        constraints = [
            models.UniqueConstraint(fields=["consumer", "event_id"], name="one_dead_letter_each")
        ]

    def __str__(self) -> str:
        return self.signature


class Subscription(models.Model):
    """The time from which a consumer is owed an event; `until` is set if it is removed."""

    id = models.BigAutoField(primary_key=True)
    consumer = models.CharField(max_length=120)
    event = models.CharField(max_length=120)
    since = models.DateTimeField()
    until = models.DateTimeField(null=True)
    generation = models.PositiveIntegerField(default=0, help_text="raised by each rebuild")

    class Meta:
        constraints = [
            models.UniqueConstraint(fields=["consumer", "event"], name="one_subscription_each")
        ]

    def __str__(self) -> str:
        return f"{self.consumer} subscribes to {self.event}"


class ConsumerHealth(models.Model):
    """A consumer's failures in a row; after many it is probed with one delivery at a time."""

    consumer = models.CharField(max_length=120, primary_key=True)
    failures = models.PositiveIntegerField("failures in a row", default=0)
    probe_at = models.DateTimeField("next probe at", null=True)

    class Meta:
        db_table = "eventbus_consumer_health"
        verbose_name_plural = "consumer health"

    def __str__(self) -> str:
        return f"{self.consumer}: {self.failures} failures in a row"


class Pause(models.Model):
    """A consumer, or all of a context, whose events are dispatched and not sent until it ends."""

    name = models.CharField("consumer or context", max_length=120, primary_key=True)
    reason = models.TextField()
    actor = models.CharField(max_length=120)
    since = models.DateTimeField(db_default=Now())

    def __str__(self) -> str:
        return f"{self.name} is paused: {self.reason}"


class QueueMarker(models.Model):
    """A message without content that the relay sends through each queue.

    A message confirmed before a marker that has arrived was received, or lost by the broker.
    """

    queue = models.CharField(max_length=60, primary_key=True)
    sent_at = models.DateTimeField(null=True)
    received_up_to = models.DateTimeField(
        null=True, help_text="when the latest marker that has arrived was sent"
    )

    class Meta:
        db_table = "eventbus_queue_marker"

    def __str__(self) -> str:
        return f"{self.queue} received up to {self.received_up_to}"
