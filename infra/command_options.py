"""Options of operators' commands: times, confirmation, dry run, and the acting operator.

A user with a shell on the machine may run any command. With `--as` a command checks the
permissions of an operator account and records that operator as the actor.
"""

import argparse
import datetime as dt
import getpass
from typing import Any

from django.contrib.auth import get_user_model
from django.core.management.base import BaseCommand, CommandError, CommandParser
from django.utils.dateparse import parse_datetime


def add_time_arguments(parser: CommandParser, label: str) -> None:
    """Add --since and --until."""
    for option, bound in (("--since", "at or after"), ("--until", "before")):
        help = f"{label} {bound} this time (UTC), like 2026-03-31 or 2026-03-31T14:00"
        parser.add_argument(option, type=parse_time, metavar="TIME", help=help)


def add_confirm_arguments(parser: CommandParser) -> None:
    """Add --as, --dry-run and --yes."""
    parser.add_argument(
        "--as", dest="operator", metavar="EMAIL", help="act with this operator's permissions"
    )
    parser.add_argument("--dry-run", action="store_true", help="print the counts, change nothing")
    parser.add_argument("--yes", action="store_true", help="do not ask for confirmation")


def parse_time(text: str) -> dt.datetime:
    """Parse a date or an RFC 3339 time; without a zone it is UTC."""
    try:
        found = parse_datetime(text) or dt.datetime.fromisoformat(text)
    except ValueError as error:
        message = f"{text} is not a date like 2026-03-31 or a time like 2026-03-31T14:00"
        raise argparse.ArgumentTypeError(message) from error
    return found if found.tzinfo else found.replace(tzinfo=dt.UTC)


def confirm(command: BaseCommand, question: str, options: dict[str, Any]) -> bool:
    """Return whether to go on: never in a dry run, else after --yes or the answer y."""
    if options["dry_run"]:
        command.stdout.write("Dry run: nothing was changed.")
        return False
    if options["yes"]:
        return True
    command.stdout.write(f"{question} [y/N] ", ending="")
    command.stdout.flush()
    try:
        confirmed = input().strip().lower() in ("y", "yes")
    except EOFError:
        confirmed = False
    if not confirmed:
        command.stdout.write("Nothing was changed.")
    return confirmed


def actor(command: str, permission: str, operator: str | None) -> str:
    """Return the actor for the audit record: the operator, or the command and the system user.

    Raises CommandError if the operator lacks the permission.
    """
    if operator:
        return _operator(operator, permission)
    try:
        return f"command:{command} {getpass.getuser()}"
    except (KeyError, OSError):
        return f"command:{command}"


def _operator(email: str, permission: str) -> str:
    users: Any = get_user_model()
    user = users.objects.filter(**{users.USERNAME_FIELD: email.strip().lower()}).first()
    if user is None or not (user.is_staff and user.has_perm(permission)):
        raise CommandError(f"{email} is not an operator with the permission {permission}.")
    return f"operator:{user.pk}"
