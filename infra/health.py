"""Liveness and readiness of processes that serve no web pages: relays and workers.

The endpoints are public, so their answers name no address; the log has the details.
"""

import json
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import structlog
from django.conf import settings
from django.db import connection

from infra.database_errors import is_unreachable
from infra.heartbeat import Heartbeat

log = structlog.get_logger(__name__)


def liveness(heartbeat: Heartbeat) -> str:
    """Return an error if the loop is blocked, or an empty string."""
    if heartbeat.age > heartbeat.blocked_after:
        return f"blocked: no beat for {heartbeat.age:.0f} s"
    return ""


def readiness(heartbeat: Heartbeat) -> str:
    """Return the reason why the process should get no work, or an empty string."""
    if heartbeat.draining:
        return "draining"
    return liveness(heartbeat) or database() or broker() or heartbeat.paused_because


def database() -> str:
    """Return an error if the database does not answer; closes this thread's connection."""
    try:
        with connection.cursor() as cursor:
            cursor.execute("SELECT 1")
    except Exception as error:
        return _problem("database", error, unreachable=is_unreachable(error))
    finally:
        connection.close()
    return ""


def broker() -> str:
    """Return an error if the configured broker does not answer."""
    if not getattr(settings, "CELERY_BROKER_URL", None):
        return ""
    from celery import current_app
    from kombu.exceptions import KombuError

    of_broker: tuple[type[BaseException], ...] = (KombuError, OSError)
    try:
        with current_app.connection_for_write() as connected:
            of_broker += (*connected.connection_errors, *connected.channel_errors)
            connected.ensure_connection(max_retries=0, timeout=2)
    except Exception as error:
        return _problem("broker", error, unreachable=isinstance(error, of_broker))
    return ""


def _problem(system: str, error: Exception, *, unreachable: bool) -> str:
    """Log the error of a check and return its public answer; an error of our own has its name."""
    if unreachable:
        log.warning(f"{system} unreachable", reason=str(error))
        return f"{system} unreachable"
    log.error(f"{system} check failed", exc_info=error)
    return f"{system} check failed: {type(error).__name__}"


def serve(port: int, heartbeat: Heartbeat, host: str = "127.0.0.1") -> ThreadingHTTPServer:
    """Answer /health/live and /health/ready from a thread: 200, or 503 with the reason."""
    checks = {"/health/live": liveness, "/health/ready": readiness}

    class HealthRequest(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            check = checks.get(self.path)
            problem = check(heartbeat) if check else "no such page"
            body = json.dumps({"status": problem or "ok"}).encode()
            self.send_response((503 if problem else 200) if check else 404)
            self.send_header("Content-Type", "application/json")
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *args: Any) -> None:
            """Log nothing: probes come every few seconds."""

    server = ThreadingHTTPServer((host, port), HealthRequest)
    threading.Thread(target=server.serve_forever, name="health", daemon=True).start()
    return server
