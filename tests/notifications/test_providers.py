"""SMS and push messages: a real HTTP server on the loopback interface, and the fake provider."""

import datetime as dt
import json
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import pytest

from eventbus.cloudevents import to_cloudevent
from eventbus.consuming.delivery import deliver
from eventbus.models import DeadLetter, Event, Retry
from infra import clock
from notifications.gateway import Outgoing
from notifications.gateway.providers import FakeProvider
from notifications.models import Contact, Message
from notifications.services import send_again
from tests.notifications.conftest import Killed, kill_at


class Provider:
    """Delivers each key once; `replies` are given before it accepts."""

    def __init__(self) -> None:
        self.requests: list[dict[str, Any]] = []
        self.delivered: dict[str, str] = {}
        self.replies: list[tuple[int, dict[str, str]]] = []
        provider = self

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
                status, headers = provider.accept(body, self.headers["Idempotency-Key"])
                self.send_response(status)
                for name, value in headers.items():
                    self.send_header(name, value)
                self.end_headers()
                self.wfile.write(json.dumps({"id": f"sms-{len(provider.delivered)}"}).encode())

            def log_message(self, *_: object) -> None:
                pass

        self.server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        threading.Thread(target=self.server.serve_forever, args=[0.01], daemon=True).start()

    def accept(self, body: dict[str, Any], key: str) -> tuple[int, dict[str, str]]:
        assert body["key"] == key
        self.requests.append(body)
        if self.replies:
            return self.replies.pop(0)
        self.delivered[key] = body["text"]
        return 201, {}


@pytest.fixture
def provider(settings) -> Iterator[Provider]:
    provider = Provider()
    address = f"http://127.0.0.1:{provider.server.server_port}/messages"
    settings.NOTIFICATIONS = settings.NOTIFICATIONS | {"SMS_URL": address, "PUSH_URL": address}
    yield provider
    provider.server.shutdown()
    provider.server.server_close()


def push() -> Message:
    return Message.objects.get(kind="order_paid_push")


def test_sms_go_to_the_phone_number_and_push_messages_to_the_customer_id(calm, upstream, provider):
    upstream.signed_up()
    upstream.placed()
    upstream.reserved()
    calm.later(minutes=11)
    upstream.paid()
    calm.settle()

    assert [body["to"] for body in provider.requests] == ["+628111111111", str(upstream.customer)]
    assert len(provider.delivered) == 2
    assert (push().state, push().provider_reference) == ("sent", "sms-2")


@pytest.mark.parametrize("status", [500, 503, 401, 403, 408, 302])
def test_after_an_error_a_provider_gets_the_same_key_again(calm, upstream, provider, status):
    provider.replies = [(status, {}), (status, {})]
    upstream.signed_up()
    upstream.paid()
    calm.settle(allow_failures=True)
    assert Retry.objects.get().attempts == 0
    calm.later(minutes=1)
    calm.later(minutes=1)

    assert len(provider.requests) == 3
    assert len({body["key"] for body in provider.requests}) == 1
    assert push().state == "sent"


def test_the_retry_after_of_a_provider_is_respected(calm, upstream, provider):
    provider.replies = [(429, {"Retry-After": "600"})]
    upstream.signed_up()
    upstream.paid()
    calm.settle(allow_failures=True)
    calm.later(minutes=9)
    assert len(provider.requests) == 1

    calm.later(minutes=2)
    assert push().state == "sent"


def test_a_refusal_fails_the_message_and_sending_again_uses_a_new_key(calm, upstream, provider):
    provider.replies = [(422, {})]
    upstream.signed_up()
    upstream.paid()
    calm.settle(allow_failures=True)
    assert push().state == "failed"
    assert push().reason.startswith("It cannot be delivered: 422")
    assert DeadLetter.objects.count() == 1

    send_again(push().id)
    calm.settle(allow_failures=True)
    assert push().state == "sent"
    assert len({body["key"] for body in provider.requests}) == 2


def test_an_unreachable_provider_gets_the_message_later(calm, upstream, provider, settings):
    reachable = settings.NOTIFICATIONS
    settings.NOTIFICATIONS = reachable | {"PUSH_URL": "http://127.0.0.1:9/"}
    upstream.signed_up()
    upstream.paid()
    calm.settle(allow_failures=True)
    assert push().state == "queued"

    settings.NOTIFICATIONS = reachable
    calm.later(minutes=1)
    assert (push().state, len(provider.delivered)) == ("sent", 1)


def test_after_a_worker_dies_while_sending_the_message_arrives_once(
    calm, upstream, provider, monkeypatch
):
    upstream.signed_up()
    calm.settle()
    Contact.objects.update(mail=False)
    upstream.paid()
    with monkeypatch.context() as patch, pytest.raises(Killed):
        kill_at(Message, "mark_sent", patch)
        calm.settle()
    assert push().state == "sending"

    clock.offset += dt.timedelta(minutes=10)
    events = Event.objects.filter(
        name="notifications.MessageWritten", aggregate__endswith=push().id
    )
    for _ in range(2):
        deliver(0, "notifications.send_message", [to_cloudevent(events.get().envelope())])

    assert (len(provider.requests), len(provider.delivered)) == (2, 1)
    assert push().state == "sent"


def test_the_fake_writes_a_line_for_each_key_once(tmp_path):
    fake = FakeProvider(tmp_path / "sms.log")
    for key in ("a1", "b2", "a1"):
        fake.send(Outgoing(key=key, to="+62811", subject="", text="halo"))

    lines = (tmp_path / "sms.log").read_text().splitlines()
    assert [json.loads(line)["key"] for line in lines] == ["a1", "b2"]
