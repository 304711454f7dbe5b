"""Give up what was given up, for good."""

from typing import Any

from django.core.management.base import BaseCommand, CommandError, CommandParser
from tqdm import tqdm

from eventbus.errors import NeedsReason
from eventbus.management.commands.deadletters import report, selected, show, take_selection
from eventbus.operations import dead_letters
from eventbus.operations.permissions import DISCARD
from eventbus.operations.selection import groups
from infra.command_options import actor, add_confirm_arguments, confirm


class Command(BaseCommand):
    """See `help`."""

    help = "Discard dead letters: they are kept for the record, and never delivered."

    def add_arguments(self, parser: CommandParser) -> None:
        """Take what letters are selected by, --why, --dry-run and --yes."""
        take_selection(parser)
        add_confirm_arguments(parser)
        parser.add_argument("--why", required=True, help="for those who come after")

    def handle(self, *args: Any, **options: Any) -> None:
        """Show, ask, discard."""
        who = actor("discarddeadletters", DISCARD, options["operator"])
        selection, why = selected(options), options["why"]
        if not why.strip():
            raise CommandError(str(NeedsReason()))
        total = show(self, groups(selection))
        if not total or not confirm(self, f"Discard {total}?", options):
            return
        with tqdm(total=total, unit=" letters", disable=None) as bar:
            result = dead_letters.discard(selection, why, who, bar.update)
        report(self, result)
