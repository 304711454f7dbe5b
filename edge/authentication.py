"""Who is asking: a bearer token, or the session of the browsable pages."""

from dataclasses import dataclass
from typing import Any
from uuid import UUID

import jwt
from django.contrib.auth import get_user_model
from drf_spectacular.authentication import SessionScheme
from drf_spectacular.extensions import OpenApiAuthenticationExtension
from drf_spectacular.plumbing import build_bearer_security_scheme_object
from rest_framework.authentication import BaseAuthentication, SessionAuthentication
from rest_framework.exceptions import AuthenticationFailed
from rest_framework.request import Request

from edge import access_tokens
from eventbus.origin import set_actor


class Bearer(BaseAuthentication):
    """A token of ours; its holder becomes the actor of all that the request causes."""

    def authenticate(self, request: Request) -> Any:
        """Return user and claims, or None."""
        scheme, _, token = request.headers.get("Authorization", "").partition(" ")
        if scheme.lower() != "bearer":
            return None
        try:
            claims = access_tokens.read(token.strip())
        except jwt.InvalidTokenError as bad:
            raise AuthenticationFailed("The token is not valid, or not any more.") from bad
        return _named((self.holder(claims), claims))

    def holder(self, claims: dict[str, Any]) -> Any:
        """Return the user of the token, unless disabled or logged out meanwhile."""
        user = get_user_model().objects.get_logged_in(UUID(claims["sub"]), UUID(claims["sid"]))
        if user is None:
            raise AuthenticationFailed("Its holder is not logged in any more.")
        return user

    def authenticate_header(self, request: Request) -> str:
        """Make 401 of a refusal, and say how to come in."""
        return 'Bearer realm="api"'


@dataclass(frozen=True)
class Caller:
    """Somebody as a token tells of them."""

    pk: UUID
    is_staff: bool
    is_active: bool = True
    is_authenticated: bool = True
    is_anonymous: bool = False


class BearerAlone(Bearer):
    """A token, for a context that moved away from accounts: believed until it ends."""

    def holder(self, claims: dict[str, Any]) -> Caller:
        """Return whose token it is, by its own word."""
        return Caller(UUID(claims["sub"]), "operator" in claims.get("roles", []))


class Session(SessionAuthentication):
    """A log-in by the browsable pages or the admin; checked against CSRF."""

    def authenticate(self, request: Request) -> Any:
        """Return user and None, or None."""
        return _named(super().authenticate(request))


def _named(found: Any) -> Any:
    if found:
        user = found[0]
        set_actor(f"{'operator' if user.is_staff else 'customer'}:{user.pk}")
    return found


class BearerInSchema(OpenApiAuthenticationExtension):
    """How the API's description names the token; spectacular finds it by its being there."""

    target_class = Bearer
    match_subclasses = True
    name = "bearer"

    def get_security_definition(self, auto_schema: Any) -> Any:
        """Describe it."""
        return build_bearer_security_scheme_object("Authorization", "Bearer", "JWT")


class SessionInSchema(SessionScheme):
    """How the API's description names the session."""

    target_class = Session  # type: ignore[assignment]
    name = "session"
