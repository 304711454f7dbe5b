"""What accounts does."""

import datetime as dt
import secrets
from dataclasses import dataclass
from typing import Any
from uuid import UUID

import structlog
from django.core import signing
from django.db import IntegrityError, transaction
from django.utils import timezone
from django.utils.crypto import constant_time_compare
from django.utils.module_loading import import_string

from accounts.conf import conf
from accounts.errors import EmailTaken
from accounts.models import LoginSession, User, is_country
from eventbus import publish
from infra import clock

log = structlog.get_logger(__name__)
# What accounts alone reads needs no public key; nobody takes it for an access token.
_refreshes = signing.Signer(salt="accounts.refresh")


@dataclass(frozen=True)
class Tokens:
    """What one shows (access), and what one gets the next ones for (refresh), once."""

    access: str
    refresh: str


def sign_up(
    email: str,
    password: str | None,
    name: str,
    language: str,
    country: str,
    phone: str = "",
    wants_messages: bool = True,
    signed_up_at: dt.datetime | None = None,
) -> User:
    """Make somebody a customer, and tell the house.

    password: None for who shall not log in. Whether it is a good one is asked at the door (`api`).
    signed_up_at: business time, for who signed up elsewhere before.

    Raises EmailTaken, and Django's ValidationError for what no form should have let through.
    """
    user = User(
        email=User.objects.normalize_email(email),
        name=name,
        language=language,
        country=country.upper(),
        phone=phone,
        wants_messages=wants_messages,
        date_joined=signed_up_at or timezone.now(),
    )
    # Hashing takes a third of a second: not inside a transaction, where SQLite's one writer waits.
    user.set_password(password)
    admit(user)
    return user


@transaction.atomic
def admit(user: User) -> None:
    """Save a new customer, and tell the house. Raises EmailTaken, ValidationError."""
    is_country(user.country)
    user.clean_fields()
    try:
        with transaction.atomic():
            user.save(force_insert=True)
    except IntegrityError as taken:
        raise EmailTaken(email=user.email) from taken
    publish(user.signed_up())


@transaction.atomic
def disable(user_id: UUID, reason: str) -> None:
    """Let somebody in no more; once is enough. Raises User.DoesNotExist."""
    user = User.objects.select_for_update().get(pk=user_id)
    fact = user.disable(reason)
    if fact:
        user.save(update_fields=["is_active"])
        user.stays.all().delete()
        publish(fact)


def log_in(user: User) -> Tokens:
    """Begin a stay of somebody who has shown who they are."""
    now = clock.now()
    LoginSession.objects.filter(user=user, good_until__lt=now).delete()
    stay = LoginSession(user=user)
    stay.begin(now)
    stay.save()
    return _tokens(stay)


def stay_logged_in(refresh: str) -> Tokens | None:
    """Give the next tokens for the last refresh token; for an older one, end the stay."""
    said = _read(refresh)
    with transaction.atomic():
        stay = _stay(said)
        if stay is None:
            return None
        if not (_is_sealed(said, stay) and stay.go_on(said["turn"], clock.now())):
            log.warning("refresh token refused, stay ended", user=str(stay.user_id))
            stay.delete()
            return None
        stay.save(update_fields=["turn", "good_until"])
    return _tokens(stay)


@transaction.atomic
def log_out(refresh: str) -> None:
    """End the stay a refresh token is of, whichever of its tokens it is; once is enough."""
    stay = _stay(_read(refresh))
    if stay:
        stay.delete()


def _tokens(stay: LoginSession) -> Tokens:
    user = stay.user
    roles = ["operator"] if user.is_staff else ["customer"]
    sign = import_string(conf.SIGN)
    access = sign({"sub": str(user.pk), "sid": str(stay.pk), "roles": roles})
    said = {"stay": str(stay.pk), "turn": stay.turn, "seal": user.get_session_auth_hash()}
    return Tokens(access, _refreshes.sign_object(said))


def _read(refresh: str) -> dict[str, Any]:
    try:
        said: dict[str, Any] = _refreshes.unsign_object(refresh)
    except signing.BadSignature:
        return {}
    return said


def _stay(said: dict[str, Any]) -> LoginSession | None:
    stays = LoginSession.objects.select_for_update(of=("self",)).select_related("user")
    return stays.filter(pk=said["stay"]).first() if said else None


def _is_sealed(said: dict[str, Any], stay: LoginSession) -> bool:
    """Whether the password is still that of the log-in: a new one ends what the old one began."""
    return constant_time_compare(said["seal"], stay.user.get_session_auth_hash())


def make_operator(email: str, password: str | None = None) -> str | None:
    """Make an operator of an account, or a new one, and return the password made up for it.

    Who has an account keeps the password, unless another is given: then nothing is made up.
    """
    email, made_up = User.objects.normalize_email(email), None
    user = User.objects.filter(email=email).first()
    if user is None:
        user = User(email=email, name="Operator")
        made_up = None if password else secrets.token_urlsafe(12)
    if password or made_up:
        user.set_password(password or made_up)
    user.promote()
    user.clean_fields()
    user.save()
    return made_up
