"""Give up what was given up, for good."""

from typing import Any

from django.core.management.base import BaseCommand, CommandError, CommandParser
from tqdm import tqdm

from eventbus import letters
from eventbus.asking import actor, may, take_consent
from eventbus.chosen import groups
from eventbus.errors import NeedsReason
from eventbus.management.commands.deadletters import report, selected, show, take_selection


class Command(BaseCommand):
    """See `help`."""

    help = "Discard dead letters: they are kept for the record, and never delivered."

    def add_arguments(self, parser: CommandParser) -> None:
        """Take what letters are selected by, --why, --dry-run and --yes."""
        take_selection(parser)
        take_consent(parser)
        parser.add_argument("--why", required=True, help="for those who come after")

    def handle(self, *args: Any, **options: Any) -> None:
        """Show, ask, discard."""
        selection, why = selected(options), options["why"]
        if not why.strip():
            raise CommandError(str(NeedsReason()))
        total = show(self, groups(selection))
        if not total or not may(self, f"Discard {total}?", options):
            return
        with tqdm(total=total, unit=" letters", disable=None) as bar:
            result = letters.discard(selection, why, actor("discarddeadletters"), bar.update)
        report(self, result)
