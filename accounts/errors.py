"""Refusals of accounts."""

from eventbus import Refusal


class EmailTaken(Refusal):
    """{email} has an account already."""

    status = 409
    field = "email"
