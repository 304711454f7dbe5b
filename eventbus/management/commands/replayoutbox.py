import json
from typing import Any

from django.core.management.base import BaseCommand, CommandError, CommandParser
from tqdm import tqdm

from eventbus.operations import undelivered
from eventbus.operations.permissions import REPLAY
from eventbus.operations.undelivered import SENDABLE, Group, State, Undelivered
from infra.command_options import actor, add_confirm_arguments, confirm


class Command(BaseCommand):
    help = (
        "Show what is published and not handled, and what it waits for; then send again what was "
        "sent, and try failed deliveries now. An event that was handled has no second effect."
    )

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("name", nargs="?", default="", help="a consumer or a context")
        parser.add_argument("--event", default="", help="an event name, like orders.OrderPaid")
        parser.add_argument("--state", default="", choices=list(map(str, State)), help="one state")
        parser.add_argument(
            "--older-than",
            type=float,
            default=60,
            metavar="SECONDS",
            help="only what was sent, or has failed, so long ago (60)",
        )
        parser.add_argument("--json", action="store_true", help="print JSON; with --yes, send")
        add_confirm_arguments(parser)

    def handle(self, *args: Any, **options: Any) -> None:
        operator = actor("replayoutbox", REPLAY, options["operator"])
        if options["older_than"] < 0:
            raise CommandError("--older-than is a number of seconds, 0 or more.")
        names = ("name", "event", "state", "older_than")
        wanted = Undelivered(**{name: options[name] for name in names})
        found = undelivered.groups(wanted)
        total = sum(len(group.rows) for group in found if group.state in SENDABLE)
        if options["json"]:
            self._as_json(wanted, found, operator, options)
            return
        self._print(found)
        if total and confirm(self, f"Send {total} messages again?", options):
            with tqdm(total=total, unit=" messages", disable=None) as bar:
                sent = undelivered.send_again(wanted, operator, bar.update)
            self.stdout.write(", ".join(f"{n} {label}" for label, n in sent.items()) + ".")
        elif found and not total:
            self.stdout.write("Nothing of this has to be sent by hand.")

    def _print(self, found: list[Group]) -> None:
        for group in found:
            consumer, oldest = group.consumer or "all consumers", f"{group.oldest:%F %T}"
            self.stdout.write(
                f"{group.events:>8}  {group.state:<11}  {consumer}, oldest of {oldest},"
                f" waits for {group.waits_for}"
            )
        self.stdout.write(f"{sum(group.events for group in found):>8}  events not handled")

    def _as_json(
        self, wanted: Undelivered, found: list[Group], operator: str, options: dict[str, Any]
    ) -> None:
        rows = [
            {
                "state": group.state,
                "consumer": group.consumer,
                "messages": len(group.rows),
                "events": group.events,
                "oldest": group.oldest and group.oldest.isoformat(),
                "waits_for": group.waits_for,
            }
            for group in found
        ]
        sends = options["yes"] and not options["dry_run"]
        result = undelivered.send_again(wanted, operator) if sends else None
        self.stdout.write(json.dumps({"undelivered": rows, "result": result}, indent=2))
