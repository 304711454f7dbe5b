"""What accounts does."""

import datetime as dt
import secrets
from uuid import UUID

from django.db import IntegrityError, transaction
from django.utils import timezone

from accounts.errors import EmailTaken
from accounts.models import User, is_country
from eventbus import publish


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
        publish(fact)


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
