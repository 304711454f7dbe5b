"""Work in threads side by side, each with a database connection of its own."""

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor

from django.db import connection


def side_by_side(*functions: Callable[[], object]) -> None:
    """Run the functions at once, and raise the first error of any."""

    def run(function: Callable[[], object]) -> None:
        try:
            function()
        finally:
            connection.close()

    with ThreadPoolExecutor(len(functions)) as threads:
        for done in [threads.submit(run, function) for function in functions]:
            done.result(timeout=60)
