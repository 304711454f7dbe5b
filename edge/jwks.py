"""The keys that sign tokens: a JWK Set in a file (RFC 7517), and its public half for everybody.

The first key signs, and all verify. The second is the next to sign, so that others have long seen
it on the page when it does. The file is read again when it changes: no process starts anew for it.
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

from eventbus import TryLater
from infra import secret_files

ALGORITHM = "EdDSA"  # with Ed25519 (RFC 8037): one algorithm, so that none can be chosen for us
FRESH = 300  # seconds others may remember the page


def signing() -> PyJWK:
    """Return the private key that signs now."""
    return PyJWK(_ring()[0], ALGORITHM)


def verifying(kid: str) -> PyJWK | None:
    """Return the public key of this name, if it is one of ours.

    Raises TryLater where the keys are on a page elsewhere (`JWKS_URL`) and it cannot be had.
    """
    if url := settings.JWT["JWKS_URL"]:
        return _verifying_elsewhere(url, kid)
    return next((PyJWK(_public(key), ALGORITHM) for key in _ring() if key["kid"] == kid), None)


def must_be_there() -> None:
    """Keep a process from opening where nobody could log in. Raises OSError, InvalidKeyError."""
    if not settings.JWT["JWKS_URL"]:
        _ring()


@require_safe
def page(request: HttpRequest) -> HttpResponse:
    """Show the public keys: whoever has them can verify our tokens without asking us."""
    shown = {"keys": [_public(key) for key in _ring()]}
    headers = {"Cache-Control": f"public, max-age={FRESH}"}
    return JsonResponse(shown, content_type="application/jwk-set+json", headers=headers)


def rotate(path: Path, compromised: bool = False) -> None:
    """Let the next key sign, make another next one, and keep the last one to verify with."""
    if compromised or not path.exists():
        secret_files.replace(path, _new_ring())
        return
    last, following, *_ = [*_read_file(path), _new_key()]
    secret_files.replace(path, _text([following, _new_key(), last]))


def _verifying_elsewhere(url: str, kid: str) -> PyJWK | None:
    try:
        return _client(url).get_signing_key(kid)
    except PyJWKClientConnectionError as away:
        raise TryLater(seconds=5, reason="the page of keys cannot be had") from away
    except PyJWKClientError:
        return None


@lru_cache(maxsize=1)
def _client(url: str) -> PyJWKClient:
    return PyJWKClient(url, lifespan=FRESH, timeout=5)


def _ring() -> Sequence[dict[str, Any]]:
    path = settings.JWT["KEYS_FILE"]
    if settings.JWT["MAKE_KEYS"]:
        secret_files.create_once(path, _new_ring)
    about = path.stat()
    return _remembered(path, about.st_ino, about.st_mtime_ns)


@lru_cache(maxsize=2)
def _remembered(path: Path, inode: int, changed: int) -> Sequence[dict[str, Any]]:
    return _read_file(path)


def _read_file(path: Path) -> Sequence[dict[str, Any]]:
    """Raises jwt.InvalidKeyError for what is no Ed25519 key."""
    found: list[dict[str, Any]] = json.loads(path.read_text())["keys"]
    for key in found:
        PyJWK(key, ALGORITHM)
    return found


def _new_ring() -> str:
    return _text([_new_key(), _new_key()])


def _new_key() -> dict[str, Any]:
    key = OKPAlgorithm.to_jwk(Ed25519PrivateKey.generate(), as_dict=True)
    return {"kid": _thumbprint(key), "alg": ALGORITHM, "use": "sig", **key}


def _thumbprint(key: dict[str, Any]) -> str:
    """Name a key by what it is (RFC 7638)."""
    told = json.dumps({name: key[name] for name in ("crv", "kty", "x")}, separators=(",", ":"))
    return base64url_encode(sha256(told.encode()).digest()).decode()


def _public(key: dict[str, Any]) -> dict[str, Any]:
    return {name: key[name] for name in ("kid", "alg", "use", "kty", "crv", "x")}


def _text(keys: Sequence[dict[str, Any]]) -> str:
    return json.dumps({"keys": keys}, indent=2)
