"""The responses to requests with a key."""

import datetime as dt
from typing import Any

from django.db import models
from django.http import HttpResponse

from edge.idempotency.errors import KeyReused

LIFETIME = dt.timedelta(hours=24)  # published in docs/operate/api-gateway.md
DELETED_PER_REQUEST = 100  # more expired responses than one request adds, so few are left


class StoredResponse(models.Model):
    """The response to a request with a key. It commits with the change, or not at all."""

    slot = models.CharField(
        max_length=64, primary_key=True, help_text="caller, operation and key, hashed"
    )
    fingerprint = models.CharField(max_length=64, help_text="payload, hashed with SECRET_KEY")
    status = models.PositiveSmallIntegerField()
    headers = models.JSONField()
    body = models.BinaryField()
    expires_at = models.DateTimeField(db_index=True)

    def __str__(self) -> str:
        return f"{self.status} until {self.expires_at:%F %T}"

    def replay(self, fingerprint: str) -> HttpResponse:
        """Return the response to a request with the same payload. Raises KeyReused."""
        if fingerprint != self.fingerprint:
            raise KeyReused
        headers = {**self.headers, "Idempotency-Replayed": "true"}
        return HttpResponse(bytes(self.body), status=self.status, headers=headers)


def find(slot: str, now: dt.datetime) -> StoredResponse | None:
    """Return the stored response, unless it has expired."""
    return StoredResponse.objects.filter(pk=slot, expires_at__gt=now).first()


def store(slot: str, fingerprint: str, response: Any, now: dt.datetime) -> None:
    """Store a response for LIFETIME, and delete some that have expired."""
    # Rows that another request is deleting are skipped, so that neither waits.
    expired = StoredResponse.objects.filter(expires_at__lte=now)
    rows = expired.select_for_update(skip_locked=True).values_list("pk", flat=True)
    StoredResponse.objects.filter(pk__in=list(rows[:DELETED_PER_REQUEST])).delete()
    StoredResponse(
        slot=slot,
        fingerprint=fingerprint,
        status=response.status_code,
        headers=dict(response.headers),
        body=response.content,
        expires_at=now + LIFETIME,
    ).save()
