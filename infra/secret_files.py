"""Files of secrets that a machine creates for itself: no secret has a default in the repository."""

import os
from collections.abc import Callable
from pathlib import Path
from tempfile import NamedTemporaryFile


def create_once(path: Path, make: Callable[[], str]) -> str:
    """Return the text of a file; a missing one is created, readable by its owner only."""
    if not path.exists():
        new = _beside(path, make())
        try:
            os.link(new, path)  # atomic: of racing processes one succeeds
        except FileExistsError:
            pass
        finally:
            new.unlink()
    return path.read_text()


def replace(path: Path, text: str) -> None:
    """Replace a file atomically: a reader finds the old text or the new one."""
    _beside(path, text).replace(path)


def _beside(path: Path, text: str) -> Path:
    with NamedTemporaryFile("w", dir=path.parent, prefix=f".{path.name}.", delete=False) as file:
        file.write(text)  # mode 600
    return Path(file.name)
