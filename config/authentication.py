"""Who is asking: a bearer token, or the session of the browsable pages."""

from typing import Any

from drf_spectacular.authentication import SessionScheme
from drf_spectacular.contrib.rest_framework_simplejwt import SimpleJWTScheme
from rest_framework.authentication import SessionAuthentication
from rest_framework.request import Request
from rest_framework_simplejwt.authentication import JWTAuthentication

from eventbus.origin import named


class Bearer(JWTAuthentication):
    """A token of ours; its holder becomes the actor of all that the request causes."""

    def authenticate(self, request: Request) -> Any:
        """Return user and token, or None."""
        return _named(super().authenticate(request))


class Session(SessionAuthentication):
    """A log-in by the browsable pages or the admin; checked against CSRF."""

    def authenticate(self, request: Request) -> Any:
        """Return user and None, or None."""
        return _named(super().authenticate(request))


def _named(found: Any) -> Any:
    if found:
        user = found[0]
        named(f"{'operator' if user.is_staff else 'customer'}:{user.pk}")
    return found


class BearerInSchema(SimpleJWTScheme):
    """How the API's description names the token; spectacular finds it by its being there."""

    target_class = Bearer  # type: ignore[assignment]
    name = "bearer"


class SessionInSchema(SessionScheme):
    """How the API's description names the session."""

    target_class = Session  # type: ignore[assignment]
    name = "session"
