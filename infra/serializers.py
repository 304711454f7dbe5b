"""Bodies that say more than was asked: a misspelt field must not pass for an absent one."""

from typing import Any

from rest_framework import serializers

NOT_FIELDS = {"csrfmiddlewaretoken", "format"}  # sent by the browsable pages


class StrictSerializer(serializers.Serializer[Any]):
    """Refuses what it does not know, by name; use it for every body and query a client sends."""

    def to_internal_value(self, data: Any) -> Any:
        """Read the request."""
        unknown = set(data) - set(self.fields) - NOT_FIELDS if hasattr(data, "keys") else set()
        if unknown:
            words = f"There is no such field; there are {', '.join(self.fields)}."
            raise serializers.ValidationError({str(name): [words] for name in sorted(unknown)})
        return super().to_internal_value(data)
