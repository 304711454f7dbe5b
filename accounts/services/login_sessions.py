"""Log-in, refresh and log-out."""

from dataclasses import dataclass
from typing import Any

import structlog
from django.core import signing
from django.utils.crypto import constant_time_compare
from django.utils.module_loading import import_string

from accounts.conf import conf
from accounts.models import LoginSession, User
from infra import clock
from infra.transactions import atomic

log = structlog.get_logger(__name__)
# Only accounts reads refresh tokens, so they need no public key and are no JWTs.
_refresh_signer = signing.Signer(salt="accounts.refresh")


@dataclass(frozen=True)
class Tokens:
    """An access token, and the refresh token that buys the next pair once."""

    access: str
    refresh: str


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
    session = _rotated(_read(refresh))
    return _tokens(session) if session else None


@atomic
def _rotated(claims: Any) -> LoginSession | None:
    session = _session(claims)
    if session is None:
        return None
    if not (
        _password_unchanged(claims, session) and session.rotate(claims["generation"], clock.now())
    ):
        log.warning("refresh token refused, login session ended", user=str(session.user_id))
        session.delete()
        return None
    session.save(update_fields=["generation", "expires_at"])
    return session


@atomic
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
