"""Providers of SMS and push messages. With the same key they deliver a message once."""

import json
from dataclasses import asdict, dataclass
from pathlib import Path

import httpx

from notifications.conf import conf
from notifications.errors import ChannelUnavailable, Deferred, Undeliverable
from notifications.gateway.port import Outgoing

RETRY_AFTER = 30.0  # seconds, where the provider names no time
MAX_RETRY_AFTER = 3600.0  # seconds
# These are about the provider or our account; every other 4xx is about the message.
NOT_ABOUT_THE_MESSAGE = {401, 403, 407, 408, 425, 429}


@dataclass(frozen=True)
class HttpProvider:
    """A provider over HTTP: POST of JSON, with the key in the body and as Idempotency-Key."""

    name: str
    url: str

    def send(self, message: Outgoing) -> str:
        try:
            response = httpx.post(
                self.url,
                json={"to": message.to, "text": message.text, "key": message.key},
                headers={"Idempotency-Key": message.key},
                timeout=conf.PROVIDER_TIMEOUT,
            )
        except (httpx.HTTPError, httpx.InvalidURL) as error:
            raise ChannelUnavailable(
                channel=self.name, seconds=RETRY_AFTER, reason=error
            ) from error
        return self._outcome(response)

    def _outcome(self, response: httpx.Response) -> str:
        status, seconds = response.status_code, _retry_after(response)
        reason = f"{status} {response.text[:200]}"
        if response.is_success:
            return _reference(response)
        if status == 429:
            raise Deferred(channel=self.name, seconds=seconds, reason=reason)
        if response.is_client_error and status not in NOT_ABOUT_THE_MESSAGE:
            raise Undeliverable(reason=reason)
        raise ChannelUnavailable(channel=self.name, seconds=seconds, reason=reason)


def _retry_after(response: httpx.Response) -> float:
    seconds = response.headers.get("Retry-After", "")
    return min(float(seconds), MAX_RETRY_AFTER) if seconds.isdecimal() else RETRY_AFTER


def _reference(response: httpx.Response) -> str:
    try:
        return str(response.json()["id"])[:200]
    except (ValueError, KeyError, TypeError):
        return ""


@dataclass(frozen=True)
class FakeProvider:
    """A provider that appends each message to a file, as a line of JSON."""

    path: Path

    def send(self, message: Outgoing) -> str:
        with self.path.open("a+b") as log:
            log.seek(max(0, log.tell() - 65_536))  # only the latest keys are remembered
            if message.key.encode() not in log.read():
                log.write(json.dumps(asdict(message)).encode() + b"\n")
        return message.key
