"""Liveness and readiness of the web process, for probes (JSON) and for people (a page).

Live: this process can do its work. Ready: it should get requests now. Cache and broker are reported
but do not fail readiness: without a cache the shop is slower, without a broker events wait in the
outbox. The answers are public, so they name no address; the log has the details.
"""

import threading
import uuid
from concurrent.futures import Executor, ThreadPoolExecutor
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass
from typing import Any

import structlog
from django.conf import settings
from django.core.cache import cache
from django.db import connection
from django.db.migrations.executor import MigrationExecutor
from django.http import HttpRequest, HttpResponse, JsonResponse
from health_check.base import HealthCheck
from health_check.exceptions import ServiceUnavailable, ServiceWarning
from health_check.views import HealthCheckView

from eventbus.relay import embedded
from infra import health

log = structlog.get_logger(__name__)
draining = threading.Event()  # set on SIGTERM: requests are still served
_migrated = threading.Event()
# A check that hangs holds one of these threads, and fails after its time-out.
_threads = ThreadPoolExecutor(4, thread_name_prefix="health")


@dataclass(repr=False)
class Check(HealthCheck):
    """A check; its name in lower case is its key in the answer."""

    def __repr__(self) -> str:
        return type(self).__name__.lower()


@dataclass(repr=False)
class NotDraining(Check):
    """This process is not shutting down."""

    def run(self) -> None:
        """Fail after SIGTERM."""
        if draining.is_set():
            raise ServiceUnavailable("draining")


@dataclass(repr=False)
class Database(Check):
    """The database answers, and its migrations are applied."""

    def run(self) -> None:
        """Fail if it is unreachable or not migrated; a migrated one is not asked again."""
        if reason := health.database():
            raise ServiceUnavailable(reason)
        if not _migrated.is_set():
            if _has_migrations_left():
                raise ServiceUnavailable("database not migrated")
            _migrated.set()


@dataclass(repr=False)
class Cache(Check):
    """The shared cache stores values."""

    def run(self) -> None:
        """Warn where it does not."""
        key = f"health:{uuid.uuid4()}"
        try:
            cache.set(key, key, timeout=5)
            kept = cache.get(key) == key
        except Exception as error:
            log.warning("cache unreachable", reason=str(error))
            kept = False
        if not kept:
            raise ServiceWarning("cache unreachable: slower, not down")


@dataclass(repr=False)
class Broker(Check):
    """The broker takes messages."""

    def run(self) -> None:
        """Warn where it does not."""
        if reason := health.broker():
            raise ServiceWarning(f"{reason}: events wait in the outbox")


@dataclass(repr=False)
class Relay(Check):
    """The relay in this process runs. `wanted`: one has to run on this machine."""

    wanted: bool = True

    def run(self) -> None:
        """Fail where it is blocked, has not started, or runs in no process of this machine."""
        relay = embedded.relay()
        blocked = health.liveness(relay.heartbeat) if relay else ""
        waits = relay.heartbeat.paused_because if relay else "no relay runs"
        if blocked or (self.wanted and waits not in ("", embedded.ELSEWHERE)):
            raise ServiceUnavailable(blocked or waits)


def _has_migrations_left() -> bool:
    try:
        executor = MigrationExecutor(connection)
        return bool(executor.migration_plan(executor.loader.graph.leaf_nodes()))
    finally:
        connection.close()


class Health(HealthCheckView):
    """Answers 200, or 503 where a check fails; JSON, unless the client asks for something else."""

    def get_executor(self) -> AbstractContextManager[Executor | None]:
        """Run the checks in threads that outlive a request, which waits for no check that hangs."""
        return nullcontext(_threads)

    async def dispatch(self, request: HttpRequest, *args: Any, **kwargs: Any) -> HttpResponse:
        """Answer with 503 for a failure and 200 for a warning; the library has 500 for both."""
        response: HttpResponse = await super().dispatch(request, *args, **kwargs)
        if response.status_code == 500:
            response.status_code = 503 if self._failures() else 200
        return response

    def render_to_response(self, context: dict[str, Any], **kwargs: Any) -> HttpResponse:
        """Answer with HTML only where the client accepts it by name, else with JSON."""
        if "html" in self.request.headers.get("Accept", ""):
            page: HttpResponse = super().render_to_response(context, **kwargs)
            return page
        return self.render_to_response_json(kwargs["status"])

    def render_to_response_json(self, status: int) -> HttpResponse:
        """Return the status, which is the first failure or ok, and the result of each check."""
        checks = {
            repr(result.check): result.error.message if result.error else "ok"
            for result in self.results
        }
        failures = self._failures()
        return JsonResponse(
            {"status": failures[0] if failures else "ok", "checks": checks}, status=status
        )

    def _failures(self) -> list[str]:
        errors = [result.error for result in self.results if result.error]
        return [str(e.message) for e in errors if not isinstance(e, ServiceWarning)]


live = Health.as_view(checks=[] if settings.BROKER_URL else [(Relay, {"wanted": False})])
ready = Health.as_view(
    checks=[
        NotDraining,
        Database,
        *([Cache] if settings.CACHE_URL else []),
        Broker if settings.BROKER_URL else Relay,
    ]
)
