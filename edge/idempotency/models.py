"""What the door remembers."""

import datetime as dt
from typing import Any

from django.db import models
from django.http import HttpResponse

from edge.idempotency.errors import KeyReused

KEPT = dt.timedelta(hours=24)  # published in docs/operate/front-door.md
AT_ONCE = 100  # expired answers that a new one takes along: more than come, so few are there


class Answer(models.Model):
    """How a request with a key was answered. It commits with the change, or not at all."""

    slot = models.CharField(
        max_length=64, primary_key=True, help_text="caller, operation and key, hashed"
    )
    fingerprint = models.CharField(max_length=64)
    status = models.PositiveSmallIntegerField()
    headers = models.JSONField()
    body = models.BinaryField()
    expires_at = models.DateTimeField(db_index=True)

    def __str__(self) -> str:
        return f"{self.status} until {self.expires_at:%F %T}"

    def again(self, fingerprint: str) -> HttpResponse:
        """Give the same answer to the same request. Raises KeyReused."""
        if fingerprint != self.fingerprint:
            raise KeyReused
        headers = {**self.headers, "Idempotency-Replayed": "true"}
        return HttpResponse(bytes(self.body), status=self.status, headers=headers)


def kept(slot: str, now: dt.datetime) -> Answer | None:
    """Return the answer, if one was given and is not forgotten."""
    return Answer.objects.filter(pk=slot, expires_at__gt=now).first()


def keep(slot: str, fingerprint: str, response: Any, now: dt.datetime) -> None:
    """Keep an answer for a day, and forget some of those that are older."""
    # Those that another request is forgetting are left to it: nobody waits.
    old = Answer.objects.filter(expires_at__lte=now).select_for_update(skip_locked=True)
    Answer.objects.filter(pk__in=list(old.values_list("pk", flat=True)[:AT_ONCE])).delete()
    Answer(
        slot=slot,
        fingerprint=fingerprint,
        status=response.status_code,
        headers=dict(response.headers),
        body=response.content,
        expires_at=now + KEPT,
    ).save()
