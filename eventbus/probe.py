"""Liveness and readiness of processes that serve no web pages: relays and workers."""

import json
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

from django.conf import settings
from django.db import connection

from eventbus.pulse import Pulse

BLOCKED = 60.0  # seconds without a beat after which a loop counts as blocked


def alive(pulse: Pulse) -> str:
    """Return what is wrong with a loop, or nothing."""
    if pulse.age > BLOCKED:
        return f"blocked: no beat for {pulse.age:.0f} s"
    return ""


def ready(pulse: Pulse) -> str:
    """Return why a process should get no work, or nothing."""
    if pulse.draining:
        return "draining"
    return alive(pulse) or _database() or _broker()


def serve(port: int, pulse: Pulse, host: str = "127.0.0.1") -> ThreadingHTTPServer:
    """Answer /health/live and /health/ready from a thread: 200, or 503 with the reason."""

    class Probe(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            asked = {"/health/live": alive, "/health/ready": ready}.get(self.path)
            trouble = asked(pulse) if asked else "no such page"
            body = json.dumps({"status": trouble or "ok"}).encode()
            self.send_response(503 if trouble else 200)
            self.send_header("Content-Type", "application/json")
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *args: Any) -> None:
            """Stay silent: probes come every few seconds."""

    server = ThreadingHTTPServer((host, port), Probe)
    threading.Thread(target=server.serve_forever, name="probe", daemon=True).start()
    return server


def _database() -> str:
    try:
        with connection.cursor() as cursor:
            cursor.execute("SELECT 1")
    except Exception as away:
        return f"database away: {away}"
    finally:
        connection.close()
    return ""


def _broker() -> str:
    if not getattr(settings, "CELERY_BROKER_URL", None):
        return ""
    from celery import current_app

    try:
        with current_app.connection_for_write() as broker:
            broker.ensure_connection(max_retries=0, timeout=2)
    except Exception as away:
        return f"broker away: {away}"
    return ""
