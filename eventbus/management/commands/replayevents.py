"""Tell one consumer what it never heard, or again what it has heard."""

from typing import Any

from django.core.management.base import BaseCommand, CommandError, CommandParser
from tqdm import tqdm

from eventbus.errors import EventBusError
from eventbus.operations import replay
from eventbus.operations.permissions import REPLAY
from eventbus.operations.replay import ReplayRequest
from infra.command_options import actor, add_confirm_arguments, add_time_arguments, confirm


class Command(BaseCommand):
    """See `help`."""

    help = "Deliver events from the log to one consumer: what it never handled, or --again."

    def add_arguments(self, parser: CommandParser) -> None:
        """Take what is selected by, --again, --rate, --dry-run and --yes."""
        parser.add_argument("--consumer", required=True, help="like analytics.count_sale")
        parser.add_argument("--name", default="", help="of the event, like orders.OrderPaid")
        parser.add_argument("--aggregate", default="", help="like order:0190…")
        parser.add_argument("--again", action="store_true", help="also what it has handled")
        parser.add_argument("--rate", type=float, default=0, help="events a second (no limit)")
        add_time_arguments(parser, "recorded")
        add_confirm_arguments(parser)

    def handle(self, *args: Any, **options: Any) -> None:
        """Show, ask, send."""
        who = actor("replayevents", REPLAY, options["operator"])
        if options["rate"] < 0:
            raise CommandError("--rate is events a second, above 0.")
        kinds = ("consumer", "name", "since", "until", "aggregate")
        selection = ReplayRequest(**{kind: options[kind] for kind in kinds})
        try:
            found = replay.preview(selection, options["again"])
            for what, count in found.items():
                self.stdout.write(f"{count:>8}  {what}")
            total = found["to deliver"]
            if total and confirm(self, f"Deliver {total} to {selection.consumer}?", options):
                self._send(selection, total, who, options)
        except EventBusError as refusal:
            raise CommandError(str(refusal)) from refusal

    def _send(
        self, selection: ReplayRequest, total: int, who: str, options: dict[str, Any]
    ) -> None:
        with tqdm(total=total, unit=" events", disable=None) as bar:
            sent = replay.replay(
                selection,
                who,
                again=options["again"],
                rate=options["rate"],
                progress=bar.update,
            )
        self.stdout.write(f"{sent} events are on their way to {selection.consumer}.")
