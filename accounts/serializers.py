"""Bodies of the accounts API."""

from typing import Any

from django.contrib.auth.password_validation import validate_password
from django.core.exceptions import ValidationError
from rest_framework import serializers

from accounts.models import User, validate_country, validate_phone
from infra.serializers import StrictSerializer


class Customer(serializers.ModelSerializer[User]):
    class Meta:
        model = User
        fields = ["id", "email", "name", "language", "country", "phone"]
        read_only_fields = fields


class Password(serializers.CharField):
    """A password, read as it is: spaces at its ends belong to it."""

    def __init__(self, **options: Any) -> None:
        hidden = {"input_type": "password"}
        super().__init__(trim_whitespace=False, write_only=True, style=hidden, **options)


class SignUp(StrictSerializer):
    email = serializers.EmailField(max_length=254)
    password = Password(max_length=128)
    name = serializers.CharField(max_length=120)
    language = serializers.ChoiceField(User.Language.choices)
    country = serializers.CharField(max_length=2, help_text="ISO 3166-1 alpha-2")
    phone = serializers.CharField(
        max_length=16,
        default="",
        allow_blank=True,
        validators=[validate_phone],
        help_text="E.164",
    )

    def validate_country(self, code: str) -> str:
        validate_country(code.upper())
        return code.upper()

    def validate(self, attrs: dict[str, Any]) -> dict[str, Any]:
        try:
            validate_password(attrs["password"], User(email=attrs["email"], name=attrs["name"]))
        except ValidationError as error:
            raise serializers.ValidationError({"password": error.messages}) from error
        return attrs


class Disablement(StrictSerializer):
    reason = serializers.CharField(max_length=200)


class LogIn(StrictSerializer):
    """E-mail address and password, exchanged for an access and a refresh token."""

    email = serializers.CharField(write_only=True)
    password = Password()


class Refresh(StrictSerializer):
    """A refresh token. It is valid once, for the next pair."""

    refresh = serializers.CharField(write_only=True)


class Pair(serializers.Serializer[Any]):
    access = serializers.CharField()
    refresh = serializers.CharField()
