"""What the context does."""

from collections.abc import Mapping

from benchview.models import Count


def add(sums: Mapping[int, int]) -> None:
    """Count more of some shelves. The consumer's batches take turns, so none adds in between."""
    known = Count.objects.in_bulk(sums)
    counts = [known.get(pk) or Count(pk=pk) for pk in sorted(sums)]
    for count in counts:
        count.quantity += sums[count.pk]
    Count.objects.bulk_create(
        counts, update_conflicts=True, unique_fields=["id"], update_fields=["quantity"]
    )


def empty() -> None:
    """Forget everything, to be told again."""
    Count.objects.all().delete()
