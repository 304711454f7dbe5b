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
from eventbus.operations.permissions import DISCARD
from infra.command_options import actor, add_confirm_arguments, confirm


class Command(BaseCommand):
    help = "Discard dead letters: they are kept for the record and never delivered."

    def add_arguments(self, parser: CommandParser) -> None:
        add_filter_arguments(parser)
        add_confirm_arguments(parser)
        parser.add_argument("--reason", required=True, help="for the audit record")

    def handle(self, *args: Any, **options: Any) -> None:
        operator = actor("discarddeadletters", DISCARD, options["operator"])
        selection, reason = filter_from(options), options["reason"]
        if not reason.strip():
            raise CommandError(str(NeedsReason()))
        total = print_groups(self, group_by_signature(selection))
        if not total or not confirm(self, f"Discard {total} dead letters?", options):
            return
        with tqdm(total=total, unit=" dead letters", disable=None) as bar:
            result = dead_letters.discard(selection, reason, operator, bar.update)
        print_result(self, result)
