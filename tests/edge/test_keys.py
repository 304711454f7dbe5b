"""The keys of the front door: made once, shown in public, changed while people go in and out."""

import json
import os
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any
from uuid import uuid4

import jwt
import pytest
from django.conf import settings as configured
from django.core.management import CommandError, call_command
from django.test import Client, RequestFactory
from rest_framework.exceptions import AuthenticationFailed
from rest_framework.request import Request

from edge import access_tokens, jwks
from edge.authentication import BearerTokenAuthentication
from eventbus import TryLater
from infra import secret_files

CLAIMS = {"sub": "somebody", "sid": "a stay"}


@pytest.fixture(autouse=True)
def ring(settings: Any, tmp_path: Path) -> Path:
    settings.VAR = tmp_path
    return tmp_path / "jwt_keys.json"


def page() -> Any:
    return Client().get("/.well-known/jwks.json")


def kid_of(token: str) -> str:
    return str(jwt.get_unverified_header(token)["kid"])


def turn_back(path: Path) -> None:
    """Let the last rotation be long ago."""
    os.utime(path, (0, 0))


def test_keys_are_created_once_and_readable_by_their_owner_alone(ring: Path) -> None:
    token = access_tokens.sign(CLAIMS)

    assert ring.stat().st_mode & 0o777 == 0o600
    assert access_tokens.read(token)["sub"] == "somebody"
    assert list(ring.parent.iterdir()) == [ring]


def test_processes_that_start_together_agree_on_the_keys(tmp_path: Path) -> None:
    script = "from edge import jwks; import django; print(jwks.signing_key().key_id)"
    env = os.environ | {
        "VAR_DIR": str(tmp_path / "var"),
        "DJANGO_SETTINGS_MODULE": "config.settings",
    }
    command = [sys.executable, "-c", script]
    begun = [
        subprocess.Popen(command, cwd=configured.BASE_DIR, env=env, stdout=subprocess.PIPE)
        for _ in range(3)
    ]
    said = {process.communicate(timeout=60)[0] for process in begun}

    assert len(said) == 1
    assert all(process.returncode == 0 for process in begun)


def test_racing_processes_agree_on_one_secret(tmp_path: Path) -> None:
    for turn in range(20):
        path = tmp_path / str(turn)
        with ThreadPoolExecutor(8) as pool:
            found = list(
                pool.map(
                    lambda n, p=path: secret_files.create_once(p, lambda: f"{n}" * 99), range(8)
                )
            )
        assert set(found) == {path.read_text()}
        assert len(found[0]) == 99


def test_the_page_shows_public_keys_only(ring: Path) -> None:
    answer = page()
    secret = [key["d"] for key in json.loads(ring.read_text())["keys"]]

    assert answer.headers["Content-Type"] == "application/jwk-set+json"
    assert answer.headers["Cache-Control"] == "public, max-age=300"
    for key in answer.json()["keys"]:
        assert set(key) == {"kid", "alg", "use", "kty", "crv", "x"}
    assert not any(part in answer.text for part in secret)
    assert Client().post("/.well-known/jwks.json").status_code == 405


def test_the_public_keys_suffice_to_verify_a_token(ring: Path) -> None:
    token = access_tokens.sign(CLAIMS)
    elsewhere = jwt.PyJWKSet.from_json(page().text)
    ring.unlink()

    key = elsewhere[kid_of(token)]
    said = jwt.decode(token, key, algorithms=["EdDSA"], audience="kabar", issuer="kabar")

    assert said["sub"] == "somebody"


def test_tokens_stay_valid_across_a_rotation_of_keys(ring: Path) -> None:
    before = access_tokens.sign(CLAIMS)
    seen_elsewhere = {key["kid"] for key in page().json()["keys"]}
    turn_back(ring)

    call_command("rotatekeys")
    after = access_tokens.sign(CLAIMS)

    assert kid_of(before) != kid_of(after)
    assert kid_of(after) in seen_elsewhere, "others knew the key before it signed"
    assert access_tokens.read(before)["sub"] == access_tokens.read(after)["sub"] == "somebody"
    assert ring.stat().st_mode & 0o777 == 0o600

    turn_back(ring)
    call_command("rotatekeys")
    with pytest.raises(jwt.InvalidTokenError):
        access_tokens.read(before)
    assert access_tokens.read(after)


def test_keys_do_not_rotate_faster_than_tokens_expire(ring: Path) -> None:
    token = access_tokens.sign(CLAIMS)

    with pytest.raises(CommandError, match="again after"):
        call_command("rotatekeys")
    assert access_tokens.read(token)


def test_compromised_keys_are_not_trusted(ring: Path) -> None:
    token = access_tokens.sign(CLAIMS)

    call_command("rotatekeys", compromised=True)

    with pytest.raises(jwt.InvalidTokenError):
        access_tokens.read(token)
    assert access_tokens.read(access_tokens.sign(CLAIMS))


def test_a_named_file_of_keys_has_to_exist(ring: Path, settings: Any) -> None:
    settings.JWT = settings.JWT | {"KEYS_FILE": str(ring)}
    with pytest.raises(FileNotFoundError):
        access_tokens.sign(CLAIMS)

    call_command("rotatekeys")
    assert access_tokens.read(access_tokens.sign(CLAIMS))


def test_a_key_of_another_kind_is_refused(ring: Path) -> None:
    ring.write_text(json.dumps({"keys": [{"kid": "x", "kty": "oct", "k": "c2VjcmV0"}]}))

    with pytest.raises(jwt.InvalidKeyError):
        access_tokens.sign(CLAIMS)


@pytest.fixture
def moved_out(live_server: Any, settings: Any, ring: Path) -> Any:
    """Ask in a context that knows the page's address and nobody's row."""
    jwks._client.cache_clear()
    settings.JWT = settings.JWT | {"JWKS_URL": f"{live_server.url}/.well-known/jwks.json"}

    def ask(token: str) -> Any:
        request = RequestFactory().get("/", headers={"Authorization": f"Bearer {token}"})
        return BearerTokenAuthentication().authenticate(Request(request))[0]

    return ask


def test_another_deployment_authenticates_callers_by_the_public_keys(
    moved_out: Any, ring: Path, django_assert_num_queries: Any
) -> None:
    who = {"sub": str(uuid4()), "sid": str(uuid4())}
    customer, operator = (
        access_tokens.sign(who | {"roles": [role]}) for role in ("customer", "operator")
    )
    with django_assert_num_queries(0):
        assert str(moved_out(customer).pk) == who["sub"]
        assert [moved_out(token).is_staff for token in (customer, operator)] == [False, True]
        with pytest.raises(AuthenticationFailed):
            moved_out(f"{customer[:-4]}AAAA")

    turn_back(ring)
    call_command("rotatekeys")
    assert moved_out(access_tokens.sign(who)).is_authenticated
    assert moved_out(customer).is_authenticated


def test_while_the_public_keys_are_unreachable_the_answer_is_try_later(
    moved_out: Any, settings: Any
) -> None:
    settings.JWT = settings.JWT | {"JWKS_URL": "http://127.0.0.1:9/jwks.json"}
    with pytest.raises(TryLater):
        moved_out(access_tokens.sign(CLAIMS))
