"""How an operator's command reads its options, asks before it acts, and says who asked.

Whoever has a shell on the machine may do anything; `--as` lets operators do there what they may do
in the admin, and under their own name.
"""

import argparse
import datetime as dt
import getpass
from typing import Any

from django.contrib.auth import get_user_model
from django.core.management.base import BaseCommand, CommandError, CommandParser
from django.utils.dateparse import parse_datetime


def add_time_arguments(parser: CommandParser, of_what: str) -> None:
    """Take --since and --until."""
    parser.add_argument("--since", type=time, metavar="TIME", help=f"{of_what} at or after (UTC)")
    parser.add_argument("--until", type=time, metavar="TIME", help=f"{of_what} before (UTC)")


def add_confirm_arguments(parser: CommandParser) -> None:
    """Take --as, --dry-run and --yes."""
    parser.add_argument("--as", dest="operator", metavar="EMAIL", help="with an operator's rights")
    parser.add_argument("--dry-run", action="store_true", help="count only; change nothing")
    parser.add_argument("--yes", action="store_true", help="do not ask")


def time(text: str) -> dt.datetime:
    """Read a day or an RFC 3339 time; one without a zone is UTC."""
    try:
        found = parse_datetime(text) or dt.datetime.fromisoformat(text)
    except ValueError as problem:
        message = f"{text} is no day like 2026-03-31, nor a time"
        raise argparse.ArgumentTypeError(message) from problem
    return found if found.tzinfo else found.replace(tzinfo=dt.UTC)


def confirm(command: BaseCommand, question: str, options: dict[str, Any]) -> bool:
    """Ask, unless that is answered already; no answer is a no."""
    if options["dry_run"]:
        return False
    if options["yes"]:
        return True
    command.stdout.write(f"{question} [y/N] ", ending="")
    command.stdout.flush()
    try:
        agreed = input().strip().lower() in ("y", "yes")
    except EOFError:
        agreed = False
    if not agreed:
        command.stdout.write("Nothing was changed.")
    return agreed


def actor(command: str, power: str, operator: str | None) -> str:
    """Name who acts, for the record: the operator, or the command and the system's user.

    Raises CommandError where the operator lacks the power.
    """
    if operator:
        return _operator(operator, power)
    try:
        return f"command:{command} {getpass.getuser()}"
    except (KeyError, OSError):
        return f"command:{command}"


def _operator(email: str, power: str) -> str:
    people: Any = get_user_model()
    user = people.objects.filter(**{people.USERNAME_FIELD: email.strip().lower()}).first()
    if user is None or not (user.is_staff and user.has_perm(power)):
        raise CommandError(f"{email} may not do this: it takes the right {power}.")
    return f"operator:{user.pk}"
