"""What is no access token of ours opens nothing, however it is made."""

import base64
import hashlib
import hmac
import json
import time
from collections.abc import Callable
from typing import Any

import jwt
import pytest
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from django.conf import settings
from django.test import Client

from accounts.models import User
from accounts.services import Tokens, log_in, sign_up
from edge import access_tokens, jwks

pytestmark = pytest.mark.django_db


@pytest.fixture
def given() -> Tokens:
    return log_in(sign_up("sari@example.org", None, "Sari", "id", "ID"))


def asked_with(token: str, scheme: str = "Bearer") -> Any:
    return Client().get("/v1/customers/me", headers={"Authorization": f"{scheme} {token}"})


def made(token: str, *, header: Any = None, key: Any = None, **claims: Any) -> str:
    """Return the token said anew: by our key, unless another is given; None leaves a claim out."""
    said = {**jwt.decode(token, options={"verify_signature": False}), **claims}
    head = {**jwt.get_unverified_header(token), **(header or {})}
    return jwt.encode(
        {name: value for name, value in said.items() if value is not None},
        key or jwks.signing_key().key,
        algorithm=head["alg"],
        headers={name: value for name, value in head.items() if value is not None},
    )


def signed_by_hand(token: str, algorithm: str, secret: bytes) -> str:
    """Return what a library would refuse to sign: HMAC with a public key."""
    header = jwt.get_unverified_header(token) | {"alg": algorithm}
    encoded = base64.urlsafe_b64encode(json.dumps(header).encode()).rstrip(b"=")
    body = encoded + b"." + token.split(".")[1].encode()
    mac = hmac.new(secret, body, hashlib.sha256).digest()
    return (body + b"." + base64.urlsafe_b64encode(mac).rstrip(b"=")).decode()


def public_bytes(encoding: str) -> bytes:
    key = jwks.signing_key().key.public_key()
    if encoding == "pem":
        return bytes(
            key.public_bytes(
                serialization.Encoding.PEM, serialization.PublicFormat.SubjectPublicKeyInfo
            )
        )
    return bytes(key.public_bytes(serialization.Encoding.Raw, serialization.PublicFormat.Raw))


def without_signature(token: str, algorithm: str = "none") -> str:
    header = {"alg": algorithm, "typ": access_tokens.TYPE, "kid": jwks.signing_key().key_id}
    encoded = base64.urlsafe_b64encode(json.dumps(header).encode()).rstrip(b"=").decode()
    return f"{encoded}.{token.split('.')[1]}."


def tampered(token: str) -> str:
    """Return the token with its holder made an operator, under the old signature."""
    header, body, signature = token.split(".")
    said = json.loads(base64.urlsafe_b64decode(body + "=="))
    payload = json.dumps(said | {"roles": ["operator"]}).encode()
    return f"{header}.{base64.urlsafe_b64encode(payload).rstrip(b'=').decode()}.{signature}"


AGO = int(time.time()) - 600
FORGED: dict[str, Callable[[str], str]] = {
    "no algorithm": without_signature,
    "no algorithm, in capitals": lambda t: without_signature(t, "NONE"),
    "HS256 with the public key as PEM": lambda t: signed_by_hand(t, "HS256", public_bytes("pem")),
    "HS256 with the public key, raw": lambda t: signed_by_hand(t, "HS256", public_bytes("raw")),
    "HS256 with the settings' secret": lambda t: signed_by_hand(
        t, "HS256", settings.SECRET_KEY.encode()
    ),
    "a foreign key with the id of ours": lambda t: made(t, key=Ed25519PrivateKey.generate()),
    "a foreign key with its own id": lambda t: made(
        t, key=Ed25519PrivateKey.generate(), header={"kid": "stranger"}
    ),
    "a key in the header": lambda t: made(
        t, key=Ed25519PrivateKey.generate(), header={"jwk": {"kty": "OKP"}, "kid": None}
    ),
    "no key id": lambda t: made(t, header={"kid": None}),
    "the id of another key": lambda t: made(t, header={"kid": jwks._keys()[1]["kid"]}),
    "for another audience": lambda t: made(t, aud="bank"),
    "without an audience": lambda t: made(t, aud=None),
    "from another issuer": lambda t: made(t, iss="bank"),
    "without an issuer": lambda t: made(t, iss=None),
    "of another type": lambda t: made(t, header={"typ": "JWT"}),
    "of no type": lambda t: made(t, header={"typ": None}),
    "expired": lambda t: made(t, iat=AGO, exp=AGO + 300),
    "without an expiry": lambda t: made(t, exp=None),
    "from the future": lambda t: made(t, iat=AGO + 9000),
    "without a user": lambda t: made(t, sub=None),
    "without a session": lambda t: made(t, sid=None),
    "with an unknown critical header": lambda t: made(t, header={"crit": ["exp2"], "exp2": 1}),
    "tampered with": tampered,
    "cut": lambda t: t[:-4],
    "empty": lambda t: "",
    "two": lambda t: f"{t} {t}",
    "noise": lambda t: "\xff\xfe.é.\x01",
    "not even base64": lambda t: "a.b.c",
    "a header that is no object": lambda t: "W10.e30.AA",
}


def test_a_token_authenticates(given: Tokens) -> None:
    assert asked_with(given.access).json()["email"] == "sari@example.org"
    assert asked_with(given.access, "bearer").status_code == 200
    assert asked_with(made(given.access)).status_code == 200, (
        "a right token by the same code is accepted"
    )


@pytest.mark.parametrize("forge", FORGED.values(), ids=FORGED.keys())
def test_a_forged_token_does_not_authenticate(forge: Callable[[str], str], given: Tokens) -> None:
    answer = asked_with(forge(given.access))

    assert answer.status_code == 401
    assert answer.headers["WWW-Authenticate"] == 'Bearer realm="api"'
    assert answer.headers["Content-Type"] == "application/problem+json"


def test_a_refresh_token_is_no_access_token(given: Tokens) -> None:
    assert asked_with(given.refresh).status_code == 401


def test_an_access_token_is_no_refresh_token(given: Tokens) -> None:
    answer = Client().post("/v1/tokens/refresh", {"refresh": given.access})
    assert answer.status_code == 401
    assert asked_with(given.access).status_code == 200


def test_a_token_has_user_session_and_roles_and_expires_in_five_minutes(given: Tokens) -> None:
    said = access_tokens.read(given.access)

    assert said["sub"] == str(User.objects.get().pk)
    assert said["roles"] == ["customer"]
    assert said["exp"] - said["iat"] == 300
    assert jwt.get_unverified_header(given.access)["alg"] == "EdDSA"


def test_a_session_id_does_not_authenticate_another_user(given: Tokens) -> None:
    budi = sign_up("budi@example.org", None, "Budi", "id", "ID")
    assert asked_with(made(given.access, sub=str(budi.pk))).status_code == 401
