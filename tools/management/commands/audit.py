"""Do the books agree?"""

from typing import Any

from django.core.management.base import BaseCommand, CommandError, CommandParser

from tools.ops import audit


class Command(BaseCommand):
    """See `help`."""

    help = "Hold stock, money, orders, figures and deliveries against each other; changes nothing."

    def add_arguments(self, parser: CommandParser) -> None:
        """Take --most."""
        parser.add_argument("--most", type=int, default=5, help="examples to show of each finding")

    def handle(self, *args: Any, **options: Any) -> None:
        """Print a line a check; fail where one is contradicted."""
        busy = audit.under_way()
        if busy:
            self.stdout.write(
                f"{busy} messages are under way: contexts may differ until they arrive."
            )
        wrong = 0
        for finding in audit.run():
            word = "wrong" if finding.against else "unknown" if finding.unknown else "ok"
            self.stdout.write(f"{word:8}{finding.looked_at:>9}  {finding.says}")
            for example in finding.against[: options["most"]]:
                self.stdout.write(f"{'':19}{example}")
            wrong += len(finding.against)
        if wrong:
            raise CommandError(f"{wrong} contradictions.")
        self.stdout.write("The books agree.")
