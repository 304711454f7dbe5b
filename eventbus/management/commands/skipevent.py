from typing import Any

from django.core.management.base import BaseCommand, CommandError, CommandParser

from eventbus.errors import EventBusError, NotParked
from eventbus.operations import parked
from eventbus.operations.permissions import DISCARD
from infra.command_options import actor, add_confirm_arguments, confirm


class Command(BaseCommand):
    help = (
        "Let a stream of an ordered consumer go on without the event that it waits for, which "
        "stays where it is; handled later, it is out of order. `manage.py parkedevents` lists them."
    )

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("consumer", help="like analytics.count_sale")
        parser.add_argument("aggregate", help="like order:0190c3a4-…")
        parser.add_argument("--reason", default="", help="kept in the audit record; required")
        add_confirm_arguments(parser)

    def handle(self, *args: Any, **options: Any) -> None:
        operator = actor("skipevent", DISCARD, options["operator"])
        consumer, aggregate = options["consumer"], options["aggregate"]
        try:
            found = [s for s in parked.waiting(consumer) if s.aggregate == aggregate]
            if not found:
                raise NotParked(consumer=consumer, aggregate=aggregate)
            (stream,) = found
            self.stdout.write(f"{stream.events:>8}  events wait for {stream.waits_for}")
            if confirm(self, "Let them go on without it?", options):
                after = parked.skip(consumer, aggregate, operator, options["reason"])
                self.stdout.write(f"{aggregate} goes on.")
                if after.events and after.missing:
                    self.stdout.write(f"{after.events:>8}  events now wait for {after.waits_for}")
        except EventBusError as error:
            raise CommandError(str(error)) from error
