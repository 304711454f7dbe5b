from typing import Any

from django.core.management.base import BaseCommand, CommandParser

from accounts import services
from eventbus import acting_as


class Command(BaseCommand):
    help = "Make a user an operator, creating the user if needed. Prints a generated password once."

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("--email", required=True)
        parser.add_argument("--password", help="generated for a new user if not given")

    def handle(self, *args: Any, **options: Any) -> None:
        with acting_as("command:makeoperator"):
            generated = services.make_operator(options["email"], options["password"])
        self.stdout.write(f"{options['email']} is an operator.")
        if generated:
            self.stdout.write(f"password: {generated} (not shown again)")
