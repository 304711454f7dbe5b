"""Lock what each event promises."""

from typing import Any

from django.core.management.base import BaseCommand, CommandError, CommandParser

from eventbus.errors import ContractShrank
from eventbus.publishing import contracts


class Command(BaseCommand):
    """See `help`."""

    help = "Write the JSON Schema of every event beside the context that publishes it."
    requires_system_checks = []  # it mends what the checks complain about

    def add_arguments(self, parser: CommandParser) -> None:
        """Take --check."""
        parser.add_argument("--check", action="store_true", help="write nothing; fail where stale")

    def handle(self, *args: Any, **options: Any) -> None:
        """Write, or only compare."""
        if options["check"]:
            stale = contracts.stale()
            if stale:
                raise CommandError(f"Run manage.py makecontracts for {', '.join(stale)}.")
            return
        try:
            names = contracts.lock()
        except ContractShrank as problem:
            raise CommandError(str(problem)) from problem
        for name in names:
            self.stdout.write(f"locked {name}")
        if not names:
            self.stdout.write("All contracts are current.")
