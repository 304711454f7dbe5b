"""Access tokens: JWTs (RFC 9068) that whoever has our public keys can verify alone."""

import time
from typing import Any
from uuid import uuid4

import jwt
from django.conf import settings

from edge import jwks

TYPE = "at+jwt"
CLAIMS = ["iss", "aud", "sub", "sid", "exp", "iat", "jti"]


def sign(claims: dict[str, Any]) -> str:
    """Return an access token that says this, for some minutes."""
    key, now = jwks.signing(), int(time.time())
    said = {
        **claims,
        "iss": settings.JWT["ISSUER"],
        "aud": settings.JWT["AUDIENCE"],
        "iat": now,
        "exp": now + int(settings.JWT["ACCESS"].total_seconds()),
        "jti": str(uuid4()),
    }
    headers = {"typ": TYPE, "kid": key.key_id}
    return jwt.encode(said, key.key, algorithm=jwks.ALGORITHM, headers=headers)


def read(token: str) -> dict[str, Any]:
    """Return what an access token of ours says. Raises jwt.InvalidTokenError."""
    header = jwt.get_unverified_header(token)
    key = jwks.verifying(header.get("kid", ""))
    if header.get("typ") != TYPE or key is None:
        raise jwt.InvalidTokenError("not an access token of ours")
    return jwt.decode(
        token,
        key.key,
        algorithms=[jwks.ALGORITHM],  # never the token's own word
        audience=settings.JWT["AUDIENCE"],
        issuer=settings.JWT["ISSUER"],
        options={"require": CLAIMS},
    )
