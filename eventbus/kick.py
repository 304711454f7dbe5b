"""Wake the relay of this process after a commit. A kick may be lost: polling finds it anyway."""

import threading

woken = threading.Event()


def relay() -> None:
    """Say that there is something to do."""
    woken.set()


def wait(seconds: float) -> None:
    """Sleep until kicked, or for so long at the most."""
    woken.wait(seconds)
    woken.clear()
