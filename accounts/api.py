"""What accounts shows: signing up, logging in, and oneself."""

from typing import Any, cast
from uuid import UUID

from django.contrib.auth.password_validation import validate_password
from django.core.exceptions import ValidationError as BadPassword
from drf_spectacular.utils import extend_schema, extend_schema_view
from rest_framework import serializers
from rest_framework.permissions import AllowAny, IsAdminUser
from rest_framework.request import Request
from rest_framework.response import Response
from rest_framework.views import APIView

# The one place that knows which library makes the tokens.
from rest_framework_simplejwt import serializers as tokens
from rest_framework_simplejwt import views as token_views

from accounts import services
from accounts.models import User, is_country, is_phone
from eventbus.strict import Strict


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


class SignUp(Strict):
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


class Disablement(Strict):
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


class LogIn(Strict, tokens.TokenObtainPairSerializer):
    """E-mail and password, against an access and a refresh token."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        # The library's own field would trim what sign-up took as it was.
        self.fields["password"] = Password()


class Refresh(Strict, tokens.TokenRefreshSerializer):
    """A refresh token, against a new access token."""


class Pair(serializers.Serializer[Any]):
    access = serializers.CharField()
    refresh = serializers.CharField()


class Access(serializers.Serializer[Any]):
    access = serializers.CharField()


@extend_schema_view(post=extend_schema(operation_id="log_in", responses=Pair))
class Tokens(token_views.TokenObtainPairView):
    """Log in. A stale token sent along does not stand in the way."""

    keeps_answers = False  # tokens lie in no table
    throttle_scope = "login"
    serializer_class = LogIn


@extend_schema_view(post=extend_schema(operation_id="stay_logged_in", responses=Access))
class FreshTokens(token_views.TokenRefreshView):
    """Stay logged in."""

    keeps_answers = False
    serializer_class = Refresh
