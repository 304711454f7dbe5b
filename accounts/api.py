"""What accounts shows: signing up, logging in, and oneself."""

from dataclasses import asdict
from typing import Any, cast
from uuid import UUID

from django.contrib.auth import authenticate
from django.contrib.auth.password_validation import validate_password
from django.core.exceptions import ValidationError as BadPassword
from drf_spectacular.utils import extend_schema
from rest_framework import serializers
from rest_framework.exceptions import AuthenticationFailed
from rest_framework.permissions import AllowAny, IsAdminUser
from rest_framework.request import Request
from rest_framework.response import Response
from rest_framework.views import APIView

from accounts import services
from accounts.models import User, is_country, is_phone
from infra.serializers import StrictSerializer


class Customer(serializers.ModelSerializer[User]):
    class Meta:
        model = User
        fields = ["id", "email", "name", "language", "country", "phone"]
        read_only_fields = fields


class Password(serializers.CharField):
    """A secret, taken as it is: spaces at its ends belong to it."""

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
        validators=[is_phone],
        help_text="E.164",
    )

    def validate_country(self, code: str) -> str:
        is_country(code.upper())
        return code.upper()

    def validate(self, attrs: dict[str, Any]) -> dict[str, Any]:
        try:
            validate_password(attrs["password"], User(email=attrs["email"], name=attrs["name"]))
        except BadPassword as bad:
            raise serializers.ValidationError({"password": bad.messages}) from bad
        return attrs


class Disablement(StrictSerializer):
    reason = serializers.CharField(max_length=200)


class Customers(APIView):
    """Sign up."""

    permission_classes = [AllowAny]
    authentication_classes = []
    throttle_scope = "signup"
    serializer_class = SignUp

    @extend_schema(operation_id="sign_up", request=SignUp, responses={201: Customer})
    def post(self, request: Request) -> Response:
        """Become a customer. A welcome follows by mail."""
        wish = SignUp(data=request.data)
        wish.is_valid(raise_exception=True)
        user = services.sign_up(**wish.validated_data)
        return Response(Customer(user).data, 201, headers={"Location": "/v1/customers/me"})


class Me(APIView):
    """Oneself."""

    @extend_schema(operation_id="who_am_i", responses=Customer)
    def get(self, request: Request) -> Response:
        """Return the account of whoever asks."""
        return Response(Customer(cast(User, request.user)).data)


class Disablements(APIView):
    """Shut the door."""

    permission_classes = [IsAdminUser]
    serializer_class = Disablement

    @extend_schema(operation_id="disable_customer", request=Disablement, responses={202: None})
    def post(self, request: Request, id: UUID) -> Response:
        """Let a customer log in no more, and say why."""
        wish = Disablement(data=request.data)
        wish.is_valid(raise_exception=True)
        services.disable(id, **wish.validated_data)
        return Response(status=202)


class LogIn(StrictSerializer):
    """E-mail and password, against an access and a refresh token."""

    email = serializers.CharField(write_only=True)
    password = Password()


class Refresh(StrictSerializer):
    """A refresh token: good once, for the next pair."""

    refresh = serializers.CharField(write_only=True)


class Pair(serializers.Serializer[Any]):
    access = serializers.CharField()
    refresh = serializers.CharField()


class Door(APIView):
    """Anybody may knock. A stale token sent along does not stand in the way."""

    permission_classes = [AllowAny]
    authentication_classes = []
    keeps_answers = False  # tokens lie in no table

    def get_authenticate_header(self, request: Request) -> str:
        """Make 401 of a refusal, though no token is asked for."""
        return 'Bearer realm="api"'


class Tokens(Door):
    """Log in."""

    throttle_scope = "login"
    serializer_class = LogIn

    @extend_schema(operation_id="log_in", request=LogIn, responses=Pair)
    def post(self, request: Request) -> Response:
        """Log in. A stale token sent along does not stand in the way."""
        wish = LogIn(data=request.data)
        wish.is_valid(raise_exception=True)
        email, password = wish.validated_data["email"], wish.validated_data["password"]
        user = authenticate(request._request, username=email, password=password)
        if user is None:
            raise AuthenticationFailed("No active account found with the given credentials")
        return _given(services.log_in(user))


class FreshTokens(Door):
    """Stay logged in."""

    serializer_class = Refresh

    @extend_schema(operation_id="stay_logged_in", request=Refresh, responses=Pair)
    def post(self, request: Request) -> Response:
        """Stay logged in. Showing a refresh token twice ends the log-in it came from."""
        tokens = services.stay_logged_in(_refresh(request))
        if tokens is None:
            raise AuthenticationFailed("The refresh token is not valid, or not any more.")
        return _given(tokens)


class Revocation(Door):
    """Log out."""

    serializer_class = Refresh

    @extend_schema(operation_id="log_out", request=Refresh, responses={204: None})
    def post(self, request: Request) -> Response:
        """Log out: the refresh token and all that came from the same log-in end (RFC 7009)."""
        services.log_out(_refresh(request))
        return Response(status=204)


def _refresh(request: Request) -> str:
    wish = Refresh(data=request.data)
    wish.is_valid(raise_exception=True)
    return str(wish.validated_data["refresh"])


def _given(tokens: services.Tokens) -> Response:
    return Response(asdict(tokens), headers={"Cache-Control": "no-store"})
