"""A bank and a fraud service over HTTP: amounts as decimal strings, the key as Idempotency-Key."""

from decimal import Decimal
from typing import Any

import httpx

from payments.errors import NoClearAnswer, NotReached
from payments.gateway.port import Charge, Verdict
from payments.gateway.protocol import (
    BANK,
    FRAUD_SERVICE,
    parse_charge,
    parse_reference,
    parse_verdict,
)

RETRY_AFTER = 1.0  # seconds
NEVER_SENT = (httpx.ConnectError, httpx.ConnectTimeout, httpx.PoolTimeout)


class HttpBank:
    """A bank at an address; `timeout` seconds for each of connecting, sending and reading."""

    def __init__(self, url: str, timeout: float) -> None:
        self._client = httpx.Client(base_url=url, timeout=timeout)

    def capture(self, key: str, amount: Decimal, currency: str, card: str) -> str:
        body = {"amount": str(amount), "currency": currency, "card": card}
        return parse_reference(*_post(self._client, BANK, "/captures", key, body))

    def refund(self, key: str, reference: str, amount: Decimal, currency: str) -> str:
        body = {"capture": reference, "amount": str(amount), "currency": currency}
        return parse_reference(*_post(self._client, BANK, "/refunds", key, body))

    def charge_of(self, key: str, reference: str = "") -> Charge | None:
        return parse_charge(*_send(self._client, BANK, "GET", f"/captures/{key}"))


class HttpFraudService:
    """A fraud service at an address; `timeout` as of the bank."""

    def __init__(self, url: str, timeout: float) -> None:
        self._client = httpx.Client(base_url=url, timeout=timeout)

    def assess(self, key: str, amount: Decimal, currency: str, card: str, country: str) -> Verdict:
        body = {"amount": str(amount), "currency": currency, "card": card, "country": country}
        return parse_verdict(*_post(self._client, FRAUD_SERVICE, "/assessments", key, body))


def _post(
    client: httpx.Client, service: str, path: str, key: str, body: dict[str, str]
) -> tuple[int, Any]:
    return _send(client, service, "POST", path, json=body, headers={"Idempotency-Key": key})


def _send(
    client: httpx.Client, service: str, method: str, path: str, **request: Any
) -> tuple[int, Any]:
    try:
        response = client.request(method, path, **request)
    except NEVER_SENT as error:
        raise NotReached(reason=service, seconds=RETRY_AFTER) from error
    except httpx.HTTPError as error:
        raise NoClearAnswer(service=service, problem=type(error).__name__) from error
    try:
        return response.status_code, response.json()
    except ValueError:
        return response.status_code, None
