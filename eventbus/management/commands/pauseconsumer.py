import json
from typing import Any

from django.core.management.base import BaseCommand, CommandError, CommandParser

from eventbus.errors import EventBusError
from eventbus.operations import pauses
from eventbus.operations.permissions import REPLAY
from infra.command_options import actor, add_confirm_arguments, confirm


class Command(BaseCommand):
    help = (
        "Pause a consumer, or all of a context: its events wait, and none is lost. "
        "Without a name: list the pauses."
    )

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("name", nargs="?", help="like analytics.count_sale, or analytics")
        parser.add_argument("--reason", default="", help="kept in the audit record; required")
        parser.add_argument("--json", action="store_true", help="print the list as JSON")
        add_confirm_arguments(parser)

    def handle(self, *args: Any, **options: Any) -> None:
        name = options["name"]
        if not name:
            self._list(options["json"])
            return
        operator = actor("pauseconsumer", REPLAY, options["operator"])
        self.stdout.write(f"{name}: {pauses.backlog(name)}.")
        try:
            if confirm(self, f"Pause {name}?", options):
                pauses.pause(name, operator, options["reason"])
                self.stdout.write(f"{name} is paused. To go on: manage.py resumeconsumer {name}")
        except EventBusError as error:
            raise CommandError(str(error)) from error

    def _list(self, as_json: bool) -> None:
        found = pauses.paused()
        if as_json:
            rows = [
                {
                    "name": pause.name,
                    "since": pause.since.isoformat(),
                    "actor": pause.actor,
                    "reason": pause.reason,
                    "events": backlog.events,
                    "oldest": backlog.oldest and backlog.oldest.isoformat(),
                }
                for pause, backlog in found
            ]
            self.stdout.write(json.dumps(rows, indent=2))
            return
        for pause, backlog in found:
            since = f"{pause.name} since {pause.since:%F %T} by {pause.actor}"
            self.stdout.write(f"{since}: {pause.reason}. {backlog}.")
        if not found:
            self.stdout.write("No consumer is paused.")
