"""Refusals of an idempotency key."""

from eventbus import Refusal


class KeyMissing(Refusal):
    """This moves money, so it needs an Idempotency-Key: the same one when it is sent again."""

    status = 400


class KeyMalformed(Refusal):
    """An Idempotency-Key is a string of 1 to 255 printable ASCII characters, best a UUID."""

    status = 400


class KeyReused(Refusal):
    """This Idempotency-Key was used with another payload before; a new request needs a new key."""

    status = 422


class KeyInUse(Refusal):
    """The first request with this Idempotency-Key is still in progress; again in {seconds} s."""
