"""Adapters of the bank and of the fraud service, each behind its circuit breaker."""

from collections.abc import Mapping
from functools import cache

from infra.circuit_breaker import CircuitBreaker, guarded
from payments.conf import conf
from payments.errors import CardDeclined, NoSuchProvider
from payments.gateway import stripe_webhooks, webhooks
from payments.gateway.fakes import FakeBank, FakeFraudService
from payments.gateway.http import HttpBank, HttpFraudService
from payments.gateway.in_memory import InMemoryBank
from payments.gateway.port import Bank, Charge, FraudService, Verdict
from payments.gateway.stripe import StripeBank
from payments.gateway.webhooks import Hint

__all__ = [
    "Bank",
    "Charge",
    "FraudService",
    "Hint",
    "Verdict",
    "bank",
    "fraud_service",
    "in_memory_bank",
    "read_webhook",
]

BANK_BREAKER = CircuitBreaker("bank", ignore=(CardDeclined,))
FRAUD_BREAKER = CircuitBreaker("fraud")

# The bank of this process, where BANK_URL is not set; tests replace it.
in_memory_bank = InMemoryBank()


def bank() -> Bank:
    """Return Stripe, the bank at BANK_URL, or the fake one."""
    return guarded(_bank(), BANK_BREAKER)


def _bank() -> Bank:
    if conf.BANK == "stripe":
        return _stripe_bank(conf.STRIPE_API_KEY, conf.STRIPE_API_BASE, conf.BANK_TIMEOUT)
    url = conf.BANK_URL
    return _http_bank(url, conf.BANK_TIMEOUT) if url else FakeBank(in_memory_bank)


def fraud_service() -> FraudService:
    """Return the fraud service at FRAUD_URL, or the fake one."""
    return guarded(_fraud_service(), FRAUD_BREAKER)


def _fraud_service() -> FraudService:
    url = conf.FRAUD_URL
    return _http_fraud(url, conf.FRAUD_TIMEOUT) if url else FakeFraudService(in_memory_bank)


def read_webhook(provider: str, raw: bytes, headers: Mapping[str, str]) -> Hint:
    """Check the signature of a webhook, and return its content.

    Raises NoSuchProvider if no secret is set for the provider, and BadWebhook.
    """
    secrets = conf.WEBHOOK_SECRETS.get(provider)
    if not secrets:
        raise NoSuchProvider
    read = stripe_webhooks.read if provider == "stripe" else webhooks.read
    return read(raw, headers, secrets)


# An adapter keeps its connections, so each is created once.
@cache
def _stripe_bank(api_key: str, address: str, timeout: float) -> StripeBank:
    return StripeBank(api_key, address, timeout)


@cache
def _http_bank(url: str, timeout: float) -> HttpBank:
    return HttpBank(url, timeout)


@cache
def _http_fraud(url: str, timeout: float) -> HttpFraudService:
    return HttpFraudService(url, timeout)
