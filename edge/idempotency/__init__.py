"""Idempotency keys: a repeated request is not executed again, it gets the first response.

As in draft-ietf-httpapi-idempotency-key-header, for every POST and PATCH of every context.
"""
