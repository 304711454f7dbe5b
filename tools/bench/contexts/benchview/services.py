"""Writes of the read model."""

from collections.abc import Mapping

from benchview.models import Count


def add(sums: Mapping[int, int]) -> None:
    """Add quantities; batches of the consumer run one after the other."""
    known = Count.objects.in_bulk(sums)
    counts = [known.get(pk) or Count(pk=pk) for pk in sorted(sums)]
    for count in counts:
        count.quantity += sums[count.pk]
    Count.objects.bulk_create(
        counts, update_conflicts=True, unique_fields=["id"], update_fields=["quantity"]
    )


def empty() -> None:
    """Empty the read model before a rebuild."""
    Count.objects.all().delete()
