"""What is read of a request: JSON that can be kept and sent again."""

import json
from collections.abc import Mapping
from typing import IO, Any

from rest_framework.exceptions import ParseError
from rest_framework.parsers import JSONParser


class JSON(JSONParser):
    """Refuses, besides malformed JSON, what would fail further inside."""

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
        except RecursionError as deep:
            raise ParseError("JSON parse error - nested too deeply") from deep
        except UnicodeEncodeError as half:
            raise ParseError("JSON parse error - text holds half a character") from half
        return data
