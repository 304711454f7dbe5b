"""The text of a message: its template in the contact's language, with money and times formatted."""

from decimal import Decimal
from functools import partial
from typing import Any

from django.conf import settings
from django.template import Context
from django.template.loader import get_template
from django.utils import translation
from django.utils.dateparse import parse_datetime
from django.utils.formats import number_format

WITHOUT_CENTS = {"IDR", "JPY", "KRW", "VND"}


def rendered(kind: str, language: str, values: dict[str, Any]) -> str:
    """Return the text of a message; English where there is no translation."""
    known = language if language in dict(settings.LANGUAGES) else "en"
    template: Any = get_template(f"notifications/{kind}.{known}.txt")
    with translation.override(known):
        # Plain text: escaping for HTML would spoil names.
        context = Context(_formatted(values), autoescape=False)
        return str(template.template.render(context))


def _formatted(values: dict[str, Any]) -> dict[str, Any]:
    # Each text becomes one line, so that a name with a line break makes no mail header.
    data = {k: " ".join(v.split()) if isinstance(v, str) else v for k, v in values.items()}
    money = partial(_money, currency=values.get("currency", ""))
    if "total" in data:
        data["total"] = money(Decimal(data["total"]))
    for name in {"at", "until"} & set(data):
        data[name] = parse_datetime(data[name])
    data["lines"] = [
        {
            **line,
            "unit_price": money(Decimal(line["unit_price"])),
            "amount": money(line["quantity"] * Decimal(line["unit_price"])),
        }
        for line in values.get("lines", ())
    ]
    return data


def _money(amount: Decimal, currency: str) -> str:
    digits = 0 if currency in WITHOUT_CENTS and amount == amount.to_integral_value() else 2
    sign = "Rp" if currency == "IDR" else f"{currency} "
    return sign + number_format(amount, digits, force_grouping=True)
