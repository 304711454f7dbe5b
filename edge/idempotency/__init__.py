"""A request sent again with its Idempotency-Key is not done again: it gets the first one's answer.

As in draft-ietf-httpapi-idempotency-key-header, for every POST and PATCH of every context.
"""
