"""Secrets that a machine makes for itself: nothing secret has a default in the repository."""

import os
from collections.abc import Callable
from pathlib import Path
from tempfile import NamedTemporaryFile


def create_once(path: Path, make: Callable[[], str]) -> str:
    """Return what is in a file, made now where there is none; only its owner may read it."""
    if not path.exists():
        made = _beside(path, make())
        try:
            os.link(made, path)  # whole or not at all, and by only one of those who race
        except FileExistsError:
            pass
        finally:
            made.unlink()
    return path.read_text()


def replace(path: Path, text: str) -> None:
    """Write a file anew; who reads it meanwhile finds the old or the new one, whole."""
    _beside(path, text).replace(path)


def _beside(path: Path, text: str) -> Path:
    with NamedTemporaryFile("w", dir=path.parent, prefix=f".{path.name}.", delete=False) as file:
        file.write(text)  # mode 600
    return Path(file.name)
