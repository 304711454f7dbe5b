"""SMS and push: a real HTTP server on the loopback, and the fake that ships."""

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
from notifications.gateway import FakeProvider, Outgoing
from notifications.models import Contact, Message
from notifications.services import send_again


class Provider:
    """It keeps what it was asked, and delivers each key once. `says`: answers to give first."""

    def __init__(self) -> None:
        self.asked: list[dict[str, Any]] = []
        self.delivered: dict[str, str] = {}
        self.says: list[tuple[int, dict[str, str]]] = []
        provider = self

        class Door(BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
                status, headers = provider.take(body, self.headers["Idempotency-Key"])
                self.send_response(status)
                for name, value in headers.items():
                    self.send_header(name, value)
                self.end_headers()
                self.wfile.write(json.dumps({"id": f"sms-{len(provider.delivered)}"}).encode())

            def log_message(self, *_: object) -> None:
                pass

        self.server = ThreadingHTTPServer(("127.0.0.1", 0), Door)
        threading.Thread(target=self.server.serve_forever, args=[0.01], daemon=True).start()

    def take(self, body: dict[str, Any], key: str) -> tuple[int, dict[str, str]]:
        assert body["key"] == key
        self.asked.append(body)
        if self.says:
            return self.says.pop(0)
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


def test_sms_and_push_go_to_whom_they_belong(calm, news, provider):
    news.signed_up()
    news.placed()
    news.reserved()
    calm.later(minutes=11)
    news.paid()
    calm.settle()

    assert [body["to"] for body in provider.asked] == ["+628111111111", str(news.customer)]
    assert len(provider.delivered) == 2
    assert (push().state, push().provider_reference) == ("sent", "sms-2")


@pytest.mark.parametrize("trouble", [500, 503, 401, 403, 408, 302])
def test_a_provider_in_trouble_is_asked_again_with_the_same_key(calm, news, provider, trouble):
    provider.says = [(trouble, {}), (trouble, {})]
    news.signed_up()
    news.paid()
    calm.settle(trouble=True)
    assert Retry.objects.get().attempts == 0
    calm.later(minutes=1)
    calm.later(minutes=1)

    assert len(provider.asked) == 3
    assert len({body["key"] for body in provider.asked}) == 1
    assert push().state == "sent"


def test_a_provider_that_says_when_to_come_again_is_heeded(calm, news, provider):
    provider.says = [(429, {"Retry-After": "600"})]
    news.signed_up()
    news.paid()
    calm.settle(trouble=True)
    calm.later(minutes=9)
    assert len(provider.asked) == 1

    calm.later(minutes=2)
    assert push().state == "sent"


def test_a_clear_no_fails_the_message_and_sending_again_uses_a_new_key(calm, news, provider):
    provider.says = [(422, {})]
    news.signed_up()
    news.paid()
    calm.settle(trouble=True)
    assert push().state == "failed"
    assert push().reason.startswith("It cannot be delivered: 422")
    assert DeadLetter.objects.count() == 1

    send_again(push().id)
    calm.settle(trouble=True)
    assert push().state == "sent"
    assert len({body["key"] for body in provider.asked}) == 2


def test_a_provider_that_is_away_gets_the_message_when_it_is_back(calm, news, provider, settings):
    there = settings.NOTIFICATIONS
    settings.NOTIFICATIONS = there | {"PUSH_URL": "http://127.0.0.1:9/"}
    news.signed_up()
    news.paid()
    calm.settle(trouble=True)
    assert push().state == "queued"

    settings.NOTIFICATIONS = there
    calm.later(minutes=1)
    assert (push().state, len(provider.delivered)) == ("sent", 1)


class Killed(BaseException):
    """What SIGKILL would do, as far as one process can play it."""


def test_a_worker_killed_after_the_provider_took_it_asks_again_and_it_arrives_once(
    calm, news, provider, monkeypatch
):
    def die(*_: object, **__: object) -> None:
        raise Killed

    news.signed_up()
    calm.settle()
    Contact.objects.update(mail=False)
    news.paid()
    with monkeypatch.context() as trouble, pytest.raises(Killed):
        trouble.setattr(Message, "went", die)
        calm.settle()
    assert push().state == "sending"

    clock.offset += dt.timedelta(minutes=10)
    events = Event.objects.filter(
        name="notifications.MessageWritten", aggregate__endswith=push().id
    )
    for _ in range(2):
        deliver(0, "notifications.send_message", [to_cloudevent(events.get().envelope())])

    assert (len(provider.asked), len(provider.delivered)) == (2, 1)
    assert push().state == "sent"


def test_the_fake_writes_a_line_for_each_key_once(tmp_path):
    fake = FakeProvider(tmp_path / "sms.log")
    for key in ("a1", "b2", "a1"):
        fake.send(Outgoing(key=key, to="+62811", subject="", text="halo"))

    lines = (tmp_path / "sms.log").read_text().splitlines()
    assert [json.loads(line)["key"] for line in lines] == ["a1", "b2"]
