"""Sign-up, disabling, login sessions. A change and its event are one transaction."""

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
from accounts.models import LoginSession, User, validate_country
from eventbus import publish
from infra import clock

log = structlog.get_logger(__name__)
# Only accounts reads refresh tokens, so they need no public key and are no JWTs.
_refresh_signer = signing.Signer(salt="accounts.refresh")


@dataclass(frozen=True)
class Tokens:
    """An access token, and the refresh token that buys the next pair once."""

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
    """Create a customer and publish CustomerSignedUp.

    password: None for a guest, who cannot log in. The API and the admin validate its strength.
    signed_up_at: business time of a sign-up that happened elsewhere (an import).

    Raises EmailTaken, and Django's ValidationError for values that no form should let through.
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
    register(user)
    return user


@transaction.atomic
def register(user: User) -> None:
    """Save a new customer and publish CustomerSignedUp. Raises EmailTaken, ValidationError."""
    validate_country(user.country)
    user.clean_fields()
    try:
        with transaction.atomic():
            user.save(force_insert=True)
    except IntegrityError as error:
        raise EmailTaken(email=user.email) from error
    publish(user.signed_up())


@transaction.atomic
def disable(user_id: UUID, reason: str) -> None:
    """Forbid a user to log in and end all login sessions; a second call changes nothing.

    Raises User.DoesNotExist.
    """
    user = User.objects.select_for_update().get(pk=user_id)
    event = user.disable(reason)
    if event:
        user.save(update_fields=["is_active"])
        user.login_sessions.all().delete()
        publish(event)


def log_in(user: User) -> Tokens:
    """Start a login session of an authenticated user."""
    now = clock.now()
    LoginSession.objects.filter(user=user, expires_at__lt=now).delete()
    session = LoginSession(user=user)
    session.start(now)
    session.save()
    return _tokens(session)


def refresh_tokens(refresh: str) -> Tokens | None:
    """Return the next tokens for the latest refresh token; an older one ends the session."""
    claims = _read(refresh)
    with transaction.atomic():
        session = _session(claims)
        if session is None:
            return None
        if not (
            _password_unchanged(claims, session)
            and session.rotate(claims["generation"], clock.now())
        ):
            log.warning("refresh token refused, login session ended", user=str(session.user_id))
            session.delete()
            return None
        session.save(update_fields=["generation", "expires_at"])
    return _tokens(session)


@transaction.atomic
def log_out(refresh: str) -> None:
    """End the session of a refresh token, of any generation; a second call changes nothing."""
    session = _session(_read(refresh))
    if session:
        session.delete()


def _tokens(session: LoginSession) -> Tokens:
    user = session.user
    roles = ["operator"] if user.is_staff else ["customer"]
    sign = import_string(conf.SIGN)
    access = sign({"sub": str(user.pk), "sid": str(session.pk), "roles": roles})
    claims = {
        "session": str(session.pk),
        "generation": session.generation,
        "auth_hash": user.get_session_auth_hash(),
    }
    return Tokens(access, _refresh_signer.sign_object(claims))


def _read(refresh: str) -> dict[str, Any]:
    try:
        claims: dict[str, Any] = _refresh_signer.unsign_object(refresh)
    except signing.BadSignature:
        return {}
    return claims


def _session(claims: dict[str, Any]) -> LoginSession | None:
    sessions = LoginSession.objects.select_for_update(of=("self",)).select_related("user")
    return sessions.filter(pk=claims["session"]).first() if claims else None


def _password_unchanged(claims: dict[str, Any], session: LoginSession) -> bool:
    # A new password ends the sessions that the old one started.
    return constant_time_compare(claims["auth_hash"], session.user.get_session_auth_hash())


def make_operator(email: str, password: str | None = None) -> str | None:
    """Make a new or existing user an operator; return the generated password, if there is one.

    An existing user keeps the password unless another is given.
    """
    email, generated = User.objects.normalize_email(email), None
    user = User.objects.filter(email=email).first()
    if user is None:
        user = User(email=email, name="Operator")
        generated = None if password else secrets.token_urlsafe(12)
    if password or generated:
        user.set_password(password or generated)
    user.promote()
    user.clean_fields()
    user.save()
    return generated
