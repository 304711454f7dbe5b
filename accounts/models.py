"""What accounts remembers: the project's own user, from the first migration."""

import datetime as dt
from typing import Any
from uuid import UUID

import pycountry
from django.contrib.auth.models import AbstractBaseUser, BaseUserManager, PermissionsMixin
from django.core.exceptions import ValidationError
from django.core.validators import RegexValidator
from django.db import models
from django.db.models.functions import Lower
from django.utils import timezone

from accounts.conf import conf
from accounts.events import CustomerDisabled, CustomerSignedUp
from infra.ids import new_id

is_phone = RegexValidator(
    r"\A\+[1-9][0-9]{6,14}\Z", "A phone number is + and 7 to 15 digits (E.164)."
)


def is_country(code: str) -> None:
    """Refuse what is no country: ISO 3166-1 alpha-2, in capitals."""
    if not code.isupper() or pycountry.countries.get(alpha_2=code) is None:
        raise ValidationError(f"{code} is not a country code of ISO 3166-1 (two letters).")


class UserManager(BaseUserManager["User"]):
    """Finds people by e-mail, whatever its case."""

    @classmethod
    def normalize_email(cls, email: str | None) -> str:
        """Return the one form in which addresses are kept and compared: lower case."""
        return (email or "").strip().lower()

    def get_by_natural_key(self, username: str | None) -> "User":
        """Find who logs in."""
        return self.get(email=self.normalize_email(username))

    def who_stays(self, user_id: UUID, stay_id: UUID) -> "User | None":
        """Return who is still logged in: neither disabled nor logged out."""
        return self.filter(pk=user_id, is_active=True, stays=stay_id).first()

    def create_user(self, email: str, password: str | None = None, **fields: Any) -> "User":
        """Make a customer, without telling anybody; `services.sign_up` tells."""
        user = self.model(email=self.normalize_email(email), **fields)
        user.set_password(password)
        user.save(using=self._db)
        return user

    def create_superuser(self, email: str, password: str | None = None, **fields: Any) -> "User":
        """Make an operator who may do everything."""
        return self.create_user(email, password, is_staff=True, is_superuser=True, **fields)


class User(AbstractBaseUser, PermissionsMixin):
    """A customer, or an operator (`is_staff`). Other contexts keep the id, never a foreign key."""

    class Language(models.TextChoices):
        ENGLISH = "en", "English"
        INDONESIAN = "id", "Bahasa Indonesia"

    id = models.UUIDField(primary_key=True, default=new_id, editable=False)
    email = models.EmailField(unique=True)
    name = models.CharField(max_length=120)
    language = models.CharField(max_length=2, choices=Language.choices, default=Language.ENGLISH)
    country = models.CharField(
        max_length=2, blank=True, validators=[is_country], help_text="ISO 3166-1 alpha-2"
    )
    phone = models.CharField(max_length=16, blank=True, validators=[is_phone], help_text="E.164")
    wants_messages = models.BooleanField(default=True)
    is_active = models.BooleanField("active", default=True)
    is_staff = models.BooleanField("operator", default=False)
    date_joined = models.DateTimeField("signed up", default=timezone.now)

    USERNAME_FIELD = "email"
    REQUIRED_FIELDS = ["name"]
    objects = UserManager()

    class Meta:
        constraints = [
            models.CheckConstraint(
                condition=models.Q(email=Lower("email")), name="email_in_lower_case"
            )
        ]

    def __str__(self) -> str:
        return self.email

    def signed_up(self) -> CustomerSignedUp:
        """Say who joined."""
        return CustomerSignedUp(
            customer_id=self.id,
            email=self.email,
            name=self.name,
            language=self.language,
            country=self.country,
            phone=self.phone or None,
            wants_messages=self.wants_messages,
            signed_up_at=self.date_joined,
        )

    def disable(self, reason: str) -> CustomerDisabled | None:
        """Shut the door, once."""
        if not self.is_active:
            return None
        self.is_active = False
        return CustomerDisabled(customer_id=self.id, reason=reason)

    def promote(self) -> None:
        """Make an operator who may do everything."""
        self.is_active = self.is_staff = self.is_superuser = True


class LoginSession(models.Model):
    """Somebody's being logged in: a family of refresh tokens, of which the last is good, once."""

    id = models.UUIDField(primary_key=True, default=new_id, editable=False)
    user = models.ForeignKey(User, models.CASCADE, related_name="stays")
    turn = models.PositiveIntegerField(default=0)
    begun_at = models.DateTimeField()
    good_until = models.DateTimeField()

    def __str__(self) -> str:
        return f"{self.user_id} since {self.begun_at:%F %T}"

    def begin(self, now: dt.datetime) -> None:
        """Start the clock."""
        self.begun_at, self.good_until = now, now + conf.LOGIN_IDLE

    def go_on(self, turn: int, now: dt.datetime) -> bool:
        """Take a refresh token, once: an old one shows that somebody else has it, too."""
        if turn != self.turn or now >= self.good_until or not self.user.is_active:
            return False
        self.turn += 1
        end = self.begun_at + conf.LOGIN_LIFETIME
        self.good_until = min(now + conf.LOGIN_IDLE, end)
        return True
