"""New keys to the front door, while people go in and out."""

import time
from typing import Any

from django.core.management.base import BaseCommand, CommandError, CommandParser

from edge import jwks
from edge.conf import tokens


class Command(BaseCommand):
    """See `help`."""

    help = "Sign tokens with the next key, make another next one, and let the last one verify."

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument(
            "--compromised", action="store_true", help="trust none of the old keys from now on"
        )

    def handle(self, *args: Any, **options: Any) -> None:
        path = jwks.keys_file()
        # Twice in this time would forget a key of which tokens are still out, or unseen elsewhere.
        wait = tokens.ACCESS_LIFETIME.total_seconds() + jwks.MAX_AGE
        age = time.time() - path.stat().st_mtime if path.exists() else wait
        if age < wait and not options["compromised"]:
            raise CommandError(f"Keys changed {age:.0f} s ago; again after {wait - age:.0f} s.")
        jwks.rotate(path, options["compromised"])
        self.stdout.write(f"{jwks.signing_key().key_id} signs.")
