from pathlib import Path
from typing import Any

from django.core.management.base import BaseCommand, CommandError, CommandParser
from tqdm import tqdm

from eventbus.errors import EventBusError
from eventbus.operations import months, retention
from eventbus.operations.permissions import ARCHIVE
from infra.command_options import actor, add_confirm_arguments, confirm


class Command(BaseCommand):
    help = (
        "Move old events and their inbox rows out of the log into files of up to 10,000 events:"
        " on PostgreSQL whole months, whose partitions are dropped."
        " Events that are still needed stay. manage.py restoreevents restores them."
    )

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument(
            "--older-than",
            type=int,
            required=True,
            metavar="DAYS",
            help="archive events older than this, at least 1",
        )
        parser.add_argument(
            "--to",
            type=Path,
            required=True,
            metavar="FOLDER",
            help="created if missing",
        )
        add_confirm_arguments(parser)

    def handle(self, *args: Any, **options: Any) -> None:
        operator = actor("archiveevents", ARCHIVE, options["operator"])
        try:
            until = retention.cutoff(options["older_than"])
            found = retention.preview(until)
            self.stdout.write(f"Recorded before {until:%F %R} UTC:")
            for label, count in found.items():
                self.stdout.write(f"{count:>10}  {label}")
            total, folder = found["events"], options["to"]
            if not total and not options["dry_run"]:
                months.make_ahead()
                months.drop_empty(until)
            if not total or not confirm(self, f"Archive {total} events in {folder}?", options):
                return
            with tqdm(total=total, unit=" events", disable=None) as bar:
                archived = retention.archive(until, folder, operator, bar.update)
        except (EventBusError, OSError) as error:
            raise CommandError(str(error)) from error
        self.stdout.write(
            f"Archived {archived} events in {folder}."
            " The files hold payloads: protect them like the database."
        )
