"""The real ones, over HTTP: amounts as decimal strings, the key as Idempotency-Key."""

from decimal import Decimal
from typing import Any

import httpx

from payments.errors import NoClearAnswer, NotReached
from payments.gateway.port import Charge, Verdict, charge_in, reference_in, verdict_in

PAUSE = 1.0  # seconds until somebody who could not be reached is tried again
NEVER_SENT = (httpx.ConnectError, httpx.ConnectTimeout, httpx.PoolTimeout)


class HttpBank:
    """A bank at an address; `timeout` seconds for each of connecting, sending and reading."""

    def __init__(self, url: str, timeout: float) -> None:
        self._client = httpx.Client(base_url=url, timeout=timeout)

    def capture(self, key: str, amount: Decimal, currency: str, card: str) -> str:
        """See the port."""
        body = {"amount": str(amount), "currency": currency, "card": card}
        return reference_in(*_post(self._client, "The bank", "/captures", key, body))

    def refund(self, key: str, reference: str, amount: Decimal, currency: str) -> str:
        """See the port."""
        body = {"capture": reference, "amount": str(amount), "currency": currency}
        return reference_in(*_post(self._client, "The bank", "/refunds", key, body))

    def charge_of(self, key: str, reference: str = "") -> Charge | None:
        """See the port; the key is enough."""
        return charge_in(*_send(self._client, "The bank", "GET", f"/captures/{key}"))


class HttpFraudDesk:
    """A fraud service at an address."""

    def __init__(self, url: str, timeout: float) -> None:
        self._client = httpx.Client(base_url=url, timeout=timeout)

    def assess(self, key: str, amount: Decimal, currency: str, card: str, country: str) -> Verdict:
        """See the port."""
        body = {"amount": str(amount), "currency": currency, "card": card, "country": country}
        return verdict_in(*_post(self._client, "The fraud service", "/assessments", key, body))


def _post(
    client: httpx.Client, who: str, path: str, key: str, body: dict[str, str]
) -> tuple[int, Any]:
    return _send(client, who, "POST", path, json=body, headers={"Idempotency-Key": key})


def _send(
    client: httpx.Client, who: str, method: str, path: str, **request: Any
) -> tuple[int, Any]:
    try:
        response = client.request(method, path, **request)
    except NEVER_SENT as error:
        raise NotReached(reason=who, seconds=PAUSE) from error
    except httpx.HTTPError as error:
        raise NoClearAnswer(who=who, problem=type(error).__name__) from error
    try:
        return response.status_code, response.json()
    except ValueError:
        return response.status_code, None
