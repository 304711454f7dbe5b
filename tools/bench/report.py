"""The table of results, with targets and verdicts."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass


@dataclass(frozen=True, kw_only=True)
class Row:
    """One measurement. `target` bounds the ratio: from above where `at_most`, else from below."""

    name: str  # the value of --only
    what: str
    on: str
    ours: str
    beside: str
    ratio: float | None = None
    target: float | None = None
    at_most: bool = False
    note: str = ""

    @property
    def target_text(self) -> str:
        """The target as text; empty for a row without one."""
        if self.target is None:
            return ""
        return f"{'≤' if self.at_most else '≥'} {self.target:g}"

    @property
    def verdict(self) -> str:
        """`reached` or `missed`; `unknown` without a measurement."""
        if self.target is None:
            return ""
        if self.ratio is None:
            return "unknown"
        reached = self.ratio <= self.target if self.at_most else self.ratio >= self.target
        return "reached" if reached else "missed"


HEAD = ("measurement", "on", "this bus", "compared with", "ratio", "target", "")


def table(rows: Sequence[Row]) -> str:
    """Return the rows as a Markdown table."""
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
    return (row.what, row.on, row.ours, row.beside, ratio, row.target_text, row.verdict)


def _notes(rows: Sequence[Row]) -> Iterator[str]:
    for row in rows:
        if row.note:
            yield f"- {row.what}, {row.on}: {row.note}"
