"""Logs: structlog, also for records of libraries; `console` for people, `json` for machines.

Secrets and personal data are masked in the finished line, whether they came from the shop, from a
library, or from a traceback that quotes the database.
"""

import logging
import re
from logging.config import dictConfig
from typing import Any

import structlog

from eventbus.origin import trace_id

SECRETS = (
    "password|passwd|secret|secret_key|token|access|refresh|authorization|cookie|sessionid"
    "|csrftoken|csrfmiddlewaretoken|api_?key|card|cvc|phone"
)
MASKED = [
    # Names with values, as JSON (also JSON in JSON), Python and a shell write them.
    (
        re.compile(
            rf"""(?i)\b({SECRETS})((?:\\*["'])?\s*[:=]\s*)"""
            r"""(?:\\*"[^"\\]*|\\*'[^'\\]*|[^\s,;&"'})\]\\]+)"""
        ),
        r"\1\2***",
    ),
    (re.compile(r"(?i)\b(bearer|basic)\s+[\w.~+/=-]+"), r"\1 ***"),
    (re.compile(r"\beyJ[\w-]+\.[\w-]+\.[\w-]*"), "***"),  # a JWT
    (re.compile(r"(://[^\s:/@]{0,64}):[^\s@/]{1,256}@"), r"\1:***@"),
    (re.compile(r"[\w.!#$%&'*+=?^`{|}~-]{1,64}@[\w-]{1,63}(?:\.[\w-]{1,63})+"), "***"),
    (re.compile(r"(?<![\w.-])(?:\+\d(?:[ -]?\d){7,14}|\d(?:[ -]?\d){12,18})(?![\w.-])"), "***"),
    # PostgreSQL quotes rows.
    (re.compile(r"(DETAIL:\s+).*?(?=\\n|\n|$)"), r"\1***"),
]


def _trace(logger: Any, method: str, event: dict[str, Any]) -> dict[str, Any]:
    if found := trace_id():
        event["trace_id"] = found
    return event


def mask(line: str) -> str:
    """Return a line without secrets and personal data."""
    for pattern, replacement in MASKED:
        line = pattern.sub(replacement, line)
    return line


class Masked(structlog.stdlib.ProcessorFormatter):
    """Masks the whole line, after all other processors."""

    def format(self, record: logging.LogRecord) -> str:
        """Return the line, masked."""
        return mask(super().format(record))


SHARED: list[Any] = [
    structlog.contextvars.merge_contextvars,
    structlog.stdlib.add_log_level,
    structlog.stdlib.add_logger_name,
    structlog.processors.TimeStamper(fmt="iso", utc=True),
    _trace,
]


def formatter(style: str) -> logging.Formatter:
    """Return the formatter of all records. Style: console or json."""
    # Prettier tracebacks show what variables hold.
    plain = structlog.dev.plain_traceback
    last: list[Any] = [structlog.dev.ConsoleRenderer(colors=False, exception_formatter=plain)]
    if style == "json":
        last = [structlog.processors.format_exc_info, structlog.processors.JSONRenderer()]
    return Masked(
        foreign_pre_chain=[*SHARED, structlog.stdlib.ExtraAdder()],
        processors=[structlog.stdlib.ProcessorFormatter.remove_processors_meta, *last],
    )


def configure(level: str, style: str) -> None:
    """Configure both structlog and the standard library's logging. Style: console or json."""
    structlog.configure(
        processors=[*SHARED, structlog.stdlib.ProcessorFormatter.wrap_for_formatter],
        logger_factory=structlog.stdlib.LoggerFactory(),
        cache_logger_on_first_use=True,
    )
    dictConfig(
        {
            "version": 1,
            "disable_existing_loggers": False,
            "formatters": {"kabar": {"()": formatter, "style": style}},
            "handlers": {"stderr": {"class": "logging.StreamHandler", "formatter": "kabar"}},
            "root": {"handlers": ["stderr"], "level": level},
            "loggers": {
                "django.server": {"level": "WARNING"},
                # edge.middleware logs requests; Django's line has the path, which may hold names.
                "django.request": {"level": "ERROR"},
                "httpx": {"level": "WARNING"},
                "celery.worker.strategy": {"level": "WARNING"},
                "celery.app.trace": {"level": "WARNING"},
                "constance.migrations": {"level": "WARNING"},  # INFO for each new database
            },
        }
    )
