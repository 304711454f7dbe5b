"""Bring a part of the log back."""

from pathlib import Path
from typing import Any

from django.core.management.base import BaseCommand, CommandError, CommandParser
from tqdm import tqdm

from eventbus.errors import EventBusError
from eventbus.operations import retention
from eventbus.operations.permissions import ARCHIVE
from infra.command_options import actor, add_confirm_arguments, confirm


class Command(BaseCommand):
    """See `help`."""

    help = (
        "Bring events that manage.py archiveevents moved into files back into the log, so that"
        " they can be replayed. Nobody is told of them by that."
    )

    def add_arguments(self, parser: CommandParser) -> None:
        """Take the files, --as, --dry-run and --yes."""
        parser.add_argument("files", nargs="+", type=Path, metavar="FILE", help="like events-….gz")
        add_confirm_arguments(parser)

    def handle(self, *args: Any, **options: Any) -> None:
        """Show, ask, restore."""
        who = actor("restoreevents", ARCHIVE, options["operator"])
        try:
            rows = [retention.recorded(file) for file in options["files"]]
            for row in rows:
                self.stdout.write(
                    f"{row.events:>10}  {row.since:%F %R} to {row.until:%F %R}  {row}"
                )
            total = sum(row.events for row in rows)
            if not confirm(self, f"Bring {total} events back?", options):
                return
            with tqdm(total=total, unit=" events", disable=None) as bar:
                for file in options["files"]:
                    retention.restore(file, who, bar.update)
        except (EventBusError, OSError) as refusal:
            raise CommandError(str(refusal)) from refusal
        self.stdout.write(f"{total} events are in the log again.")
