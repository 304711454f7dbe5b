"""One part of the run in a process of its own, as Django reads its settings once.

Rows go to standard output as JSON lines, progress to standard error.
"""

import json
import sys
from collections.abc import Iterator
from dataclasses import asdict
from importlib import import_module
from pathlib import Path

import django

from tools.bench.plan import Plan
from tools.bench.report import Row
from tools.bench.run import Run


def main(on: str, folder: str, plan: str) -> None:
    """Measure, and print each row when it is known."""
    django.setup()
    for row in _rows(on, Path(folder), Plan.load(plan)):
        print(json.dumps(asdict(row)), flush=True)


def _rows(on: str, folder: Path, plan: Plan) -> Iterator[Row]:
    module = import_module("tools.bench.embedded" if on == "SQLite" else "tools.bench.measure")
    rows: Iterator[Row] = module.rows(Run(plan, on, folder, _print))
    return rows


def _print(words: str) -> None:
    print(f"  {words}", file=sys.stderr, flush=True)


if __name__ == "__main__":
    main(*sys.argv[1:])
