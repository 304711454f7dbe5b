"""Write down what is known about what was given up."""

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

    help = "Add a note to dead letters: who, when, what."

    def add_arguments(self, parser: CommandParser) -> None:
        """Take the note, what letters are selected by, --dry-run and --yes."""
        take_selection(parser)
        take_consent(parser)
        parser.add_argument("note", help="for those who come after")

    def handle(self, *args: Any, **options: Any) -> None:
        """Show, ask, note."""
        selection, note = selected(options), options["note"]
        if not note.strip():
            raise CommandError(str(NeedsReason()))
        total = show(self, groups(selection))
        if not total or not may(self, f"Add the note to {total}?", options):
            return
        with tqdm(total=total, unit=" letters", disable=None) as bar:
            result = letters.note(selection, note, actor("notedeadletters"), bar.update)
        report(self, result)
