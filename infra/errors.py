"""Errors whose docstring is their message.

Exception
└── Explained
    ├── Refusal        a business rule is broken: the API answers with its `status` (RFC 9457)
    └── TryLater       another system does not answer: try again, no attempt is counted
        └── Unavailable    raised by the circuit breaker
"""

import inspect
from typing import Any, ClassVar


class _Fields(dict[str, Any]):
    def __missing__(self, name: str) -> str:
        return "?"  # an error that is raised with too few fields is still that error


class Explained(Exception):
    """An error whose message is its docstring, filled in with its fields.

    One positional argument is the field `reason`, as in `GiveUp("the card has expired")`.
    """

    def __init__(self, reason: object = None, /, **fields: Any) -> None:
        self.fields = fields if reason is None else {"reason": reason} | fields
        super().__init__(
            inspect.cleandoc(type(self).__doc__ or "").format_map(_Fields(self.fields))
        )

    def __reduce__(self) -> Any:
        return _rebuild, (type(self), self.fields)

    def __getattr__(self, name: str) -> Any:
        fields = self.__dict__.get("fields", {})
        if name in fields:
            return fields[name]
        raise AttributeError(name)


def _rebuild(kind: type[Explained], fields: dict[str, Any]) -> Explained:
    return kind(**fields)


class Refusal(Explained):
    """This cannot be done."""

    status: ClassVar[int] = 409
    field: str = ""  # the field of the request that caused it, if there is one

    def __init__(self, reason: object = None, /, **fields: Any) -> None:
        super().__init__(reason, **fields)
        self.field = fields.get("field", type(self).field)


class TryLater(Explained):
    """Not now; again in {seconds} s: {reason}."""


class Unavailable(TryLater):
    """{reason} is unavailable; again in {seconds} s."""
