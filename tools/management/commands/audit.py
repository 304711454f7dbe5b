"""Compares the books of all contexts."""

from typing import Any

from django.core.management.base import BaseCommand, CommandError, CommandParser

from tools.ops import audit


class Command(BaseCommand):
    help = "Compare stock, money, orders, figures and deliveries with each other; changes nothing."

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("--most", type=int, default=5, help="examples of each violation")

    def handle(self, *args: Any, **options: Any) -> None:
        under_way = audit.under_way()
        if under_way:
            self.stdout.write(
                f"{under_way} messages are under way: contexts may differ until they arrive."
            )
        wrong = 0
        for finding in audit.run():
            word = "wrong" if finding.violations else "unknown" if finding.unknown else "ok"
            self.stdout.write(f"{word:8}{finding.checked:>9}  {finding.claim}")
            for example in finding.violations[: options["most"]]:
                self.stdout.write(f"{'':19}{example}")
            wrong += len(finding.violations)
        if wrong:
            raise CommandError(f"{wrong} violations.")
        self.stdout.write("The books agree.")
