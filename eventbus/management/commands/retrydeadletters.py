from typing import Any

from django.core.management.base import BaseCommand, CommandParser
from tqdm import tqdm

from eventbus.management.commands.deadletters import (
    add_filter_arguments,
    filter_from,
    print_groups,
    print_result,
)
from eventbus.operations import dead_letters
from eventbus.operations.dead_letter_filter import group_by_signature
from eventbus.operations.permissions import REPLAY
from infra.command_options import actor, add_confirm_arguments, confirm


class Command(BaseCommand):
    help = "Deliver dead letters again, counting attempts from 0. Fix the cause first."

    def add_arguments(self, parser: CommandParser) -> None:
        add_filter_arguments(parser)
        add_confirm_arguments(parser)

    def handle(self, *args: Any, **options: Any) -> None:
        operator = actor("retrydeadletters", REPLAY, options["operator"])
        selection = filter_from(options)
        total = print_groups(self, group_by_signature(selection))
        if not total or not confirm(self, f"Retry {total} dead letters?", options):
            return
        with tqdm(total=total, unit=" dead letters", disable=None) as bar:
            result = dead_letters.retry(selection, operator, bar.update)
        print_result(self, result)
