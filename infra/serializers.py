"""Base serializer that rejects unknown fields, so that a misspelt optional field is an error."""

from typing import Any

from rest_framework import serializers

NOT_FIELDS = {"csrfmiddlewaretoken", "format"}  # sent by the browsable pages


class StrictSerializer(serializers.Serializer[Any]):
    """A request body or query; unknown fields are refused."""

    def to_internal_value(self, data: Any) -> Any:
        """Validate and return the data."""
        unknown = set(data) - set(self.fields) - NOT_FIELDS if hasattr(data, "keys") else set()
        if unknown:
            message = f"Unknown field. Known fields: {', '.join(self.fields)}."
            raise serializers.ValidationError({str(name): [message] for name in sorted(unknown)})
        return super().to_internal_value(data)
