"""The API's description, for tests that go through all of its calls."""

from functools import cache
from typing import Any

from drf_spectacular.generators import SchemaGenerator


@cache
def document() -> Any:
    """Return the OpenAPI document of the whole API."""
    return SchemaGenerator().get_schema(request=None, public=True)
