"""The parser of JSON bodies, with limits."""

import json
from collections.abc import Mapping
from typing import IO, Any

from django.conf import settings
from rest_framework.exceptions import ParseError
from rest_framework.parsers import JSONParser


class JSON(JSONParser):
    """Refuses malformed JSON, and JSON that is too deep, too long, or cannot be stored."""

    def parse(
        self,
        stream: IO[Any],
        media_type: str | None = None,
        parser_context: Mapping[str, Any] | None = None,
    ) -> Any:
        """Return the data. Raises ParseError."""
        try:
            data = super().parse(stream, media_type, parser_context)
            json.dumps(data, ensure_ascii=False).encode()
            _check_limits(data, settings.JSON_LIMITS["depth"])
        except RecursionError as deep:
            raise ParseError("JSON parse error - nested too deeply") from deep
        except UnicodeEncodeError as half:
            raise ParseError("JSON parse error - text holds half a character") from half
        return data


def _check_limits(data: Any, deep: int) -> None:
    """Check depth and lengths against JSON_LIMITS. Raises ParseError."""
    if isinstance(data, str):
        if len(data) > settings.JSON_LIMITS["text"]:
            raise ParseError("JSON parse error - a text is too long")
        return
    if not isinstance(data, dict | list):
        return
    if not deep:
        raise ParseError("JSON parse error - nested too deeply")
    if len(data) > settings.JSON_LIMITS["items"]:
        raise ParseError("JSON parse error - a list is too long")
    for item in data.values() if isinstance(data, dict) else data:
        _check_limits(item, deep - 1)
