"""Reads environment variables: each once, typed; every wrong one becomes a sentence.

A variable NAME may come from the file that NAME_FILE names; an empty one counts as left out.
environs parses and checks; this class adds the sentences, and keeps secrets out of them.
"""

import re
from collections.abc import Callable, Collection
from decimal import Decimal
from typing import Any, TypeAlias, TypeVar

from environs import EnvValidationError, FileAwareEnv, ValidationError, validate

Value = TypeVar("Value")
# The methods below have their names.
Text: TypeAlias = str
Whole: TypeAlias = int
Number: TypeAlias = float
Flag: TypeAlias = bool
Words: TypeAlias = list[str]

WEB = ("http", "https")
SECRET = re.compile("SECRET|PASSWORD|TOKEN|KEY")


class InvalidEnvironment(SystemExit):
    """Ends the process with every problem, a sentence each."""


class _Variables(FileAwareEnv):
    def _get_value(self, env_key: str, default: Any) -> Any:
        # environs strips all white space of a file or none; a secret may end in a blank.
        value = super()._get_value(env_key, default)
        return (value.removesuffix("\n") or default) if isinstance(value, str) else value


class Environment:
    """Each method returns the value, or the default where it is left out or wrong."""

    def __init__(self) -> None:
        self._variables = _Variables()
        self.problems: list[str] = []
        self.names: set[str] = set()  # of all variables asked for

    def must_be_valid(self) -> None:
        """Raise InvalidEnvironment where anything was wrong."""
        if self.problems:
            lines = "\n".join(f"  {problem}" for problem in self.problems)
            raise InvalidEnvironment(f"Kabar does not start, as its environment is wrong:\n{lines}")

    def str(self, name: Text, default: Text = "", *, choices: Collection[Text] = ()) -> Text:
        """Read a text, one of the choices where there are any."""
        error = f"has to be one of {', '.join(choices)}"
        rule = validate.OneOf(choices, error=error) if choices else None
        return self._read(name, default, self._variables.str, validate=rule)

    def int(self, name: Text, default: Whole, *, least: Whole = 0) -> Whole:
        """Read a whole number."""
        rules = _from(least, "a whole number")
        return self._read(name, default, self._variables.int, **rules)

    def float(self, name: Text, default: Number, *, least: Number = 0) -> Number:
        """Read a number."""
        return self._read(name, default, self._variables.float, **_from(least, "a number"))

    def decimal(self, name: Text, default: Text, *, least: Whole = 0) -> Decimal:
        """Read an amount of money."""
        rules = _from(least, "an amount")
        return self._read(name, Decimal(default), self._variables.decimal, **rules)

    def bool(self, name: Text, default: Flag) -> Flag:
        """Read yes or no."""
        errors = {"invalid": "has to be true or false"}
        return self._read(name, default, self._variables.bool, error_messages=errors)

    def list(self, name: Text, default: Collection[Text] = ()) -> Words:
        """Read words separated by commas."""
        return self.parsed(name, [*default], words)

    def url(self, name: Text, schemes: Collection[Text]) -> Text:
        """Read an address, or return an empty text."""
        return self.parsed(name, "", lambda text: address(text, schemes))

    def parsed(self, name: Text, default: Value, parse: Callable[[Text], Value]) -> Value:
        """Read a value with `parse`, whose ValidationError ends the problem's sentence."""
        return self._read(name, default, lambda name: parse(self._variables.str(name)))

    def _read(
        self, name: Text, default: Value, read: Callable[..., Value | None], **rules: Any
    ) -> Value:
        self.names.add(name)
        text = None
        try:
            text = self._variables.str(name, None)
            value = read(name, **rules) if text else None
        except EnvValidationError as error:
            self._refuse(name, text or "", next(iter(error.error_messages)), default)
        except ValidationError as error:
            self._refuse(name, text or "", str(error.args[0]), default)
        except ValueError as error:  # the file cannot be read
            self._refuse_file(name, error.__cause__ or error)
        else:
            return default if value is None else value
        return default

    def _refuse(self, name: Text, text: Text, reason: Text, default: object) -> None:
        instead = masked(name, str(default)) if default not in ("", []) else "none"
        if isinstance(default, dict):
            instead = "the default"
        self.problems.append(
            f"{name} is {masked(name, text)}, but {reason}. "
            f"Correct it, or leave it out for {instead}."
        )

    def _refuse_file(self, name: Text, error: BaseException) -> None:
        file = self._variables.str(f"{name}_FILE")
        reason = getattr(error, "strerror", None) or "it is not text"
        self.problems.append(
            f"{name}_FILE names {file}, which cannot be read ({reason}). "
            "Correct the path or the rights, or leave it out."
        )


def masked(name: Text, text: Text) -> Text:
    """Return a value as it may be shown: no secret, and no password of an address."""
    if SECRET.search(name):
        return f"hidden here ({len(text)} characters)"
    without_user = re.sub(r"^([\w+]+:(?://)?)?.*@", r"\1***@", text, flags=re.S)
    return repr(re.sub(r"(?i)((?:password|secret|token|key)=)[^&]*", r"\1***", without_user))


def _from(least: float, kind: Text) -> dict[Text, Any]:
    sentence = f"has to be {kind} from {least} up"
    errors = dict.fromkeys(("invalid", "special", "too_large"), sentence)
    return {"validate": validate.Range(min=least, error=sentence), "error_messages": errors}


def words(text: Text) -> Words:
    """Split a text at its commas."""
    return [word for part in text.split(",") if (word := part.strip())]


def address(text: Text, schemes: Collection[Text]) -> Text:
    """Return an address that begins with one of the schemes. Raises ValidationError."""
    if text.partition("://")[0] not in schemes or "://" not in text:
        listed = " or ".join(f"{scheme}://" for scheme in schemes)
        raise ValidationError(f"has to begin with {listed}")
    return text
