import json
from typing import Any

from django.core.management.base import BaseCommand, CommandParser

from eventbus.operations import parked


class Command(BaseCommand):
    help = (
        "List the streams whose events wait for an earlier one, and that event: consumers with "
        'order="strict" have them. They go on when it is handled or discarded; to let them go on '
        "without it: manage.py skipevent"
    )

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("name", nargs="?", default="", help="a consumer or a context")
        parser.add_argument("--json", action="store_true", help="print the list as JSON")

    def handle(self, *args: Any, **options: Any) -> None:
        found = parked.waiting(options["name"])
        if options["json"]:
            self.stdout.write(json.dumps([stream.as_json() for stream in found], indent=2))
            return
        for stream in found:
            self.stdout.write(
                f"{stream.events:>8}  {stream.consumer} {stream.aggregate},"
                f" since {stream.since:%F %T}, waits for {stream.waits_for}"
            )
        self.stdout.write(f"{sum(stream.events for stream in found):>8}  events parked")
