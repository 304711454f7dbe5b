"""The environment of the shop: servers, folders and packages besides single values."""

from importlib.util import find_spec
from pathlib import Path
from typing import Any
from urllib.parse import unquote, urlsplit

import dj_database_url
from environs import ValidationError

from infra.environment import Environment, address, words

DATABASES = ("postgresql", "postgres", "sqlite")
BROKERS = ("amqp", "amqps", "redis", "rediss", "redis+socket", "sentinel")
CACHES = ("redis", "rediss", "unix")
MAIL_PORTS = {"smtp": 25, "smtp+tls": 587, "smtp+ssl": 465}


class ShopEnvironment(Environment):
    """The environment of the whole shop."""

    def database(self, name: str, default: str) -> dict[str, Any]:
        """Read the address of a database as Django's settings."""
        return self.parsed(name, _database(default), _database)

    def mail(self, name: str, folder: Path) -> dict[str, Any]:
        """Read the address of a mail server as Django's settings; without one, mail is files."""
        backend = "django.core.mail.backends.filebased.EmailBackend"
        files = {"EMAIL_BACKEND": backend, "EMAIL_FILE_PATH": str(folder)}
        return self.parsed(name, files, _mail)

    def packages(self, name: str) -> list[str]:
        """Read names of Python packages that are on the path."""
        return self.parsed(name, [], _packages)

    def folder(self, name: str, default: Path) -> Path:
        """Read a folder, and make it where it is not there yet."""
        path = Path(self.str(name) or default).resolve()
        try:
            path.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            self.problems.append(
                f"{name} is '{path}', which cannot be made ({error.strerror}). "
                "Name a folder that this process may write in."
            )
        return path


env = ShopEnvironment()


def _database(url: str) -> dict[str, Any]:
    address(url, DATABASES)
    try:
        return {**dj_database_url.parse(url)}
    except ValueError as error:
        raise ValidationError("has to be a full address") from error


def _mail(url: str) -> dict[str, Any]:
    # dj-email-url, which environs would use, does not know smtp+tls.
    parts = urlsplit(address(url, MAIL_PORTS))
    try:
        port = parts.port or MAIL_PORTS[parts.scheme]
    except ValueError as error:
        raise ValidationError("has to be a full address") from error
    return {
        "EMAIL_BACKEND": "django.core.mail.backends.smtp.EmailBackend",
        "EMAIL_HOST": parts.hostname or "localhost",
        "EMAIL_PORT": port,
        "EMAIL_HOST_USER": unquote(parts.username or ""),
        "EMAIL_HOST_PASSWORD": unquote(parts.password or ""),
        "EMAIL_USE_TLS": parts.scheme == "smtp+tls",
        "EMAIL_USE_SSL": parts.scheme == "smtp+ssl",
    }


def _packages(text: str) -> list[str]:
    for word in words(text):
        if not word.isidentifier() or not find_spec(word):
            raise ValidationError(f"names {word}, which is no package on the path (PYTHONPATH)")
    return words(text)
