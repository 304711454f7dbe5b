"""The front page: architecture, state of the bus, contexts with their events and consumers."""

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
from eventbus.events import event_types
from eventbus.models import DeadLetter, Dispatch, Event, Outbox, Retry
from eventbus.relay import embedded

BROKERS = {"amqp": "RabbitMQ", "amqps": "RabbitMQ", "redis": "Redis", "rediss": "Redis"}


@dataclass(frozen=True)
class PublishedEvent:
    """An event of a context, with the contexts that consume it."""

    name: str
    description: SafeString
    subscribers: list[str]


@dataclass(frozen=True)
class ConsumerInfo:
    """A consumer of a context, with the events that it subscribes to."""

    name: str
    events: tuple[str, ...]
    description: SafeString


@dataclass(frozen=True)
class ContextInfo:
    """A context with its events and consumers."""

    name: str
    description: SafeString
    events: list[PublishedEvent]
    consumers: list[ConsumerInfo]


@require_safe
def page(request: HttpRequest) -> HttpResponse:
    """Show the front page."""
    return render(
        request,
        "home.html",
        {"contexts": _contexts(), "mode": _mode(), "counts": _counts(), "documents": _documents()},
    )


def _contexts() -> list[ContextInfo]:
    """Return the contexts of the settings, then other apps with events or consumers."""
    others = [name.partition(".")[0] for name in (*event_types, *registry.consumers)]
    names = dict.fromkeys([*settings.CONTEXTS, *filter(apps.is_installed, others)])
    return [
        ContextInfo(
            name=name,
            description=_first_line(apps.get_app_config(name).module),
            events=[_event(event) for event in _of(name, event_types)],
            consumers=[_consumer(consumer) for consumer in _of(name, registry.consumers)],
        )
        for name in names
    ]


def _of(context: str, names: Iterable[str]) -> list[str]:
    return [name for name in names if name.startswith(f"{context}.")]


def _event(name: str) -> PublishedEvent:
    subscribers = dict.fromkeys(consumer.context for consumer in registry.consumers_of(name))
    description = _first_line(event_types[name])
    return PublishedEvent(name.partition(".")[2], description, list(subscribers))


def _consumer(name: str) -> ConsumerInfo:
    consumer = registry.consumers[name]
    return ConsumerInfo(name.partition(".")[2], consumer.events, _first_line(consumer.handle))


def _first_line(documented: Any) -> SafeString:
    """Return the first line of a docstring as HTML, with `names` as code."""
    line = (inspect.getdoc(documented) or "").partition("\n")[0]
    return mark_safe(re.sub(r"`([^`]+)`", r"<code>\1</code>", escape(line)))


def _mode() -> str:
    """Describe how this process runs, without addresses: they may contain passwords."""
    database = connection.display_name
    if settings.BROKER_URL:
        broker = BROKERS.get(urlsplit(settings.BROKER_URL).scheme, "a broker")
        return f"with {broker} and {database}; the relay and the workers are separate processes"
    if embedded.relay():
        return f"embedded: one process is web server, relay and worker, with {database}"
    return f"embedded, with {database}; the relay runs in another process"


def _counts() -> list[tuple[str, int | str, str]]:
    """Return label, number of rows and admin page of each table that the page shows."""
    tables = {
        "events in the log": Event,
        "in the outbox": Outbox,
        "dispatches in flight": Dispatch,
        "retries": Retry,
        "dead letters": DeadLetter,
    }
    return [(label, _count(table), table._meta.model_name or "") for label, table in tables.items()]


def _count(table: Any) -> int | str:
    try:
        return int(table.objects.count())
    except DatabaseError:
        return "unknown"


def _documents() -> list[str]:
    """Return the paths of the README and the documents."""
    base = Path(settings.BASE_DIR)
    paths = [base / "README.md", *sorted(base.glob("docs/**/*.md"))]
    return [str(path.relative_to(base)) for path in paths if path.exists()]
