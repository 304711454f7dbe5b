"""The API gateway: tokens, rate limits, idempotency, problem details, OpenAPI; the front page."""
