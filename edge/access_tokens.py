"""Access tokens: JWTs (RFC 9068) that can be verified with nothing but the public keys."""

import time
from typing import Any
from uuid import uuid4

import jwt

from edge import jwks
from edge.conf import tokens

TYPE = "at+jwt"
REQUIRED_CLAIMS = ["iss", "aud", "sub", "sid", "exp", "iat", "jti"]


def sign(claims: dict[str, Any]) -> str:
    """Return an access token with these claims, valid for ACCESS_LIFETIME."""
    key, now = jwks.signing_key(), int(time.time())
    payload = {
        **claims,
        "iss": tokens.ISSUER,
        "aud": tokens.AUDIENCE,
        "iat": now,
        "exp": now + int(tokens.ACCESS_LIFETIME.total_seconds()),
        "jti": str(uuid4()),
    }
    headers = {"typ": TYPE, "kid": key.key_id}
    return jwt.encode(payload, key.key, algorithm=jwks.ALGORITHM, headers=headers)


def read(token: str) -> dict[str, Any]:
    """Return the claims of a valid access token. Raises jwt.InvalidTokenError."""
    header = jwt.get_unverified_header(token)
    key = jwks.verification_key(header.get("kid", ""))
    if header.get("typ") != TYPE or key is None:
        raise jwt.InvalidTokenError("not an access token of this issuer")
    return jwt.decode(
        token,
        key.key,
        algorithms=[jwks.ALGORITHM],  # never the algorithm that the token names
        audience=tokens.AUDIENCE,
        issuer=tokens.ISSUER,
        options={"require": REQUIRED_CLAIMS},
    )
