"""What waits for an operator?"""

from typing import Any

from django.core.management.base import BaseCommand, CommandParser

from eventbus.operations.dead_letters import Result
from eventbus.operations.selection import DeadLetterFilter, Group, groups
from infra.command_options import add_time_arguments


class Command(BaseCommand):
    """See `help`."""

    help = "List the dead letters by signature: consumer, exception and place."

    def add_arguments(self, parser: CommandParser) -> None:
        """Take what letters are selected by."""
        take_selection(parser)

    def handle(self, *args: Any, **options: Any) -> None:
        """Print a line a group."""
        show(self, groups(selected(options)))


def take_selection(parser: CommandParser) -> None:
    """Take what letters are selected by."""
    parser.add_argument("--consumer", default="", help="for whom, like orders.confirm_order")
    parser.add_argument("--name", default="", help="of which event, like orders.OrderPlaced")
    parser.add_argument("--signature", default="", help="or a part of it")
    parser.add_argument("--id", type=int, action="append", default=[], help="may be repeated")
    add_time_arguments(parser, "died")


def selected(options: dict[str, Any]) -> DeadLetterFilter:
    """Return what was asked for."""
    return DeadLetterFilter(
        consumer=options["consumer"],
        name=options["name"],
        signature=options["signature"],
        since=options["since"],
        until=options["until"],
        ids=tuple(options["id"]),
    )


def show(command: BaseCommand, found: list[Group]) -> int:
    """Print groups and return how many letters they hold."""
    for group in found:
        span = f"{group.oldest:%F %R} to {group.newest:%F %R}"
        command.stdout.write(f"{group.letters:>8}  {span}  {group.signature}")
    total = sum(group.letters for group in found)
    command.stdout.write(f"{total:>8}  dead letters")
    return total


def report(command: BaseCommand, result: Result) -> None:
    """Print what became of each group."""
    for signature, counts in result.items():
        told = ", ".join(f"{n} {what}" for what, n in counts.items())
        command.stdout.write(f"{told}: {signature}")
