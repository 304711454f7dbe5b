"""Sign-up, disabling, operators."""

import datetime as dt
import secrets
from uuid import UUID

from django.db import IntegrityError, transaction
from django.utils import timezone

from accounts.errors import EmailTaken
from accounts.models import User, validate_country
from eventbus import publish
from infra.transactions import atomic


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


@atomic
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


@atomic
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
