"""Liveness and readiness of processes that serve no web pages: relays and workers.

The answers are for anybody, so they name no address; the log says more.
"""

import json
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import structlog
from django.conf import settings
from django.db import connection

from infra.heartbeat import Heartbeat

log = structlog.get_logger(__name__)


def alive(pulse: Heartbeat) -> str:
    """Return what is wrong with a loop, or an empty string."""
    if pulse.age > pulse.blocked_after:
        return f"blocked: no beat for {pulse.age:.0f} s"
    return ""


def ready(pulse: Heartbeat) -> str:
    """Return why a process should get no work, or nothing."""
    if pulse.draining:
        return "draining"
    return alive(pulse) or database() or broker() or pulse.waits


def database() -> str:
    """Return what is wrong with the database, or nothing; the caller's connection is closed."""
    try:
        with connection.cursor() as cursor:
            cursor.execute("SELECT 1")
    except Exception as away:
        log.warning("database away", reason=str(away))
        return "database away"
    finally:
        connection.close()
    return ""


def broker() -> str:
    """Return what is wrong with the broker, or nothing; without one nothing is wrong with it."""
    if not getattr(settings, "CELERY_BROKER_URL", None):
        return ""
    from celery import current_app

    try:
        with current_app.connection_for_write() as connected:
            connected.ensure_connection(max_retries=0, timeout=2)
    except Exception as away:
        log.warning("broker away", reason=str(away))
        return "broker away"
    return ""


def serve(port: int, pulse: Heartbeat, host: str = "127.0.0.1") -> ThreadingHTTPServer:
    """Answer /health/live and /health/ready from a thread: 200, or 503 with the reason."""

    class Probe(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            asked = {"/health/live": alive, "/health/ready": ready}.get(self.path)
            trouble = asked(pulse) if asked else "no such page"
            body = json.dumps({"status": trouble or "ok"}).encode()
            self.send_response((503 if trouble else 200) if asked else 404)
            self.send_header("Content-Type", "application/json")
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *args: Any) -> None:
            """Stay silent: probes come every few seconds."""

    server = ThreadingHTTPServer((host, port), Probe)
    threading.Thread(target=server.serve_forever, name="probe", daemon=True).start()
    return server
