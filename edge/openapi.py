"""The OpenAPI description: problems and idempotency keys, for all operations."""

from typing import Any

from drf_spectacular.openapi import AutoSchema
from drf_spectacular.utils import OpenApiParameter

from edge.idempotency.views import HEADER, METHODS, stores_responses
from edge.problem_details import MEDIA

PROBLEM: dict[str, Any] = {
    "type": "object",
    "description": "The reason of a refusal (RFC 9457).",
    "properties": {
        "type": {
            "type": "string",
            "format": "uri-reference",
            "description": "A page about this kind of refusal.",
        },
        "title": {"type": "string"},
        "status": {"type": "integer"},
        "detail": {"type": "string", "description": "A sentence for people."},
        "errors": {
            "type": "array",
            "items": {
                "type": "object",
                "properties": {
                    "field": {"type": "string", "description": "Such as `lines[0].quantity`."},
                    "pointer": {
                        "type": "string",
                        "description": "Of a body: a JSON Pointer, such as `#/lines/0/quantity`.",
                    },
                    "detail": {"type": "string"},
                },
                "required": ["field", "detail"],
            },
        },
        "request_id": {
            "type": "string",
            "format": "uuid",
            "description": "In the log, and the correlation of all events that the request caused.",
        },
        "trace_id": {"type": "string", "description": "W3C Trace Context."},
    },
    "required": ["type", "title", "status", "detail", "errors", "request_id", "trace_id"],
}
KEY = (
    "A new key for each new request, and the same key when a request is sent again: it is not "
    "executed twice, and for 24 hours gets the first response, with `Idempotency-Replayed: true`. "
    "409: the first request is still in progress. 422: the key was used with another payload. "
    "400: a request that moves money (to pay, or to cancel a paid order) has no key."
)
REFUSED = {MEDIA: {"schema": {"$ref": "#/components/schemas/Problem"}}}


class Schema(AutoSchema):
    """Describes the header Idempotency-Key."""

    def get_override_parameters(self) -> list[Any]:
        """Return the context's own parameters and the header."""
        named: list[Any] = super().get_override_parameters()
        kind = type(self.view)
        if self.method not in METHODS or not stores_responses(kind):
            return named
        # Where a property decides for each request, the description has no answer.
        required = getattr(kind, "moves_money", False) is True
        key = OpenApiParameter(HEADER, str, "header", required=required, description=KEY)
        return [*named, key]


def describe_problems(result: dict[str, Any], **kwargs: Any) -> dict[str, Any]:
    """Describe the problem as the response to every error (a drf-spectacular hook)."""
    result.setdefault("components", {}).setdefault("schemas", {})["Problem"] = PROBLEM
    for path in result["paths"].values():
        for operation in path.values():
            for status, response in operation["responses"].items():
                if status[0] in "45":
                    response["content"] = REFUSED
            operation["responses"]["default"] = {
                "description": "The request was refused.",
                "content": REFUSED,
            }
    return result


# The limits of a column differ from database to database, and are no promise of the API.
COLUMN_LIMITS = {2**31 - 1, -(2**31), 2**63 - 1, -(2**63)}


def drop_column_limits(result: Any, **kwargs: Any) -> Any:
    """Remove the limits of integer columns at all depths (a drf-spectacular hook)."""
    if isinstance(result, list):
        return [drop_column_limits(item) for item in result]
    if not isinstance(result, dict):
        return result
    if result.get("type") == "integer":
        limits = {k for k in ("minimum", "maximum") if result.get(k) in COLUMN_LIMITS}
        unwanted = limits | ({"format"} if result.get("format") == "int64" else set())
        result = {key: value for key, value in result.items() if key not in unwanted}
    return {key: drop_column_limits(value) for key, value in result.items()}
