from typing import Any

from django.core.management.base import BaseCommand, CommandError, CommandParser
from tqdm import tqdm

from eventbus.errors import NeedsReason
from eventbus.management.commands.deadletters import (
    add_filter_arguments,
    filter_from,
    print_groups,
    print_result,
)
from eventbus.operations import dead_letters
from eventbus.operations.dead_letter_filter import group_by_signature
from eventbus.operations.permissions import NOTE
from infra.command_options import actor, add_confirm_arguments, confirm


class Command(BaseCommand):
    help = "Add a note to dead letters, with the time and the operator."

    def add_arguments(self, parser: CommandParser) -> None:
        add_filter_arguments(parser)
        add_confirm_arguments(parser)
        parser.add_argument("note", help="the text of the note")

    def handle(self, *args: Any, **options: Any) -> None:
        operator = actor("notedeadletters", NOTE, options["operator"])
        selection, note = filter_from(options), options["note"]
        if not note.strip():
            raise CommandError(str(NeedsReason()))
        total = print_groups(self, group_by_signature(selection))
        if not total or not confirm(self, f"Add the note to {total} dead letters?", options):
            return
        with tqdm(total=total, unit=" dead letters", disable=None) as bar:
            result = dead_letters.note(selection, note, operator, bar.update)
        print_result(self, result)
