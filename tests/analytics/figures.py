"""Every figure of analytics at once, to compare two states of its tables."""

from typing import Any

from analytics import queries
from analytics.models import OrderFact


def figures() -> list[Any]:
    """Return every figure there is."""
    return [
        *[queries.sales(heading) for heading in queries.GROUPS],
        queries.funnel(),
        queries.sign_ups(),
        queries.refunds(),
        list(OrderFact.objects.order_by("pk").values()),
    ]
