"""What a form takes for each kind of live setting: nonsense is refused where it is typed."""

from datetime import timedelta
from typing import Any

from django.core.validators import MinValueValidator, RegexValidator

RATE = r"([1-9]\d*/(s|min|hour|day))?"
WIDGETS = "unfold.widgets.UnfoldAdmin"


def form_fields() -> dict[str, Any]:
    """Return CONSTANCE_ADDITIONAL_FIELDS."""
    number = {"widget": f"{WIDGETS}DecimalFieldWidget"}
    return {
        "flag": [
            "django.forms.BooleanField",
            {"widget": "unfold.widgets.UnfoldBooleanSwitchWidget", "required": False},
        ],
        "span": [
            "django.forms.DurationField",
            {
                "widget": f"{WIDGETS}TextInputWidget",
                "validators": [MinValueValidator(timedelta(seconds=1))],
            },
        ],
        "seconds": ["django.forms.FloatField", {**number, "min_value": 0.1}],
        "count": ["django.forms.IntegerField", {**number, "min_value": 0}],
        "money": ["django.forms.DecimalField", {**number, "min_value": 0}],
        "rate": [
            "django.forms.CharField",
            {
                "widget": f"{WIDGETS}TextInputWidget",
                "required": False,
                "validators": [RegexValidator(f"^{RATE}$", "Like 30/min, or empty.")],
            },
        ],
        "fraud_away": [
            "django.forms.ChoiceField",
            {
                "widget": f"{WIDGETS}SelectWidget",
                "choices": [(word, word) for word in ("refuse", "hold", "allow")],
            },
        ],
    }
