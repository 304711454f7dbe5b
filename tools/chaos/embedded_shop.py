"""The shop in one process, with customers as a thread of it, so that a kill hits both.

`python -m tools.chaos.embedded_shop FOLDER NUMBER` serves on PORT.
"""

import os
import sys
import threading
from pathlib import Path

from tools.chaos import traffic


def main(folder: str, number: str) -> None:
    """Serve until SIGTERM."""
    import django

    django.setup()
    from django.core.management import call_command

    customers = (Path(folder), number, threading.Event())
    threading.Thread(target=traffic.buy, args=customers, name="traffic", daemon=True).start()
    call_command("runshop", port=int(os.environ["PORT"]))


if __name__ == "__main__":
    main(*sys.argv[1:])
