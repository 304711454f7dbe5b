"""Try again what was given up."""

from typing import Any

from django.core.management.base import BaseCommand, CommandParser
from tqdm import tqdm

from eventbus import letters
from eventbus.asking import actor, may, take_consent
from eventbus.chosen import groups
from eventbus.management.commands.deadletters import report, selected, show, take_selection


class Command(BaseCommand):
    """See `help`."""

    help = "Deliver dead letters again, as if for the first time: after what killed them is mended."

    def add_arguments(self, parser: CommandParser) -> None:
        """Take what letters are selected by, --dry-run and --yes."""
        take_selection(parser)
        take_consent(parser)

    def handle(self, *args: Any, **options: Any) -> None:
        """Show, ask, retry."""
        selection = selected(options)
        total = show(self, groups(selection))
        if not total or not may(self, f"Retry {total}?", options):
            return
        with tqdm(total=total, unit=" letters", disable=None) as bar:
            result = letters.retry(selection, actor("retrydeadletters"), bar.update)
        report(self, result)
