import json
from dataclasses import asdict
from typing import Any

from django.core.management.base import BaseCommand, CommandParser

from eventbus.operations import subscriptions


class Command(BaseCommand):
    help = "List which consumer is owed which event since when, and whether this code has it."

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("--json", action="store_true", help="print JSON")
        parser.add_argument(
            "--without-code", action="store_true", help="only those that this process cannot handle"
        )

    def handle(self, *args: Any, **options: Any) -> None:
        rows = subscriptions.overview()
        if options["without_code"]:
            rows = [row for row in rows if not row.code_here and not row.until]
        if options["json"]:
            self.stdout.write(json.dumps([asdict(row) for row in rows], indent=2))
            return
        width = max((len(row.consumer) for row in rows), default=0)
        for row in rows:
            status = f"ended {row.until[:19]}" if row.until else f"since {row.since[:19]}"
            missing = "" if row.code_here or row.until else "  no code in this process"
            self.stdout.write(f"{row.consumer:<{width}}  {status}  {row.event}{missing}")
