from typing import Any

from django.core.management.base import BaseCommand, CommandError, CommandParser

from eventbus.errors import EventBusError
from eventbus.operations import pauses
from eventbus.operations.permissions import REPLAY
from infra.command_options import actor, add_confirm_arguments, confirm


class Command(BaseCommand):
    help = "End the pause of a consumer or a context; the events that waited are delivered."

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("name", help="as it was paused")
        add_confirm_arguments(parser)

    def handle(self, *args: Any, **options: Any) -> None:
        operator, name = actor("resumeconsumer", REPLAY, options["operator"]), options["name"]
        self.stdout.write(f"{name}: {pauses.backlog(name)}.")
        try:
            if confirm(self, f"Resume {name}?", options):
                pauses.resume(name, operator)
                self.stdout.write(f"{name} is delivered again.")
        except EventBusError as error:
            raise CommandError(str(error)) from error
