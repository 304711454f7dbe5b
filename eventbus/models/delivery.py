"""What is on its way to whom, and how it fares."""

from django.db import models


class Outbox(models.Model):
    """What still has to be dispatched: tiny and hot."""

    id = models.BigAutoField(primary_key=True)
    event_id = models.UUIDField()

    class Meta:
        verbose_name_plural = "outbox"

    def __str__(self) -> str:
        return str(self.event_id)


class Dispatch(models.Model):
    """A message on its way: one consumer, up to EVENTBUS.BATCH_SIZE events. It is the lease.

    Committed before the message is sent, deleted by the transaction that records the outcome.
    `claimed_at` empty: to be sent; `confirmed_at` empty: the broker has not said it has it.
    """

    id = models.BigAutoField(primary_key=True)
    consumer = models.CharField(max_length=120)
    event_ids = models.JSONField()
    claimed_at = models.DateTimeField(null=True)
    confirmed_at = models.DateTimeField(null=True)
    deliveries = models.PositiveIntegerField(default=0, help_text="times it was found lost")
    retry = models.BooleanField(default=False)
    replayed = models.BooleanField(default=False, db_default=False)

    class Meta:
        verbose_name_plural = "dispatches"
        indexes = [
            models.Index(
                fields=["claimed_at"],
                name="dispatch_unsent",
                condition=models.Q(confirmed_at=None),
            )
        ]

    def __str__(self) -> str:
        return f"{len(self.event_ids)} for {self.consumer}"


class Inbox(models.Model):
    """What a consumer has handled: written in the handler's own transaction.

    A consumer that calls outside has *started* while `handled_at` is empty; its lease says how
    long another delivery leaves it alone.
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


class Retry(models.Model):
    """A delivery that failed and will be tried again; `next_at` is empty while it is in flight.

    What may have killed its worker is written down before it runs, due when it counts as lost.
    """

    id = models.BigAutoField(primary_key=True)
    consumer = models.CharField(max_length=120)
    event_id = models.UUIDField()
    attempts = models.PositiveIntegerField(default=0)
    deliveries = models.PositiveIntegerField(default=0, help_text="begun since it was suspect")
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


class DeadLetter(models.Model):
    """A delivery given up: it waits for an operator."""

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
    """From when on a consumer is owed an event; `until` is set when the consumer is gone."""

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
    """A consumer that fails and fails: it is probed with one delivery at a time."""

    consumer = models.CharField(max_length=120, primary_key=True)
    failures = models.PositiveIntegerField("failures in a row", default=0)
    probe_at = models.DateTimeField("next probe at", null=True)

    class Meta:
        db_table = "eventbus_consumer_health"
        verbose_name_plural = "consumer health"

    def __str__(self) -> str:
        return f"{self.consumer}: {self.failures} failures in a row"


class QueueMarker(models.Model):
    """A message without content that the relay sends through each queue.

    Whatever was confirmed before a marker that has arrived was received, or lost by the broker.
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
