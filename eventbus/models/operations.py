"""Models of operators' work: audit records, discarded dead letters, payload corrections."""

from django.db import models
from django.db.models.functions import Now


class Action(models.Model):
    """An audit record: one operation by one operator, with its filter, progress and result.

    `ended_at` stays empty while the operation runs, and for good if it was interrupted.
    """

    class Operation(models.TextChoices):
        """The operations that leave an audit record."""

        RETRY = "retry", "Retry dead letters"
        DISCARD = "discard", "Discard dead letters"
        NOTE = "note", "Add a note"
        EDIT = "edit", "Edit the payload and retry"
        REPLAY = "replay", "Replay events"
        REBUILD = "rebuild", "Rebuild a read model"
        ARCHIVE = "archive", "Archive events"
        RESTORE = "restore", "Restore events"
        VIEW = "view", "View a payload"
        SEND_AGAIN = "send_again", "Send undelivered events again"
        PAUSE = "pause", "Pause a consumer or context"
        RESUME = "resume", "Resume a consumer or context"
        SKIP = "skip", "Let a stream go on without an event"
        END_SUBSCRIPTION = "end_subscription", "End a subscription"

    id = models.BigAutoField(primary_key=True)
    operation = models.CharField(max_length=40, choices=Operation.choices, db_index=True)
    actor = models.CharField(max_length=120)
    selection = models.JSONField(default=dict, help_text="the filter, as given")
    preview = models.JSONField(default=dict, help_text="counts before anything was changed")
    result = models.JSONField(default=dict)
    total = models.PositiveBigIntegerField(default=0, db_default=0)
    processed = models.PositiveBigIntegerField(default=0, db_default=0, help_text="of the total")
    reason = models.TextField(blank=True)
    started_at = models.DateTimeField(db_default=Now())
    last_progress_at = models.DateTimeField(db_default=Now())
    ended_at = models.DateTimeField(null=True)

    class Meta:
        permissions = [
            ("view_payload", "Can view payloads of events and dead letters"),
            ("replay_event", "Can retry dead letters, replay events and rebuild read models"),
            ("edit_payload", "Can edit the payload that a consumer receives"),
            ("discard_dead_letter", "Can discard dead letters"),
            ("archive_event", "Can archive and restore events"),
        ]

    def __str__(self) -> str:
        return f"{self.operation} by {self.actor}"


class Outcome(models.Model):
    """The result of an action for one dead letter; its delivery status may have changed since."""

    class Result(models.TextChoices):
        """The results of an operation on a dead letter."""

        RETRIED = "retried"
        DISCARDED = "discarded"
        NOTED = "noted"
        NOT_IN_LOG = "not in the log"

    id = models.BigAutoField(primary_key=True)
    action = models.ForeignKey(Action, models.CASCADE)
    consumer = models.CharField(max_length=120)
    event_id = models.UUIDField()
    result = models.CharField(max_length=40, choices=Result.choices)

    def __str__(self) -> str:
        return f"{self.event_id} for {self.consumer}: {self.result}"


class DiscardedDeadLetter(models.Model):
    """A dead letter that an operator discarded: neither a replay nor a rebuild delivers it."""

    id = models.BigAutoField(primary_key=True)
    action = models.ForeignKey(Action, models.PROTECT)
    consumer = models.CharField(max_length=120)
    event_id = models.UUIDField()
    dead_letter = models.JSONField(help_text="all columns of the dead letter")

    class Meta:
        db_table = "eventbus_discarded_dead_letter"
        verbose_name = "discarded dead letter"
        indexes = [models.Index(fields=["consumer", "event_id"], name="discarded_event")]

    def __str__(self) -> str:
        return f"{self.event_id} for {self.consumer}"


class Correction(models.Model):
    """A payload that one consumer receives instead of the logged one; the latest row counts."""

    id = models.BigAutoField(primary_key=True)
    consumer = models.CharField(max_length=120)
    event_id = models.UUIDField()
    payload = models.JSONField()
    original = models.JSONField(help_text="the payload in the log, which does not change")
    actor = models.CharField(max_length=120)
    created_at = models.DateTimeField(db_default=Now())

    class Meta:
        verbose_name = "payload correction"
        indexes = [models.Index(fields=["event_id", "consumer"], name="correction_event")]

    def __str__(self) -> str:
        return f"{self.event_id} for {self.consumer}"
