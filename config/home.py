"""The front page: what this is, what each context says and hears, and how the news is doing."""

import inspect
import re
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from django.apps import apps
from django.conf import settings
from django.db import DatabaseError, connection
from django.http import HttpRequest, HttpResponse
from django.shortcuts import render
from django.utils.html import escape
from django.utils.safestring import SafeString, mark_safe
from django.views.decorators.http import require_safe

from eventbus import registry
from eventbus.models import DeadLetter, Dispatch, Event, Outbox, Retry
from eventbus.relay import embedded

BROKERS = {"amqp": "RabbitMQ", "amqps": "RabbitMQ", "redis": "Redis", "rediss": "Redis"}


@dataclass(frozen=True)
class Said:
    """An event, as a reader of the front page wants it."""

    name: str
    means: SafeString
    heard_by: list[str]


@dataclass(frozen=True)
class Heard:
    """A consumer: what it hears, and what it does then."""

    name: str
    hears: tuple[str, ...]
    does: SafeString


@dataclass(frozen=True)
class Context:
    """A context with what it says and hears."""

    name: str
    keeps: SafeString
    says: list[Said]
    hears: list[Heard]


@require_safe
def page(request: HttpRequest) -> HttpResponse:
    """Show the house."""
    return render(
        request,
        "home.html",
        {"contexts": _contexts(), "runs": _runs(), "counts": _counts(), "papers": _papers()},
    )


def _contexts() -> list[Context]:
    """Return the contexts of the settings, then further apps with events or consumers."""
    speaking = [name.partition(".")[0] for name in (*registry.events, *registry.consumers)]
    names = dict.fromkeys([*settings.CONTEXTS, *filter(apps.is_installed, speaking)])
    return [
        Context(
            name=name,
            keeps=_first_line(apps.get_app_config(name).module),
            says=[_said(event) for event in _of(name, registry.events)],
            hears=[_heard(consumer) for consumer in _of(name, registry.consumers)],
        )
        for name in names
    ]


def _of(context: str, names: Iterable[str]) -> list[str]:
    return [name for name in names if name.startswith(f"{context}.")]


def _said(name: str) -> Said:
    contexts = dict.fromkeys(consumer.context for consumer in registry.listeners(name))
    return Said(name.partition(".")[2], _first_line(registry.events[name]), list(contexts))


def _heard(name: str) -> Heard:
    consumer = registry.consumers[name]
    return Heard(name.partition(".")[2], consumer.hears, _first_line(consumer.handle))


def _first_line(thing: Any) -> SafeString:
    """Return the first line of a docstring, what it names in `code`."""
    line = (inspect.getdoc(thing) or "").partition("\n")[0]
    return mark_safe(re.sub(r"`([^`]+)`", r"<code>\1</code>", escape(line)))


def _runs() -> str:
    """Say how this process works, without its addresses: they may hold passwords."""
    database = connection.display_name
    if settings.BROKER_URL:
        broker = BROKERS.get(urlsplit(settings.BROKER_URL).scheme, "a broker")
        return (
            f"with a broker: {broker} and {database}, relay and workers in processes of their own"
        )
    if embedded.relay():
        return f"embedded: this one process on {database} is web server, relay and workers"
    return f"embedded, on {database}; another process carries the news"


def _counts() -> list[tuple[str, int | str, str]]:
    """Return how much news there is, with the page of the admin that lists it."""
    tables = {
        "events in the log": Event,
        "waiting in the outbox": Outbox,
        "on their way": Dispatch,
        "to be tried again": Retry,
        "dead letters": DeadLetter,
    }
    return [(name, _count(table), table._meta.model_name or "") for name, table in tables.items()]


def _count(table: Any) -> int | str:
    try:
        return int(table.objects.count())
    except DatabaseError:
        return "unknown"


def _papers() -> list[str]:
    """Return what there is to read beside the code."""
    base = Path(settings.BASE_DIR)
    papers = [base / "README.md", *sorted(base.glob("docs/**/*.md"))]
    return [str(paper.relative_to(base)) for paper in papers if paper.exists()]
