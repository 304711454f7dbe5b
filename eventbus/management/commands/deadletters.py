from typing import Any

from django.core.management.base import BaseCommand, CommandParser

from eventbus.operations.dead_letter_filter import (
    DeadLetterFilter,
    SignatureGroup,
    group_by_signature,
)
from eventbus.operations.dead_letters import Counts
from infra.command_options import add_time_arguments


class Command(BaseCommand):
    help = "List dead letters, grouped by signature: consumer, exception and code location."

    def add_arguments(self, parser: CommandParser) -> None:
        add_filter_arguments(parser)

    def handle(self, *args: Any, **options: Any) -> None:
        print_groups(self, group_by_signature(filter_from(options)))


def add_filter_arguments(parser: CommandParser) -> None:
    """Add the options of a dead-letter filter."""
    parser.add_argument("--consumer", default="", help="a consumer, like orders.confirm_order")
    parser.add_argument("--name", default="", help="an event name, like orders.OrderPlaced")
    parser.add_argument("--signature", default="", help="a signature, or a part of it")
    parser.add_argument(
        "--id", type=int, action="append", default=[], help="id of a dead letter; may be repeated"
    )
    add_time_arguments(parser, "died")


def filter_from(options: dict[str, Any]) -> DeadLetterFilter:
    """Return the filter that the options describe."""
    return DeadLetterFilter(
        consumer=options["consumer"],
        name=options["name"],
        signature=options["signature"],
        since=options["since"],
        until=options["until"],
        ids=tuple(options["id"]),
    )


def print_groups(command: BaseCommand, found: list[SignatureGroup]) -> int:
    """Print one line per group; return the number of dead letters."""
    for group in found:
        span = f"{group.oldest:%F %R} to {group.newest:%F %R}"
        command.stdout.write(f"{group.count:>8}  {span}  {group.signature}")
    total = sum(group.count for group in found)
    command.stdout.write(f"{total:>8}  dead letters")
    return total


def print_result(command: BaseCommand, result: Counts) -> None:
    """Print the results by signature."""
    for signature, counts in result.items():
        summary = ", ".join(f"{n} {outcome}" for outcome, n in counts.items())
        command.stdout.write(f"{summary}: {signature}")
