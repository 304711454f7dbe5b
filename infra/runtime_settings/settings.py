"""A dict of settings, some of which an operator may change while the shop runs.

For whoever reads it nothing is different: `settings.INVENTORY["RESERVATION"]`, at each use.
"""

from collections.abc import Mapping
from typing import Any


class RuntimeSettings(dict[str, Any]):
    """What the environment said, and for each key named, the kind of field and the help of a form.

    Only `[...]` and `get` are live: a copy (`{**it}`, `it | …`) holds what the environment said.
    """

    def __init__(self, name: str, said: Mapping[str, Any], **live: tuple[str, str]) -> None:
        super().__init__(said)
        self.name, self.live = name, live

    def __getitem__(self, key: str) -> Any:
        said = super().__getitem__(key)
        if key not in self.live:
            return said
        from infra.runtime_settings.store import (
            changed,  # there are no models yet while settings are read
        )

        return changed().get(self._named(key), said)

    def get(self, key: str, default: Any = None) -> Any:
        """Return a value, as `[...]` does."""
        try:
            return self[key]
        except KeyError:
            return default

    def fields(self) -> dict[str, tuple[Any, str, str]]:
        """Return the entries of CONSTANCE_CONFIG: what the environment said, help, kind."""
        return {
            self._named(key): (super(RuntimeSettings, self).__getitem__(key), help_text, kind)
            for key, (kind, help_text) in self.live.items()
        }

    def _named(self, key: str) -> str:
        return f"{self.name}_{key}"
