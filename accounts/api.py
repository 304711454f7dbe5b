"""Views of accounts: sign-up, tokens, the caller's own account, disabling a customer."""

from dataclasses import asdict
from typing import cast
from uuid import UUID

from django.contrib.auth import authenticate
from drf_spectacular.utils import extend_schema
from rest_framework.exceptions import AuthenticationFailed
from rest_framework.permissions import AllowAny, IsAdminUser
from rest_framework.request import Request
from rest_framework.response import Response
from rest_framework.views import APIView

from accounts import services
from accounts.models import User
from accounts.serializers import Customer, Disablement, LogIn, Pair, Refresh, SignUp


class Customers(APIView):
    permission_classes = [AllowAny]
    authentication_classes = []
    throttle_scope = "signup"
    serializer_class = SignUp

    @extend_schema(operation_id="sign_up", request=SignUp, responses={201: Customer})
    def post(self, request: Request) -> Response:
        """Become a customer. A welcome message follows by e-mail."""
        body = SignUp(data=request.data)
        body.is_valid(raise_exception=True)
        user = services.sign_up(**body.validated_data)
        return Response(Customer(user).data, 201, headers={"Location": "/v1/customers/me"})


class Me(APIView):
    @extend_schema(operation_id="who_am_i", responses=Customer)
    def get(self, request: Request) -> Response:
        """Return the caller's account."""
        return Response(Customer(cast(User, request.user)).data)


class Disablements(APIView):
    permission_classes = [IsAdminUser]
    serializer_class = Disablement

    @extend_schema(operation_id="disable_customer", request=Disablement, responses={202: None})
    def post(self, request: Request, id: UUID) -> Response:
        """Forbid a customer to log in, for a stated reason. All login sessions end."""
        body = Disablement(data=request.data)
        body.is_valid(raise_exception=True)
        services.disable(id, **body.validated_data)
        return Response(status=202)


class TokenView(APIView):
    """Base of the token views: no authentication, so an expired token does no harm."""

    permission_classes = [AllowAny]
    authentication_classes = []
    stores_responses = False  # a stored answer would put tokens into a table

    def get_authenticate_header(self, request: Request) -> str:
        """Name the scheme, which makes DRF answer 401 and not 403 when a log-in is refused."""
        return 'Bearer realm="api"'


class Tokens(TokenView):
    throttle_scope = "login"
    serializer_class = LogIn

    @extend_schema(operation_id="log_in", request=LogIn, responses=Pair)
    def post(self, request: Request) -> Response:
        """Log in. An expired token sent along is ignored."""
        body = LogIn(data=request.data)
        body.is_valid(raise_exception=True)
        email, password = body.validated_data["email"], body.validated_data["password"]
        user = authenticate(request._request, username=email, password=password)
        if user is None:
            raise AuthenticationFailed("No active account found with the given credentials")
        return _token_response(services.log_in(user))


class FreshTokens(TokenView):
    serializer_class = Refresh

    @extend_schema(operation_id="stay_logged_in", request=Refresh, responses=Pair)
    def post(self, request: Request) -> Response:
        """Exchange a refresh token for the next pair. Using one twice ends its login session."""
        tokens = services.refresh_tokens(_refresh_token(request))
        if tokens is None:
            raise AuthenticationFailed("The refresh token is invalid or expired. Log in again.")
        return _token_response(tokens)


class Revocation(TokenView):
    serializer_class = Refresh

    @extend_schema(operation_id="log_out", request=Refresh, responses={204: None})
    def post(self, request: Request) -> Response:
        """Log out: end the login session of a refresh token (RFC 7009)."""
        services.log_out(_refresh_token(request))
        return Response(status=204)


def _refresh_token(request: Request) -> str:
    body = Refresh(data=request.data)
    body.is_valid(raise_exception=True)
    return str(body.validated_data["refresh"])


def _token_response(tokens: services.Tokens) -> Response:
    return Response(asdict(tokens), headers={"Cache-Control": "no-store"})
