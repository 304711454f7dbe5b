"""Keep the log short."""

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
        "Move old events that nobody needs any more, with their inbox rows, out of the log into"
        " files of up to 10,000. manage.py restoreevents brings them back."
    )

    def add_arguments(self, parser: CommandParser) -> None:
        """Take --older-than, --to, --as, --dry-run and --yes."""
        parser.add_argument(
            "--older-than", type=int, required=True, metavar="DAYS", help="at least 1"
        )
        parser.add_argument(
            "--to", type=Path, required=True, metavar="FOLDER", help="made where it is not there"
        )
        add_confirm_arguments(parser)

    def handle(self, *args: Any, **options: Any) -> None:
        """Show, ask, archive."""
        who = actor("archiveevents", ARCHIVE, options["operator"])
        try:
            until = retention.before(options["older_than"])
            found = retention.preview(until)
            self.stdout.write(f"Recorded before {until:%F %R} UTC:")
            for what, count in found.items():
                self.stdout.write(f"{count:>10}  {what}")
            total, folder = found["events"], options["to"]
            if not total or not confirm(self, f"Move {total} events to {folder}?", options):
                return
            with tqdm(total=total, unit=" events", disable=None) as bar:
                gone = retention.archive(until, folder, who, bar.update)
        except (EventBusError, OSError) as refusal:
            raise CommandError(str(refusal)) from refusal
        self.stdout.write(f"{gone} events are in {folder}. Keep the files as safe as the database.")
