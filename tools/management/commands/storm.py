"""Will the house stand?"""

import json
import shutil
import tempfile
from pathlib import Path
from typing import Any

from django.core.management.base import BaseCommand, CommandError, CommandParser

from tools.chaos.plan import TABLE
from tools.chaos.runner import Storm
from tools.devserver.server import NoServers, ServerDied


class Command(BaseCommand):
    """See `help`."""

    help = (
        "Run the shop on a scratch database and broker, kill, freeze, empty and restart things by "
        "a seeded plan while people buy, and count afterwards: nothing lost, doubled or invented."
    )
    requires_system_checks = []

    def add_arguments(self, parser: CommandParser) -> None:
        """Take --cycles, --seed, --only, --broker, --keep and --json."""
        parser.add_argument("--cycles", type=int, default=20, help="how many strikes")
        parser.add_argument("--seed", type=int, default=1, help="the same seed, the same plan")
        parser.add_argument(
            "--only", action="append", default=[], metavar="STRIKE", help=", ".join(TABLE)
        )
        parser.add_argument("--broker", choices=["valkey", "rabbitmq"], default="valkey")
        parser.add_argument("--keep", action="store_true", help="keep logs and database")
        parser.add_argument("--json", metavar="FILE", help="write the report there, too")

    def handle(self, *args: Any, **options: Any) -> None:
        """Rage, and print; fail where anything is not as it should be."""
        only = options["only"]
        if strange := sorted(set(only) - TABLE.keys()):
            raise CommandError(f"No such strike: {', '.join(strange)}. Known: {', '.join(TABLE)}.")
        folder = Path(tempfile.mkdtemp(prefix="kabar-storm-"))
        plan = (options["seed"], options["cycles"], options["broker"])
        storm = Storm(*plan, folder, self._say, only)
        keep = True
        try:
            report = storm.rage()
            keep = options["keep"] or not report.stood
        except (NoServers, ServerDied) as reason:
            raise CommandError(str(reason)) from reason
        finally:
            if keep:
                self._say(f"Logs and data are kept in {folder}")
            else:
                shutil.rmtree(folder, ignore_errors=True)
        for line in report.lines():
            self._say(line)
        if options["json"]:
            Path(options["json"]).write_text(json.dumps(report.json(), indent=2))
        if not report.stood:
            again = f"--seed {storm.seed} --cycles {storm.cycles} --broker {storm.broker}"
            again += "".join(f' --only "{what}"' for what in only)
            raise CommandError(f"The house did not stand. The same plan again: storm {again}")
        self._say("The house stood.")

    def _say(self, line: str) -> None:
        self.stdout.write(line)
        self.stdout.flush()
