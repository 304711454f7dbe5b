"""The environment: each variable is read once, typed, and every wrong one is told at once.

A variable NAME may come from the file that NAME_FILE names; an empty one counts as left out.
"""

import math
import re
from collections.abc import Callable, Collection, Mapping
from decimal import Decimal, InvalidOperation
from importlib.util import find_spec
from pathlib import Path
from typing import Any, TypeAlias, TypeVar

import environ
from environ.fileaware_mapping import FileAwareMapping

Read = TypeVar("Read")
# The methods below have their names.
Text: TypeAlias = str
Whole: TypeAlias = int
Number: TypeAlias = float
Flag: TypeAlias = bool
Words: TypeAlias = list[str]

YES, NO = {"true", "yes", "on", "1"}, {"false", "no", "off", "0"}
DATABASES = ("postgresql", "postgres", "sqlite")
BROKERS = ("amqp", "amqps", "redis", "rediss", "redis+socket", "sentinel")
CACHES = ("redis", "rediss", "unix")
WEB = ("http", "https")
MAIL = tuple(environ.Env.EMAIL_SCHEMES)
SECRET = re.compile("SECRET|PASSWORD|TOKEN|KEY")
RATE = r"([1-9]\d*/(s|min|hour|day))?"


class Wrong(ValueError):
    """Why a value is refused, as the end of a sentence."""


class Unsound(SystemExit):
    """Ends the process with every problem, a sentence each."""


class Environment:
    """Each method returns the value, or the default where it is left out or wrong."""

    def __init__(self, variables: Mapping[str, str] | None = None) -> None:
        self._variables = FileAwareMapping(variables)
        self.problems: list[str] = []
        self.names: set[str] = set()  # of all variables asked for

    def must_be_sound(self) -> None:
        """Raise Unsound where anything was wrong."""
        if self.problems:
            told = "\n".join(f"  {problem}" for problem in self.problems)
            raise Unsound(f"Kabar does not start, as its environment is wrong:\n{told}")

    def str(self, name: Text, default: Text = "", *, choices: Collection[Text] = ()) -> Text:
        """Read a text, one of the choices where there are any."""

        def one(text: Text) -> Text:
            if choices and text not in choices:
                raise Wrong(f"has to be one of {', '.join(choices)}")
            return text

        return self._read(name, default, one)

    def int(self, name: Text, default: Whole, *, least: Whole = 0) -> Whole:
        """Read a whole number."""
        return self._read(name, default, lambda text: _number(int, text, least, "a whole number"))

    def float(self, name: Text, default: Number, *, least: Number = 0) -> Number:
        """Read a number."""
        return self._read(name, default, lambda text: _number(float, text, least, "a number"))

    def decimal(self, name: Text, default: Text, *, least: Whole = 0) -> Decimal:
        """Read an amount of money."""
        return self._read(
            name, Decimal(default), lambda text: _number(Decimal, text, least, "an amount")
        )

    def bool(self, name: Text, default: Flag) -> Flag:
        """Read yes or no."""

        def either(text: Text) -> Flag:
            if text.lower() not in YES | NO:
                raise Wrong("has to be true or false")
            return text.lower() in YES

        return self._read(name, default, either)

    def list(self, name: Text, default: Collection[Text] = ()) -> Words:
        """Read words separated by commas."""
        return self._read(name, [*default], _words)

    def rates(self, name: Text, default: Mapping[Text, Text]) -> dict[Text, Text]:
        """Read how often each of some things is allowed, where it differs."""

        def given(text: Text) -> dict[Text, Text]:
            found = dict(part.partition("=")[::2] for part in _words(text))
            for what, rate in found.items():
                if what not in default or not re.fullmatch(RATE, rate):
                    raise Wrong(f"says {what}={rate}; has to be like {next(iter(default))}=30/min")
            return {**default, **found}

        return self._read(name, {**default}, given)

    def packages(self, name: Text) -> Words:
        """Read names of Python packages that are on the path."""

        def found(text: Text) -> Words:
            for word in _words(text):
                if not word.isidentifier() or not find_spec(word):
                    raise Wrong(f"names {word}, which is no package on the path (PYTHONPATH)")
            return _words(text)

        return self._read(name, Words(), found)

    def folder(self, name: Text, default: Path) -> Path:
        """Read a folder, and make it where it is not there yet."""
        path = Path(self.str(name) or default).resolve()
        try:
            path.mkdir(parents=True, exist_ok=True)
        except OSError as problem:
            self.problems.append(
                f"{name} is '{path}', which cannot be made ({problem.strerror}). "
                "Name a folder we may write in."
            )
        return path

    def url(self, name: Text, schemes: Collection[Text]) -> Text:
        """Read an address, or return an empty text."""
        return self._read(name, "", lambda text: _address(text, schemes))

    def db_url(self, name: Text, default: Text) -> dict[Text, Any]:
        """Read the address of a database as Django's settings."""
        config = environ.Env.db_url_config

        def named(text: Text) -> dict[Text, Any]:
            return {**config(_address(text, DATABASES))}

        return self._read(name, {**config(default)}, named)

    def email_url(self, name: Text, default: Text) -> dict[Text, Any]:
        """Read the address of a mail server as Django's settings."""
        config = environ.Env.email_url_config

        def named(text: Text) -> dict[Text, Any]:
            return {**config(_address(text, MAIL))}

        return self._read(name, {**config(default)}, named)

    def _read(self, name: Text, default: Read, parse: Callable[[Text], Read]) -> Read:
        self.names.add(name)
        try:
            text = self._variables.get(name, "").removesuffix("\n")
        except (OSError, UnicodeDecodeError) as problem:
            reason = getattr(problem, "strerror", None) or "it is not text"
            self.problems.append(
                f"{name}_FILE names {self._variables.env[f'{name}_FILE']}, which cannot be read "
                f"({reason}). Correct the path or the rights, or leave it out."
            )
            return default
        try:
            return parse(text) if text else default
        except (ValueError, KeyError, InvalidOperation) as problem:
            reason = str(problem) if isinstance(problem, Wrong) else "has to be a full address"
            instead = masked(name, str(default)) if default not in ("", []) else "none"
            if isinstance(default, dict):
                instead = "the default"
            self.problems.append(
                f"{name} is {masked(name, text)}, but {reason}. "
                f"Correct it, or leave it out for {instead}."
            )
            return default


def masked(name: Text, text: Text) -> Text:
    """Return a value as it may be shown: no secret, and no password of an address."""
    if SECRET.search(name):
        return f"hidden here ({len(text)} characters)"
    without_user = re.sub(r"^([\w+]+:(?://)?)?.*@", r"\1***@", text, flags=re.S)
    return repr(re.sub(r"(?i)((?:password|secret|token|key)=)[^&]*", r"\1***", without_user))


def _number(kind: Callable[[Text], Any], text: Text, least: float, called: Text) -> Any:
    try:
        number = kind(text)
        fits = math.isfinite(number) and number >= least
    except (ValueError, InvalidOperation):
        fits = False
    if not fits:
        raise Wrong(f"has to be {called} from {least} up")
    return number


def _words(text: Text) -> Words:
    return [word for part in text.split(",") if (word := part.strip())]


def _address(text: Text, schemes: Collection[Text]) -> Text:
    if text.partition("://")[0] not in schemes or "://" not in text:
        raise Wrong(f"has to begin with {' or '.join(f'{scheme}://' for scheme in schemes)}")
    return text
