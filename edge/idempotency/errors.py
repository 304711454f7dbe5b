"""How the door says no to a key."""

from eventbus import Refusal


class KeyMissing(Refusal):
    """This moves money, so it needs an Idempotency-Key: the same one when it is sent again."""

    status = 400


class KeyMalformed(Refusal):
    """An Idempotency-Key is a string of 1 to 255 printable ASCII characters, best a UUID."""

    status = 400


class KeyReused(Refusal):
    """This Idempotency-Key came with another payload before: what is new needs a new one."""

    status = 422


class KeyInUse(Refusal):
    """The first request with this Idempotency-Key is still under way; again in {seconds} s."""
