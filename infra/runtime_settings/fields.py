"""Form fields of runtime settings: a wrong value is refused where it is typed."""

from collections.abc import Sequence
from datetime import timedelta
from typing import Any

from django.core.validators import MinValueValidator, RegexValidator

# As constance takes them: the class of the field, and its arguments.
FormField = tuple[str, dict[str, Any]]

RATE = r"([1-9]\d*/(s|min|hour|day))?"
WIDGETS = "unfold.widgets.UnfoldAdmin"


def boolean() -> FormField:
    """Return a switch."""
    widget = "unfold.widgets.UnfoldBooleanSwitchWidget"
    return "django.forms.BooleanField", {"widget": widget, "required": False}


def integer(least: int) -> FormField:
    """Return a field for a whole number."""
    return "django.forms.IntegerField", _number(least)


def number(least: float) -> FormField:
    """Return a field for a number."""
    return "django.forms.FloatField", _number(least)


def amount() -> FormField:
    """Return a field for an amount of money."""
    return "django.forms.DecimalField", _number(0)


def duration() -> FormField:
    """Return a field for a duration, such as 00:20:00."""
    return "django.forms.DurationField", {
        "widget": f"{WIDGETS}TextInputWidget",
        "validators": [MinValueValidator(timedelta(seconds=1))],
    }


def choice(words: Sequence[str]) -> FormField:
    """Return a list to select one of the words from."""
    return "django.forms.ChoiceField", {
        "widget": f"{WIDGETS}SelectWidget",
        "choices": [(word, word) for word in words],
    }


def rate() -> FormField:
    """Return a field for a rate, such as 30/min."""
    return "django.forms.CharField", {
        "widget": f"{WIDGETS}TextInputWidget",
        "required": False,
        "validators": [RegexValidator(f"^{RATE}$", "Like 30/min, or empty.")],
    }


def text() -> FormField:
    """Return a field for a line of text."""
    return "django.forms.CharField", {"widget": f"{WIDGETS}TextInputWidget", "required": False}


def _number(least: float) -> dict[str, Any]:
    return {"widget": f"{WIDGETS}DecimalFieldWidget", "min_value": least}
