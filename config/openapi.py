"""The API's description says what a refusal looks like, once for all calls."""

from typing import Any

from config.api import MEDIA

PROBLEM: dict[str, Any] = {
    "type": "object",
    "description": "Why the request was refused (RFC 9457).",
    "properties": {
        "type": {
            "type": "string",
            "format": "uri-reference",
            "description": "A page about this kind of refusal, or about:blank.",
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
    },
    "required": ["type", "title", "status", "detail", "errors", "request_id"],
}
REFUSED = {MEDIA: {"schema": {"$ref": "#/components/schemas/Problem"}}}


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
