"""Adapters of the bank in memory: a fake bank and a fake fraud service."""

from decimal import Decimal

from payments.errors import NoClearAnswer
from payments.gateway.in_memory import InMemoryBank
from payments.gateway.port import Charge, Verdict
from payments.gateway.protocol import BANK, parse_charge, parse_reference, parse_verdict


class FakeBank:
    """A bank in this process. A slow response is a time-out at once."""

    def __init__(self, bank: InMemoryBank) -> None:
        self._bank = bank

    def capture(self, key: str, amount: Decimal, currency: str, card: str) -> str:
        response = self._bank.capture(key, amount, currency, card)
        if response.slow:
            raise NoClearAnswer(service=BANK, problem="timed out")
        return parse_reference(response.status, response.body)

    def refund(self, key: str, reference: str, amount: Decimal, currency: str) -> str:
        response = self._bank.refund(key, reference, amount, currency)
        return parse_reference(response.status, response.body)

    def charge_of(self, key: str, reference: str = "") -> Charge | None:
        response = self._bank.charge_of(key)
        return parse_charge(response.status, response.body)


class FakeFraudService:
    """A fraud service in this process."""

    def __init__(self, bank: InMemoryBank) -> None:
        self._bank = bank

    def assess(self, key: str, amount: Decimal, currency: str, card: str, country: str) -> Verdict:
        response = self._bank.assess(card)
        return parse_verdict(response.status, response.body)
