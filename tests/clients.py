"""Clients who do as they should: what is new goes with a key that is new."""

from typing import Any
from uuid import uuid4

from django.test import Client
from rest_framework.test import APIClient


class Keyed:
    """Sends an Idempotency-Key with every request, a fresh one unless the test names it."""

    def generic(self, *args: Any, **extra: Any) -> Any:
        key = {"HTTP_IDEMPOTENCY_KEY": str(uuid4())}
        return super().generic(*args, **key | extra)  # type: ignore[misc]


class KeyedAPIClient(Keyed, APIClient):
    """For a context's own tests."""


class KeyedClient(Keyed, Client):
    """For tests of the whole edge."""
