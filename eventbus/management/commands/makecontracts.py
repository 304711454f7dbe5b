from typing import Any

from django.core.management.base import BaseCommand, CommandError, CommandParser

from eventbus.errors import ContractShrank
from eventbus.events import event_types
from eventbus.publishing import contracts


class Command(BaseCommand):
    help = "Write the JSON Schema of every event beside the context that publishes it."
    requires_system_checks = []  # it fixes the errors that the checks report

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("--check", action="store_true", help="only fail if one is out of date")

    def handle(self, *args: Any, **options: Any) -> None:
        unchecked = contracts.without_code()
        if unchecked:
            self.stderr.write(
                f"Not checked, as no code here publishes them: {', '.join(unchecked)}."
            )
        if options["check"]:
            stale = contracts.stale()
            if stale:
                raise CommandError(f"Out of date: {', '.join(stale)}. Run manage.py makecontracts.")
            return
        try:
            names = contracts.lock()
        except ContractShrank as error:
            raise CommandError(str(error)) from error
        for name in names:
            self.stdout.write(f"Wrote the contract of {name}.")
        if not names:
            count = len(event_types)
            self.stdout.write(f"The contracts of all {count} events of this code are up to date.")
