"""Write down what is known about what was given up."""

from typing import Any

from django.core.management.base import BaseCommand, CommandError, CommandParser
from tqdm import tqdm

from eventbus.errors import NeedsReason
from eventbus.management.commands.deadletters import report, selected, show, take_selection
from eventbus.operations import dead_letters
from eventbus.operations.permissions import NOTE
from eventbus.operations.selection import groups
from infra.command_options import actor, add_confirm_arguments, confirm


class Command(BaseCommand):
    """See `help`."""

    help = "Add a note to dead letters: who, when, what."

    def add_arguments(self, parser: CommandParser) -> None:
        """Take the note, what letters are selected by, --dry-run and --yes."""
        take_selection(parser)
        add_confirm_arguments(parser)
        parser.add_argument("note", help="for those who come after")

    def handle(self, *args: Any, **options: Any) -> None:
        """Show, ask, note."""
        who = actor("notedeadletters", NOTE, options["operator"])
        selection, note = selected(options), options["note"]
        if not note.strip():
            raise CommandError(str(NeedsReason()))
        total = show(self, groups(selection))
        if not total or not confirm(self, f"Add the note to {total}?", options):
            return
        with tqdm(total=total, unit=" letters", disable=None) as bar:
            result = dead_letters.note(selection, note, who, bar.update)
        report(self, result)
