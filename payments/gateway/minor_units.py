"""Amounts in Stripe's minor units (docs.stripe.com/currencies).

Its table differs from ISO 4217: MGA has no decimals there, and ISK is written with two.
"""

from decimal import Decimal

from payments.errors import CardDeclined

_NONE = {"BIF", "CLP", "DJF", "GNF", "JPY", "KMF", "KRW", "MGA", "PYG", "RWF", "VND", "VUV"}
_NONE |= {"XAF", "XOF", "XPF"}
_THREE = {"BHD", "JOD", "KWD", "OMR", "TND"}
# An amount has to be a multiple of this.
_STEPS = dict.fromkeys(_THREE, 10) | {"ISK": 100}
# Two of its pages contradict each other by a factor of a hundred.
_AMBIGUOUS = {"UGX"}


def in_minor(amount: Decimal, currency: str) -> int:
    """Return 2000 for 20.00 EUR. Raises CardDeclined if the amount has no exact value."""
    minor = amount.scaleb(_places(currency))
    if currency in _AMBIGUOUS or minor % _STEPS.get(currency, 1):
        raise CardDeclined(reason=f"{amount} {currency} cannot be paid by card.")
    return int(minor)


def from_minor(minor: int, currency: str) -> Decimal:
    """Return 20.00 for 2000 of EUR."""
    return Decimal(minor).scaleb(-_places(currency))


def _places(currency: str) -> int:
    return 0 if currency in _NONE else 3 if currency in _THREE else 2
