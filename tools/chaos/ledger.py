"""What was acknowledged to whom: what it says must be found afterwards."""

import os
from pathlib import Path


class Ledger:
    """What was acknowledged, line by line, each on disk before the next thing is done."""

    def __init__(self, file: Path) -> None:
        self._file = os.open(file, os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o644)

    def note(self, what: str, id: object) -> None:
        """Keep a promise for ever."""
        os.write(self._file, f"{what} {id}\n".encode())
        os.fsync(self._file)


def read(folder: Path) -> list[tuple[str, str]]:
    """Return what was acknowledged; a line cut short by a kill was not."""
    lines: list[tuple[str, str]] = []
    for file in sorted(folder.glob("acknowledged-*")):
        whole = file.read_text().rpartition("\n")[0]
        for line in whole.splitlines():
            what, _, id = line.partition(" ")
            lines.append((what, id))
    return lines
