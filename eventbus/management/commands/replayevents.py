"""Tell one consumer what it never heard, or again what it has heard."""

from typing import Any

from django.core.management.base import BaseCommand, CommandError, CommandParser
from tqdm import tqdm

from eventbus import replay
from eventbus.asking import actor, may, take_consent, take_times
from eventbus.errors import EventBusError
from eventbus.replay import Selection


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
        take_times(parser, "recorded")
        take_consent(parser)

    def handle(self, *args: Any, **options: Any) -> None:
        """Show, ask, send."""
        if options["rate"] < 0:
            raise CommandError("--rate is events a second, above 0.")
        kinds = ("consumer", "name", "since", "until", "aggregate")
        selection = Selection(**{kind: options[kind] for kind in kinds})
        try:
            found = replay.preview(selection, options["again"])
            for what, count in found.items():
                self.stdout.write(f"{count:>8}  {what}")
            total = found["to deliver"]
            if total and may(self, f"Deliver {total} to {selection.consumer}?", options):
                self._send(selection, total, options)
        except EventBusError as refusal:
            raise CommandError(str(refusal)) from refusal

    def _send(self, selection: Selection, total: int, options: dict[str, Any]) -> None:
        with tqdm(total=total, unit=" events", disable=None) as bar:
            sent = replay.replay(
                selection,
                actor("replayevents"),
                again=options["again"],
                rate=options["rate"],
                progress=bar.update,
            )
        self.stdout.write(f"{sent} events are on their way to {selection.consumer}.")
