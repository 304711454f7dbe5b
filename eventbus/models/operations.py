"""What operators did, and to which letters."""

from django.db import models
from django.db.models.functions import Now


class Action(models.Model):
    """What an operator did by hand, to whom, and what came of it; no `ended_at`: it was cut off."""

    id = models.BigAutoField(primary_key=True)
    verb = models.CharField(max_length=40, db_index=True)
    actor = models.CharField(max_length=120)
    chosen = models.JSONField(default=dict, help_text="the filter, as it was given")
    preview = models.JSONField(default=dict, help_text="what it found before anything was done")
    result = models.JSONField(default=dict)
    total = models.PositiveBigIntegerField(default=0, db_default=0)
    done = models.PositiveBigIntegerField(default=0, db_default=0, help_text="of the total")
    why = models.TextField(blank=True)
    started_at = models.DateTimeField(db_default=Now())
    heard_at = models.DateTimeField(db_default=Now(), help_text="when it last got on")
    ended_at = models.DateTimeField(null=True)

    class Meta:
        permissions = [
            ("see_payload", "Can see what is in events and letters"),
            ("replay_event", "Can have events and letters delivered again"),
            ("edit_payload", "Can edit what a consumer is told"),
            ("discard_letter", "Can discard letters"),
            ("archive_event", "Can archive and restore events"),
        ]

    def __str__(self) -> str:
        return f"{self.actor} {self.verb}"


class Outcome(models.Model):
    """What an operator's verb did to one letter; how it stands now is another question."""

    id = models.BigAutoField(primary_key=True)
    action = models.ForeignKey(Action, models.CASCADE)
    consumer = models.CharField(max_length=120)
    event_id = models.UUIDField()
    came = models.CharField(max_length=40, help_text="retried, discarded, not in the log …")

    def __str__(self) -> str:
        return f"{self.event_id} for {self.consumer}: {self.came}"


class Discarded(models.Model):
    """A dead letter that an operator gave up, whole: its consumer is owed the event no more."""

    id = models.BigAutoField(primary_key=True)
    action = models.ForeignKey(Action, models.PROTECT)
    consumer = models.CharField(max_length=120)
    event_id = models.UUIDField()
    letter = models.JSONField(help_text="all that the dead letter held")

    class Meta:
        verbose_name_plural = "discarded"
        indexes = [models.Index(fields=["consumer", "event_id"], name="discarded_event")]

    def __str__(self) -> str:
        return f"{self.event_id} for {self.consumer}"


class Correction(models.Model):
    """What one consumer is told in place of the log's words, which stay. The last one holds."""

    id = models.BigAutoField(primary_key=True)
    consumer = models.CharField(max_length=120)
    event_id = models.UUIDField()
    payload = models.JSONField()
    original = models.JSONField(help_text="as in the log")
    actor = models.CharField(max_length=120)
    at = models.DateTimeField(db_default=Now())

    class Meta:
        indexes = [models.Index(fields=["event_id", "consumer"], name="correction_event")]

    def __str__(self) -> str:
        return f"{self.event_id} for {self.consumer}"
