"""Rotates the keys that sign tokens."""

import time
from typing import Any

from django.core.management.base import BaseCommand, CommandError, CommandParser

from edge import jwks
from edge.conf import tokens


class Command(BaseCommand):
    help = "Sign tokens with the next key, create another, and keep the last one for verification."

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument(
            "--compromised", action="store_true", help="reject tokens of all old keys from now on"
        )

    def handle(self, *args: Any, **options: Any) -> None:
        path = jwks.keys_file()
        # A second rotation in this time would drop a key with valid tokens, or one that other
        # processes have not read yet.
        wait = tokens.ACCESS_LIFETIME.total_seconds() + jwks.MAX_AGE
        age = time.time() - path.stat().st_mtime if path.exists() else wait
        if age < wait and not options["compromised"]:
            raise CommandError(
                f"Keys were rotated {age:.0f} s ago. Try again after {wait - age:.0f} s."
            )
        jwks.rotate(path, options["compromised"])
        self.stdout.write(f"{jwks.signing_key().key_id} signs.")
