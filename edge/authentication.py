"""Authentication of API requests: a bearer token, or the session of the browsable pages."""

from dataclasses import dataclass
from typing import Any
from uuid import UUID

import jwt
from django.contrib.auth import get_user_model
from drf_spectacular import authentication as schemes
from drf_spectacular.extensions import OpenApiAuthenticationExtension
from drf_spectacular.plumbing import build_bearer_security_scheme_object
from rest_framework import authentication
from rest_framework.exceptions import AuthenticationFailed
from rest_framework.request import Request

from edge import access_tokens
from edge.conf import tokens
from eventbus.origin import set_actor


@dataclass(frozen=True)
class TokenUser:
    """The user of a request as the access token's claims describe it."""

    pk: UUID
    is_staff: bool
    is_active: bool = True
    is_authenticated: bool = True
    is_anonymous: bool = False


class BearerTokenAuthentication(authentication.BaseAuthentication):
    """Authenticates by an access token; its user becomes the actor of the request."""

    def authenticate(self, request: Request) -> Any:
        """Return user and claims, or None."""
        scheme, _, token = request.headers.get("Authorization", "").partition(" ")
        if scheme.lower() != "bearer":
            return None
        try:
            claims = access_tokens.read(token.strip())
        except jwt.InvalidTokenError as error:
            raise AuthenticationFailed("The token is not valid, or not any more.") from error
        return _set_actor((_user(claims), claims))

    def authenticate_header(self, request: Request) -> str:
        """Return the WWW-Authenticate header; with it a refusal is 401 and not 403."""
        return 'Bearer realm="api"'


class SessionAuthentication(authentication.SessionAuthentication):
    """Authenticates by the session of the browsable pages or the admin, with a CSRF check."""

    def authenticate(self, request: Request) -> Any:
        """Return user and None, or None."""
        return _set_actor(super().authenticate(request))


def _user(claims: dict[str, Any]) -> Any:
    user_id, session_id = UUID(claims["sub"]), UUID(claims["sid"])
    if tokens.JWKS_URL:  # accounts is another deployment: the token is valid until it expires
        return TokenUser(user_id, "operator" in claims.get("roles", []))
    user = get_user_model().objects.get_logged_in(user_id, session_id)
    if user is None:
        raise AuthenticationFailed("Its holder is not logged in any more.")
    return user


def _set_actor(authenticated: Any) -> Any:
    if authenticated:
        user = authenticated[0]
        set_actor(f"{'operator' if user.is_staff else 'customer'}:{user.pk}")
    return authenticated


class BearerTokenScheme(OpenApiAuthenticationExtension):
    """The token in the OpenAPI description; drf-spectacular finds this class by itself."""

    target_class = BearerTokenAuthentication
    name = "bearer"

    def get_security_definition(self, auto_schema: Any) -> Any:
        """Return the security scheme."""
        return build_bearer_security_scheme_object("Authorization", "Bearer", "JWT")


class SessionScheme(schemes.SessionScheme):
    """The session in the OpenAPI description."""

    target_class = SessionAuthentication  # type: ignore[assignment]
    name = "session"
