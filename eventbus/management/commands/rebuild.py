from typing import Any

from django.core.management.base import BaseCommand, CommandError, CommandParser
from tqdm import tqdm

from eventbus.errors import EventBusError
from eventbus.operations import rebuild
from eventbus.operations.permissions import REPLAY
from infra.command_options import actor, add_confirm_arguments, confirm


class Command(BaseCommand):
    help = "Empty the read model of a context and refill it from the log, while deliveries go on."

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("context", help="a context, like analytics")
        add_confirm_arguments(parser)

    def handle(self, *args: Any, **options: Any) -> None:
        operator = actor("rebuild", REPLAY, options["operator"])
        context = options["context"]
        try:
            found = rebuild.preview(context)
            for consumer, count in found.items():
                self.stdout.write(f"{count:>8}  for {consumer}")
            total = sum(found.values())
            if not confirm(self, f"Empty {context} and refill it from {total} events?", options):
                return
            with tqdm(total=total, unit=" events", disable=None) as bar:
                done = rebuild.rebuild(context, operator, bar.update)
        except EventBusError as error:
            raise CommandError(str(error)) from error
        self.stdout.write(
            f"Rebuilt {context} from {done.events} events in {done.seconds:.1f} s,"
            f" {done.rate:.0f} events/s; {done.failed} failed and are retries or dead letters now."
        )
