"""The keys that sign tokens: a JWK Set in a file (RFC 7517); its public half is at an address.

The first key signs, and all verify. The second is the next to sign, so that other deployments know
it from the address long before it does. The file is read again when it changes, without a restart.
"""

import json
from collections.abc import Sequence
from functools import lru_cache
from hashlib import sha256
from pathlib import Path
from typing import Any

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from django.conf import settings
from django.http import HttpRequest, HttpResponse, JsonResponse
from django.views.decorators.http import require_safe
from jwt import PyJWK, PyJWKClient, PyJWKClientError
from jwt.algorithms import OKPAlgorithm
from jwt.exceptions import PyJWKClientConnectionError
from jwt.utils import base64url_encode

from edge.conf import tokens
from eventbus import TryLater
from infra import secret_files

ALGORITHM = "EdDSA"  # with Ed25519 (RFC 8037): the only one, so a token cannot select another
MAX_AGE = 300  # seconds that other deployments may cache the public keys


def signing_key() -> PyJWK:
    """Return the private key that signs now."""
    return PyJWK(_keys()[0], ALGORITHM)


def verification_key(kid: str) -> PyJWK | None:
    """Return the public key with this id, or None.

    Raises TryLater where the keys are at another deployment (`JWKS_URL`) that does not answer.
    """
    if tokens.JWKS_URL:
        return _key_from(tokens.JWKS_URL, kid)
    return next((PyJWK(_public(key), ALGORITHM) for key in _keys() if key["kid"] == kid), None)


def require_keys() -> None:
    """Keep a process from starting without keys. Raises OSError, InvalidKeyError."""
    if not tokens.JWKS_URL:
        _keys()


@require_safe
def public_keys(request: HttpRequest) -> HttpResponse:
    """Return the public keys; they are enough to verify tokens without another request."""
    keys = {"keys": [_public(key) for key in _keys()]}
    headers = {"Cache-Control": f"public, max-age={MAX_AGE}"}
    return JsonResponse(keys, content_type="application/jwk-set+json", headers=headers)


def keys_file() -> Path:
    """Return the file of the private keys."""
    return Path(tokens.KEYS_FILE or settings.VAR / "jwt_keys.json")


def rotate(path: Path, compromised: bool = False) -> None:
    """Let the next key sign, create another next one, and keep the last one to verify with."""
    if compromised or not path.exists():
        secret_files.replace(path, _new_key_set())
        return
    last, following, *_ = [*_read_file(path), _new_key()]
    secret_files.replace(path, _as_json([following, _new_key(), last]))


def _key_from(url: str, kid: str) -> PyJWK | None:
    try:
        return _client(url).get_signing_key(kid)
    except PyJWKClientConnectionError as error:
        raise TryLater(seconds=5, reason="the public keys at JWKS_URL are unreachable") from error
    except PyJWKClientError:
        return None


@lru_cache(maxsize=1)
def _client(url: str) -> PyJWKClient:
    return PyJWKClient(url, lifespan=MAX_AGE, timeout=5)


def _keys() -> Sequence[dict[str, Any]]:
    path = keys_file()
    if not tokens.KEYS_FILE:  # a file that is named has to exist
        secret_files.create_once(path, _new_key_set)
    about = path.stat()
    return _cached_keys(path, about.st_ino, about.st_mtime_ns)


@lru_cache(maxsize=2)
def _cached_keys(path: Path, inode: int, changed: int) -> Sequence[dict[str, Any]]:
    return _read_file(path)


def _read_file(path: Path) -> Sequence[dict[str, Any]]:
    """Raises jwt.InvalidKeyError for any other key than Ed25519."""
    keys: list[dict[str, Any]] = json.loads(path.read_text())["keys"]
    for key in keys:
        PyJWK(key, ALGORITHM)
    return keys


def _new_key_set() -> str:
    return _as_json([_new_key(), _new_key()])


def _new_key() -> dict[str, Any]:
    key = OKPAlgorithm.to_jwk(Ed25519PrivateKey.generate(), as_dict=True)
    return {"kid": _thumbprint(key), "alg": ALGORITHM, "use": "sig", **key}


def _thumbprint(key: dict[str, Any]) -> str:
    """Return the key's JWK thumbprint (RFC 7638)."""
    required = {name: key[name] for name in ("crv", "kty", "x")}
    digest = sha256(json.dumps(required, separators=(",", ":")).encode()).digest()
    return base64url_encode(digest).decode()


def _public(key: dict[str, Any]) -> dict[str, Any]:
    return {name: key[name] for name in ("kid", "alg", "use", "kty", "crv", "x")}


def _as_json(keys: Sequence[dict[str, Any]]) -> str:
    return json.dumps({"keys": keys}, indent=2)
