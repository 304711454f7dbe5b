"""Test clients that send an Idempotency-Key, as the API requires where money moves."""

from typing import Any
from uuid import uuid4

from django.test import Client
from rest_framework.test import APIClient


class Keyed:
    """Sends a new Idempotency-Key with every request, unless the test gives one."""

    def generic(self, *args: Any, **extra: Any) -> Any:
        key = {"HTTP_IDEMPOTENCY_KEY": str(uuid4())}
        return super().generic(*args, **key | extra)  # type: ignore[misc]


class KeyedAPIClient(Keyed, APIClient):
    """For tests of one context, without the middleware of the browser's session."""


class KeyedClient(Keyed, Client):
    """For tests of the edge."""
