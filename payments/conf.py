"""The settings of payments."""

from typing import Any

from infra.app_settings import (
    AppSettings,
    Setting,
    amount,
    choice,
    number,
    seconds,
    text,
    url,
)
from infra.environment import Environment


def _webhook_secrets(env: Environment) -> dict[str, list[str]]:
    return {
        "bank": _not_empty(env.list("BANK_WEBHOOK_SECRET")),
        "stripe": _not_empty(env.list("STRIPE_WEBHOOK_SECRET")),
    }


def _not_empty(secrets: list[str]) -> list[str]:
    # With an empty secret, as after a last comma, anyone could sign.
    stripped = [secret.strip() for secret in secrets]
    return [secret for secret in stripped if secret.removeprefix("whsec_")]


class PaymentsSettings(AppSettings):
    """The bank, the fraud service, and how long each may take."""

    # A misspelt bank must not become the fake one, which takes no money.
    BANK = choice("BANK", "", ["stripe"])  # empty: the bank at BANK_URL
    BANK_URL = url("BANK_URL")  # empty: the fake bank in this process
    BANK_TIMEOUT = number(
        "BANK_TIMEOUT",
        5.0,
        least=0.1,
        runtime="Seconds until a call to the bank counts as unanswered.",
    )
    BANK_ASK_AFTER = number("BANK_ASK_AFTER", 2.0, least=0.1)
    BANK_UNDER_WAY = number("BANK_UNDER_WAY", 600.0)
    STRIPE_API_KEY = text("STRIPE_API_KEY")
    STRIPE_API_BASE = url("STRIPE_API_BASE", "https://api.stripe.com")
    WEBHOOK_SECRETS: Setting[dict[str, list[str]]] = Setting({}, _webhook_secrets)
    FRAUD_URL = url("FRAUD_URL")
    FRAUD_TIMEOUT = number(
        "FRAUD_TIMEOUT",
        2.0,
        least=0.1,
        runtime="Seconds until the fraud service counts as unavailable.",
    )
    FRAUD_AWAY = choice(
        "FRAUD_AWAY",
        "hold",
        ["refuse", "hold", "allow"],
        runtime="What happens to payments while the fraud service is unavailable.",
    )
    FRAUD_ALLOW_BELOW = amount(
        "FRAUD_ALLOW_BELOW",
        "50.00",
        runtime="With FRAUD_AWAY allow: payments below this amount need no fraud check.",
    )
    PIN_TIMEOUT = seconds(
        "PIN_TIMEOUT_SECONDS",
        60,
        runtime="How long inventory may take to confirm that the goods stay reserved.",
    )

    def read(self, env: Environment) -> dict[str, Any]:
        """Read all; the fraud service is the bank's, unless it has an address of its own."""
        given = super().read(env)
        given["STRIPE_API_KEY"] = given["STRIPE_API_KEY"].strip()
        given["FRAUD_URL"] = given["FRAUD_URL"] or given["BANK_URL"]
        if given["BANK"] and not given["STRIPE_API_KEY"]:
            env.problems.append(
                "BANK is stripe, which needs STRIPE_API_KEY. Give it, or leave BANK out."
            )
        return given


conf = PaymentsSettings("PAYMENTS")
