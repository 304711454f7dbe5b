"""Writes that were acknowledged to customers: each must be in the database afterwards."""

import os
from pathlib import Path


class AcknowledgementLog:
    """A file of acknowledged writes, a line each, synced to disk before the next write."""

    def __init__(self, file: Path) -> None:
        self._file = os.open(file, os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o644)

    def record(self, kind: str, id: object) -> None:
        """Append a line."""
        os.write(self._file, f"{kind} {id}\n".encode())
        os.fsync(self._file)


def read(folder: Path) -> list[tuple[str, str]]:
    """Return kinds and ids of all logs; a last line without its end does not count."""
    lines: list[tuple[str, str]] = []
    for file in sorted(folder.glob("acknowledged-*")):
        complete = file.read_text().rpartition("\n")[0]
        for line in complete.splitlines():
            kind, _, id = line.partition(" ")
            lines.append((kind, id))
    return lines
