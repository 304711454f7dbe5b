"""Users: customers and operators."""

from typing import Any
from uuid import UUID

import pycountry
from django.contrib.auth.models import AbstractBaseUser, BaseUserManager, PermissionsMixin
from django.core.exceptions import ValidationError
from django.core.validators import RegexValidator
from django.db import models
from django.db.models.functions import Lower
from django.utils import timezone

from accounts.events import CustomerDisabled, CustomerSignedUp
from infra.ids import new_id

validate_phone = RegexValidator(
    r"\A\+[1-9][0-9]{6,14}\Z", "Enter a phone number as + and 7 to 15 digits (E.164)."
)


def validate_country(code: str) -> None:
    """Raise ValidationError unless `code` is an ISO 3166-1 alpha-2 code in capitals."""
    if not code.isupper() or pycountry.countries.get(alpha_2=code) is None:
        raise ValidationError(f"{code} is not an ISO 3166-1 alpha-2 country code, such as ID.")


class UserManager(BaseUserManager["User"]):
    """Finds users by e-mail address in any case."""

    @classmethod
    def normalize_email(cls, email: str | None) -> str:
        """Return the address in the form in which it is stored and compared: lower case."""
        return (email or "").strip().lower()

    def get_by_natural_key(self, username: str | None) -> "User":
        return self.get(email=self.normalize_email(username))

    def get_logged_in(self, user_id: UUID, session_id: UUID) -> "User | None":
        """Return the user of a login session; None if the user is disabled or logged out."""
        return self.filter(pk=user_id, is_active=True, login_sessions=session_id).first()

    def create_user(self, email: str, password: str | None = None, **fields: Any) -> "User":
        """Save a user without publishing an event; `services.sign_up` publishes one."""
        user = self.model(email=self.normalize_email(email), **fields)
        user.set_password(password)
        user.save(using=self._db)
        return user

    def create_superuser(self, email: str, password: str | None = None, **fields: Any) -> "User":
        """Save an operator with all permissions."""
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
        max_length=2, blank=True, validators=[validate_country], help_text="ISO 3166-1 alpha-2"
    )
    phone = models.CharField(
        max_length=16, blank=True, validators=[validate_phone], help_text="E.164"
    )
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
        """Return the event of a sign-up."""
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
        """Forbid the user to log in. Returns None if the user is disabled already."""
        if not self.is_active:
            return None
        self.is_active = False
        return CustomerDisabled(customer_id=self.id, reason=reason)

    def promote(self) -> None:
        """Make the user an operator with all permissions."""
        self.is_active = self.is_staff = self.is_superuser = True
