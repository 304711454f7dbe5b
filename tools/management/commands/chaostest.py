"""Kills, freezes, empties and restarts parts of a scratch shop, and checks for lost events."""

import json
import shutil
import tempfile
from pathlib import Path
from typing import Any

from django.core.management.base import BaseCommand, CommandError, CommandParser

from tools.chaos.plan import FAULTS, deck
from tools.chaos.runner import ChaosTest
from tools.devserver.server import NoServers, ServerDied


class Command(BaseCommand):
    help = (
        "Run the shop on a scratch database and broker, kill, freeze, empty and restart parts by a "
        "seeded plan while customers buy, and check afterwards that nothing is lost or duplicated."
    )
    requires_system_checks = []

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("--cycles", type=int, default=20, help="number of faults")
        parser.add_argument("--seed", type=int, default=1, help="the same seed, the same plan")
        parser.add_argument(
            "--only", action="append", default=[], metavar="FAULT", help=", ".join(FAULTS)
        )
        parser.add_argument("--faults", default="", help="names of faults, by commas; as --only")
        parser.add_argument(
            "--default-timeouts", action="store_true", help="those of the product, not short ones"
        )
        parser.add_argument(
            "--mode", choices=["stack", "embedded"], default="stack", help="embedded: one process"
        )
        parser.add_argument(
            "--broker", choices=["valkey", "rabbitmq"], default="valkey", help="of a stack"
        )
        parser.add_argument(
            "--database",
            choices=["sqlite", "postgresql"],
            default="sqlite",
            help="of one process; a stack is on PostgreSQL",
        )
        parser.add_argument("--keep", action="store_true", help="keep logs and database")
        parser.add_argument("--json", metavar="FILE", help="write the report to a file, too")

    def handle(self, *args: Any, **options: Any) -> None:
        only = [*options["only"], *filter(None, options["faults"].split(","))]
        embedded = options["mode"] == "embedded"
        setup = options["database"] if embedded else options["broker"]
        known = deck(setup)
        if unknown := sorted(set(only) - set(known)):
            names = ", ".join(dict.fromkeys(known))
            raise CommandError(f"No such fault here: {', '.join(unknown)}. Known: {names}.")
        folder = Path(tempfile.mkdtemp(prefix="kabar-chaos-"))
        plan = (options["seed"], options["cycles"], setup)
        test = ChaosTest(*plan, folder, self._print, only, options["default_timeouts"])
        keep = True
        try:
            report = test.run()
            keep = options["keep"] or not report.passed
        except (NoServers, ServerDied) as error:
            raise CommandError(str(error)) from error
        finally:
            test.close(keep=keep)
            if keep:
                self._print(f"Logs and data are kept in {folder}")
            else:
                shutil.rmtree(folder, ignore_errors=True)
        for line in report.lines():
            self._print(line)
        if options["json"]:
            Path(options["json"]).write_text(json.dumps(report.json(), indent=2))
        if not report.passed:
            again = f"--seed {test.seed} --cycles {test.cycles} "
            again += f"--mode embedded --database {setup}" if embedded else f"--broker {setup}"
            again += " --default-timeouts" * test.default_timeouts
            again += "".join(f' --only "{fault}"' for fault in only)
            raise CommandError(f"Checks failed. The same plan again: manage.py chaostest {again}")
        self._print("All checks passed.")

    def _print(self, line: str) -> None:
        self.stdout.write(line)
        self.stdout.flush()
