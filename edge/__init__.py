"""The API gateway: tokens, rate limits, idempotency, problem details, pagination, OpenAPI."""
