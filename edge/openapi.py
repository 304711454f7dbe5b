"""The API's description says what a refusal looks like, once for all calls."""

from typing import Any

from drf_spectacular.openapi import AutoSchema
from drf_spectacular.utils import OpenApiParameter

from edge.idempotency.views import HEADER, METHODS, keeps_answers
from edge.problem_details import MEDIA

PROBLEM: dict[str, Any] = {
    "type": "object",
    "description": "Why the request was refused (RFC 9457).",
    "properties": {
        "type": {
            "type": "string",
            "format": "uri-reference",
            "description": "A page about this kind of refusal.",
        },
        "title": {"type": "string"},
        "status": {"type": "integer"},
        "detail": {"type": "string", "description": "For people."},
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
            "description": "Found in the log, and as the correlation of all that was caused.",
        },
        "trace_id": {"type": "string", "description": "W3C Trace Context."},
    },
    "required": ["type", "title", "status", "detail", "errors", "request_id", "trace_id"],
}
KEY = (
    "New for what is new, and the same when a request is sent again: then nothing happens twice, "
    "and the first answer is given again for 24 hours, marked `Idempotency-Replayed: true`. "
    "409: the first is still under way. 422: it came with another payload. 400: this moves money "
    "(paying, and cancelling what is paid), and it is missing."
)
REFUSED = {MEDIA: {"schema": {"$ref": "#/components/schemas/Problem"}}}


class Schema(AutoSchema):
    """Describes the key that a request may, or must, come with."""

    def get_override_parameters(self) -> list[Any]:
        """Return the header besides what a context names."""
        named: list[Any] = super().get_override_parameters()
        kind = type(self.view)
        if self.method not in METHODS or not keeps_answers(kind):
            return named
        # Where it depends (a property), the description cannot know.
        required = getattr(kind, "moves_money", False) is True
        key = OpenApiParameter(HEADER, str, "header", required=required, description=KEY)
        return [*named, key]


def describe_problems(result: dict[str, Any], **kwargs: Any) -> dict[str, Any]:
    """Give every call the problem as its answer to whatever goes wrong (a spectacular hook)."""
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


# What a column holds differs from database to database, and is no promise of the API.
COLUMN_LIMITS = {2**31 - 1, -(2**31), 2**63 - 1, -(2**63)}


def forget_columns(result: Any, **kwargs: Any) -> Any:
    """Leave out the limits of integer columns, all the way down (a spectacular hook)."""
    if isinstance(result, list):
        return [forget_columns(item) for item in result]
    if not isinstance(result, dict):
        return result
    if result.get("type") == "integer":
        limits = {k for k in ("minimum", "maximum") if result.get(k) in COLUMN_LIMITS}
        unwanted = limits | ({"format"} if result.get("format") == "int64" else set())
        result = {key: value for key, value in result.items() if key not in unwanted}
    return {key: forget_columns(value) for key, value in result.items()}
