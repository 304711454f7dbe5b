"""Count everything again."""

from typing import Any

from django.core.management.base import BaseCommand, CommandError, CommandParser
from tqdm import tqdm

from eventbus.errors import EventBusError
from eventbus.operations import rebuild
from eventbus.operations.permissions import REPLAY
from infra.command_options import actor, add_confirm_arguments, confirm


class Command(BaseCommand):
    """See `help`."""

    help = "Empty a read model and fill it from the log, while new events keep arriving."

    def add_arguments(self, parser: CommandParser) -> None:
        """Take the context, --dry-run and --yes."""
        parser.add_argument("context", help="like analytics")
        add_confirm_arguments(parser)

    def handle(self, *args: Any, **options: Any) -> None:
        """Show, ask, rebuild."""
        who = actor("rebuild", REPLAY, options["operator"])
        context = options["context"]
        try:
            found = rebuild.preview(context)
            for consumer, count in found.items():
                self.stdout.write(f"{count:>8}  for {consumer}")
            total = sum(found.values())
            if not confirm(self, f"Empty {context} and fill it with {total} events?", options):
                return
            with tqdm(total=total, unit=" events", disable=None) as bar:
                done = rebuild.rebuild(context, who, bar.update)
        except EventBusError as refusal:
            raise CommandError(str(refusal)) from refusal
        self.stdout.write(
            f"{done.events} events in {done.seconds:.1f} s, {done.rate:.0f} events/s;"
            f" {done.failed} wait among the retries and the dead letters."
        )
