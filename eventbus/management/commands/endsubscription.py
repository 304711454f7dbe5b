from typing import Any

from django.core.management.base import BaseCommand, CommandError, CommandParser

from eventbus.errors import EventBusError
from eventbus.operations import subscriptions
from eventbus.operations.permissions import DISCARD
from infra.command_options import actor, add_confirm_arguments, confirm


class Command(BaseCommand):
    help = (
        "End the subscription of a consumer that was removed from the code. "
        "What it was still owed becomes dead letters. `manage.py subscriptions` lists them."
    )

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("consumer", help="like analytics.count_sale")
        parser.add_argument("--event", default="", help="only this event, like orders.OrderPaid")
        parser.add_argument("--reason", default="", help="kept in the audit record; required")
        add_confirm_arguments(parser)

    def handle(self, *args: Any, **options: Any) -> None:
        operator = actor("endsubscription", DISCARD, options["operator"])
        consumer, event = options["consumer"], options["event"]
        try:
            owed = subscriptions.preview(consumer, event)
            self.stdout.write(f"{owed.subscriptions:>8}  subscriptions of {consumer}")
            self.stdout.write(f"{owed.dispatched:>8}  events dispatched, not handled")
            self.stdout.write(f"{owed.retries:>8}  events that wait for a retry")
            self.stdout.write(f"{owed.parked:>8}  events parked behind earlier ones")
            if confirm(self, "End, and make dead letters of these events?", options):
                subscriptions.end(consumer, event, operator, options["reason"])
                self.stdout.write(f"{consumer} is owed nothing more.")
        except EventBusError as error:
            raise CommandError(str(error)) from error
