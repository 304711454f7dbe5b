"""The first key to the house."""

from typing import Any

from django.core.management.base import BaseCommand, CommandParser

from accounts import services
from eventbus import acting_as


class Command(BaseCommand):
    """See `help`."""

    help = "Make an operator, or make sure that there is one. A password made up is printed once."

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("--email", required=True)
        parser.add_argument("--password", help="without it, a new account gets one made up")

    def handle(self, *args: Any, **options: Any) -> None:
        with acting_as("command:makeoperator"):
            made_up = services.make_operator(options["email"], options["password"])
        self.stdout.write(f"{options['email']} is an operator.")
        if made_up:
            self.stdout.write(f"password: {made_up} (not shown again)")
