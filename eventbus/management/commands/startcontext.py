"""A new context from the events that it subscribes to."""

import keyword
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from django.apps import apps
from django.conf import settings
from django.core.management.base import BaseCommand, CommandError, CommandParser

from eventbus.management import scaffold
from eventbus.publishing import contracts
from eventbus.publishing.spelling import nearest

NEXT = """
The names are a start: rename the consumers, and drop the fields that you do not need. Next:
{install}
  {run} .venv/bin/python -m pytest {test}
  {run} .venv/bin/python manage.py check
  {run} make run
"""


class Command(BaseCommand):
    help = "Write a context with models, a migration, services, consumers, an admin and a test."
    requires_system_checks = []

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("name", help="name of the Python package, like loyalty")
        parser.add_argument(
            "--hears",
            metavar="EVENT",
            action="append",
            required=True,
            help="an event to subscribe to, like orders.OrderPaid; may be repeated",
        )
        parser.add_argument(
            "--into",
            metavar="FOLDER",
            type=Path,
            default=Path(settings.BASE_DIR),
            help="parent folder of the package and its tests; default: that of manage.py",
        )
        parser.add_argument("--dry-run", action="store_true", help="print the paths, write nothing")

    def handle(self, *args: Any, **options: Any) -> None:
        name, folder = options["name"], options["into"].resolve()
        self._refuse_name(name, folder)
        promised = contracts.published()
        for event in options["hears"]:
            self._refuse_event(event, promised)
        events, parts = scaffold.read(dict.fromkeys(options["hears"]), promised)
        for path, text in scaffold.files(name, events, parts).items():
            self.stdout.write(f"{path}  {len(text.splitlines())} lines")
            if options["dry_run"]:
                continue
            file = folder / path
            file.parent.mkdir(parents=True, exist_ok=True)
            file.write_text(text)
        if options["dry_run"]:
            self.stdout.write("Dry run: nothing was written.")
            return
        (folder / name / "migrations" / "__init__.py").touch()
        self._print_next(name, folder)

    def _refuse_name(self, name: str, folder: Path) -> None:
        if not name.isidentifier() or keyword.iskeyword(name) or name != name.lower():
            raise CommandError(
                f"'{name}' cannot be the name of a context: Python imports it by this name. "
                "Use a-z, 0-9 and _, like loyalty."
            )
        for path in (folder / name, folder / "tests" / name):
            if path.exists():
                raise CommandError(f"{path} exists. Choose another name, or move it first.")
        if find_spec(name) or name in {config.label for config in apps.get_app_configs()}:
            raise CommandError(f"Python has a package {name} already. Choose another name.")

    def _refuse_event(self, event: str, promised: dict[str, scaffold.Schema]) -> None:
        if event not in promised:
            meant = nearest(event, promised)
            hint = f"Did you mean {meant}?" if meant else "docs/event-map.md lists all events."
            raise CommandError(f"No context publishes {event}. {hint}")
        if addressee := promised[event].get("x-only-for"):
            raise CommandError(
                f"{event} is for one consumer in {addressee}. "
                "Subscribe to another event: docs/event-map.md lists them with their consumers."
            )

    def _print_next(self, name: str, folder: Path) -> None:
        run, test = f"EXTRA_CONTEXTS={name}", f"tests/{name}"
        if folder != Path(settings.BASE_DIR):
            run, test = f"{run} PYTHONPATH={folder}", f"-c pyproject.toml {folder}/{test}"
        install = (
            ""
            if find_spec("pytest")
            else "\n  make install    # once: pytest, linter, type checker"
        )
        self.stdout.write(NEXT.format(run=run, test=test, install=install))
