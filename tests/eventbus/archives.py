"""Archives a log, restores it, and reads its rows."""

from pathlib import Path
from typing import Any

from eventbus.models import Event
from eventbus.operations import retention

ME = "operator:1"


def rows(*tables: Any) -> list[dict[str, Any]]:
    """Return all rows of the tables."""
    return [row for table in tables for row in table.objects.order_by("pk").values()]


def archive(folder: Path, days: int = 40) -> int:
    return retention.archive(retention.cutoff(days), folder, ME)


def restore_all(folder: Path) -> int:
    return sum(retention.restore(file, ME) for file in sorted(folder.iterdir()))


def skus() -> list[str]:
    return sorted(Event.objects.values_list("payload__sku", flat=True))
