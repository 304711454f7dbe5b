"""Try again what was given up."""

from typing import Any

from django.core.management.base import BaseCommand, CommandParser
from tqdm import tqdm

from eventbus.management.commands.deadletters import report, selected, show, take_selection
from eventbus.operations import dead_letters
from eventbus.operations.permissions import REPLAY
from eventbus.operations.selection import groups
from infra.command_options import actor, add_confirm_arguments, confirm


class Command(BaseCommand):
    """See `help`."""

    help = "Deliver dead letters again, as if for the first time: after what killed them is mended."

    def add_arguments(self, parser: CommandParser) -> None:
        """Take what letters are selected by, --dry-run and --yes."""
        take_selection(parser)
        add_confirm_arguments(parser)

    def handle(self, *args: Any, **options: Any) -> None:
        """Show, ask, retry."""
        who = actor("retrydeadletters", REPLAY, options["operator"])
        selection = selected(options)
        total = show(self, groups(selection))
        if not total or not confirm(self, f"Retry {total}?", options):
            return
        with tqdm(total=total, unit=" letters", disable=None) as bar:
            result = dead_letters.retry(selection, who, bar.update)
        report(self, result)
