from typing import Any

from django.core.management.base import BaseCommand, CommandError, CommandParser
from tqdm import tqdm

from eventbus.errors import EventBusError
from eventbus.operations import replay
from eventbus.operations.permissions import REPLAY
from eventbus.operations.replay import ReplayRequest
from infra.command_options import actor, add_confirm_arguments, add_time_arguments, confirm


class Command(BaseCommand):
    help = "Deliver events from the log to one consumer: by default those that it has not handled."

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("--consumer", required=True, help="like analytics.count_sale")
        parser.add_argument("--name", default="", help="an event name, like orders.OrderPaid")
        parser.add_argument("--aggregate", default="", help="an aggregate, like order:0190…")
        parser.add_argument("--again", action="store_true", help="also events that it has handled")
        parser.add_argument("--rate", type=float, default=0, help="events per second; 0: no limit")
        add_time_arguments(parser, "recorded")
        add_confirm_arguments(parser)

    def handle(self, *args: Any, **options: Any) -> None:
        operator = actor("replayevents", REPLAY, options["operator"])
        if options["rate"] < 0:
            raise CommandError("--rate is a number of events per second, 0 or more.")
        names = ("consumer", "name", "since", "until", "aggregate")
        request = ReplayRequest(**{name: options[name] for name in names})
        try:
            found = replay.preview(request, options["again"])
            for label, count in found.items():
                self.stdout.write(f"{count:>8}  {label}")
            total = found["to deliver"]
            if total and confirm(self, f"Deliver {total} events to {request.consumer}?", options):
                self._send(request, total, operator, options)
        except EventBusError as error:
            raise CommandError(str(error)) from error

    def _send(
        self, request: ReplayRequest, total: int, operator: str, options: dict[str, Any]
    ) -> None:
        with tqdm(total=total, unit=" events", disable=None) as bar:
            sent = replay.replay(
                request,
                operator,
                again=options["again"],
                rate=options["rate"],
                progress=bar.update,
            )
        self.stdout.write(f"Queued {sent} events for {request.consumer}.")
