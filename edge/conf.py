"""The settings of the edge."""

import re
from datetime import timedelta
from typing import Any

from environs import ValidationError

from infra.app_settings import AppSettings, Setting, text, url
from infra.environment import Environment, words
from infra.runtime_settings import fields


def _rate(default: str, of: str) -> Setting[str]:
    help_text = f"Most requests {of}, like 30/min; empty: no limit."
    return Setting(default, field=fields.rate(), runtime=help_text)


class LimitsSettings(AppSettings):
    """Rate limits by name; one variable, LIMITS, gives those that differ."""

    ip = _rate("1200/min", "from one address")  # many people may share an address
    user = _rate("300/min", "of one user")
    login = _rate("10/min", "to log in, from one address")
    signup = _rate("20/hour", "to sign up, from one address")
    checkout = _rate("30/min", "to place an order, of one user")
    payment = _rate("30/min", "to pay, of one user")

    def read(self, env: Environment) -> dict[str, Any]:
        """Read the variable."""
        default = super().read(env)
        return env.parsed("LIMITS", default, lambda given: default | _rates(given))


class TokenSettings(AppSettings):
    """Access tokens, and the keys that sign them."""

    KEYS_FILE = text("JWT_SIGNING_KEYS_FILE")  # empty: made in VAR_DIR where it is missing
    JWKS_URL = url("JWKS_URL")  # of the public keys, where accounts is another deployment
    ISSUER = text("JWT_ISSUER", "kabar")
    AUDIENCE = text("JWT_AUDIENCE", "kabar")
    ACCESS_LIFETIME = Setting(timedelta(minutes=5))


def _rates(variable: str) -> dict[str, str]:
    rates = dict(part.partition("=")[::2] for part in words(variable))
    names = {setting.key for setting in LimitsSettings.declared()}
    for name, rate in rates.items():
        if name not in names or not re.fullmatch(fields.RATE, rate):
            raise ValidationError(f"says {name}={rate}; has to be like user=30/min")
    return rates


limits = LimitsSettings("LIMITS")
tokens = TokenSettings("JWT")
