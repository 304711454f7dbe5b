from pathlib import Path
from typing import Any

from django.core.management.base import BaseCommand, CommandError, CommandParser
from tqdm import tqdm

from eventbus.errors import EventBusError
from eventbus.operations import retention
from eventbus.operations.permissions import ARCHIVE
from infra.command_options import actor, add_confirm_arguments, confirm


class Command(BaseCommand):
    help = (
        "Restore events that manage.py archiveevents moved into files, so that they can be"
        " replayed. Restoring delivers nothing."
    )

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("files", nargs="+", type=Path, metavar="FILE", help="an archive file")
        add_confirm_arguments(parser)

    def handle(self, *args: Any, **options: Any) -> None:
        operator = actor("restoreevents", ARCHIVE, options["operator"])
        try:
            rows = [retention.archive_of(file) for file in options["files"]]
            for row in rows:
                self.stdout.write(
                    f"{row.events:>10}  {row.since:%F %R} to {row.until:%F %R}  {row}"
                )
            total = sum(row.events for row in rows)
            if not confirm(self, f"Restore {total} events?", options):
                return
            with tqdm(total=total, unit=" events", disable=None) as bar:
                for file in options["files"]:
                    retention.restore(file, operator, bar.update)
        except (EventBusError, OSError) as error:
            raise CommandError(str(error)) from error
        self.stdout.write(f"Restored {total} events.")
