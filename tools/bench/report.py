"""The table: what was measured, beside what, and whether the target was reached."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass


@dataclass(frozen=True, kw_only=True)
class Row:
    """One measurement. `target` bounds the ratio: from above where `at_most`, else from below."""

    name: str  # what --only takes
    what: str
    on: str
    ours: str
    beside: str
    ratio: float | None = None
    target: float | None = None
    at_most: bool = False
    note: str = ""

    @property
    def wanted(self) -> str:
        """The target in words; empty for a row that is only for orientation."""
        if self.target is None:
            return ""
        return f"{'≤' if self.at_most else '≥'} {self.target:g}"

    @property
    def verdict(self) -> str:
        """Say `reached` or `missed`; `unknown` where nothing could be measured."""
        if self.target is None:
            return ""
        if self.ratio is None:
            return "unknown"
        reached = self.ratio <= self.target if self.at_most else self.ratio >= self.target
        return "reached" if reached else "missed"


HEAD = ("what", "on", "this bus", "beside it", "ratio", "to reach", "")


def table(rows: Sequence[Row]) -> str:
    """Return the rows as Markdown that can also be read as plain text."""
    cells = [HEAD, *(_cells(row) for row in rows)]
    widths = [max(len(line[at]) for line in cells) for at in range(len(HEAD))]
    lines = [
        "| " + " | ".join(c.ljust(w) for c, w in zip(line, widths, strict=True)) + " |"
        for line in cells
    ]
    rule = "|" + "|".join("-" * (width + 2) for width in widths) + "|"
    return "\n".join([lines[0], rule, *lines[1:], *_notes(rows)])


def _cells(row: Row) -> tuple[str, ...]:
    ratio = "" if row.ratio is None else f"{row.ratio:.2f}"
    return (row.what, row.on, row.ours, row.beside, ratio, row.wanted, row.verdict)


def _notes(rows: Sequence[Row]) -> Iterator[str]:
    for row in rows:
        if row.note:
            yield f"- {row.what}, {row.on}: {row.note}"
