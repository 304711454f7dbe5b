"""How the door says no to a key."""

from eventbus import Refusal


class KeyMissing(Refusal):
    """This moves money, so it needs an Idempotency-Key: one that is new for what is new, and the
    same when the same is sent again."""

    status = 400


class KeyMalformed(Refusal):
    """An Idempotency-Key is a string of 1 to 255 printable ASCII characters, such as
    "8e03978e-40d5-43dd-bc93-6894a57f9324"."""

    status = 400


class KeyReused(Refusal):
    """This Idempotency-Key came with another payload before: what is new needs a new one."""

    status = 422


class KeyInUse(Refusal):
    """The first request with this Idempotency-Key is still under way; again in {seconds} s."""
