"""Count everything again."""

from typing import Any

from django.core.management.base import BaseCommand, CommandError, CommandParser
from tqdm import tqdm

from eventbus import rebuild
from eventbus.asking import actor, may, take_consent
from eventbus.errors import EventBusError


class Command(BaseCommand):
    """See `help`."""

    help = "Empty a read model and fill it from the log, while new events keep arriving."

    def add_arguments(self, parser: CommandParser) -> None:
        """Take the room, --dry-run and --yes."""
        parser.add_argument("room", help="like analytics")
        take_consent(parser)

    def handle(self, *args: Any, **options: Any) -> None:
        """Show, ask, rebuild."""
        room = options["room"]
        try:
            found = rebuild.preview(room)
            for consumer, count in found.items():
                self.stdout.write(f"{count:>8}  for {consumer}")
            total = sum(found.values())
            if not may(self, f"Empty {room} and fill it with {total} events?", options):
                return
            with tqdm(total=total, unit=" events", disable=None) as bar:
                done = rebuild.rebuild(room, actor("rebuild"), bar.update)
        except EventBusError as refusal:
            raise CommandError(str(refusal)) from refusal
        self.stdout.write(
            f"{done.events} events in {done.seconds:.1f} s, {done.rate:.0f} events/s;"
            f" {done.failed} wait among the retries and the dead letters."
        )
