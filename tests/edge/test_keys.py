"""The keys of access tokens: created once, published, rotated while tokens are in use."""

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

CLAIMS = {"sub": "sari", "sid": "a session"}


@pytest.fixture(autouse=True)
def keys_file(settings: Any, tmp_path: Path) -> Path:
    settings.VAR = tmp_path
    return tmp_path / "jwt_keys.json"


def public_keys() -> Any:
    return Client().get("/.well-known/jwks.json")


def kid_of(token: str) -> str:
    return str(jwt.get_unverified_header(token)["kid"])


def age(path: Path) -> None:
    """Make the last rotation long ago."""
    os.utime(path, (0, 0))


def test_keys_are_created_once_and_readable_by_their_owner_alone(keys_file: Path) -> None:
    token = access_tokens.sign(CLAIMS)

    assert keys_file.stat().st_mode & 0o777 == 0o600
    assert access_tokens.read(token)["sub"] == "sari"
    assert list(keys_file.parent.iterdir()) == [keys_file]


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


def test_the_page_shows_public_keys_only(keys_file: Path) -> None:
    answer = public_keys()
    secret = [key["d"] for key in json.loads(keys_file.read_text())["keys"]]

    assert answer.headers["Content-Type"] == "application/jwk-set+json"
    assert answer.headers["Cache-Control"] == "public, max-age=300"
    for key in answer.json()["keys"]:
        assert set(key) == {"kid", "alg", "use", "kty", "crv", "x"}
    assert not any(part in answer.text for part in secret)
    assert Client().post("/.well-known/jwks.json").status_code == 405


def test_the_public_keys_suffice_to_verify_a_token(keys_file: Path) -> None:
    token = access_tokens.sign(CLAIMS)
    elsewhere = jwt.PyJWKSet.from_json(public_keys().text)
    keys_file.unlink()

    key = elsewhere[kid_of(token)]
    said = jwt.decode(token, key, algorithms=["EdDSA"], audience="kabar", issuer="kabar")

    assert said["sub"] == "sari"


def test_tokens_stay_valid_across_a_rotation_of_keys(keys_file: Path) -> None:
    before = access_tokens.sign(CLAIMS)
    seen_elsewhere = {key["kid"] for key in public_keys().json()["keys"]}
    age(keys_file)

    call_command("rotatekeys")
    after = access_tokens.sign(CLAIMS)

    assert kid_of(before) != kid_of(after)
    assert kid_of(after) in seen_elsewhere, "others knew the key before it signed"
    assert access_tokens.read(before)["sub"] == access_tokens.read(after)["sub"] == "sari"
    assert keys_file.stat().st_mode & 0o777 == 0o600

    age(keys_file)
    call_command("rotatekeys")
    with pytest.raises(jwt.InvalidTokenError):
        access_tokens.read(before)
    assert access_tokens.read(after)


def test_keys_do_not_rotate_faster_than_tokens_expire(keys_file: Path) -> None:
    token = access_tokens.sign(CLAIMS)

    with pytest.raises(CommandError, match="again after"):
        call_command("rotatekeys")
    assert access_tokens.read(token)


def test_compromised_keys_are_not_trusted(keys_file: Path) -> None:
    token = access_tokens.sign(CLAIMS)

    call_command("rotatekeys", compromised=True)

    with pytest.raises(jwt.InvalidTokenError):
        access_tokens.read(token)
    assert access_tokens.read(access_tokens.sign(CLAIMS))


def test_a_named_file_of_keys_has_to_exist(keys_file: Path, settings: Any) -> None:
    settings.JWT = settings.JWT | {"KEYS_FILE": str(keys_file)}
    with pytest.raises(FileNotFoundError):
        access_tokens.sign(CLAIMS)

    call_command("rotatekeys")
    assert access_tokens.read(access_tokens.sign(CLAIMS))


def test_a_key_of_another_kind_is_refused(keys_file: Path) -> None:
    keys_file.write_text(json.dumps({"keys": [{"kid": "x", "kty": "oct", "k": "c2VjcmV0"}]}))

    with pytest.raises(jwt.InvalidKeyError):
        access_tokens.sign(CLAIMS)


@pytest.fixture
def elsewhere_user(live_server: Any, settings: Any, keys_file: Path) -> Any:
    """Authenticate in a deployment without accounts, which knows the address of the keys."""
    jwks._client.cache_clear()
    settings.JWT = settings.JWT | {"JWKS_URL": f"{live_server.url}/.well-known/jwks.json"}

    def ask(token: str) -> Any:
        request = RequestFactory().get("/", headers={"Authorization": f"Bearer {token}"})
        return BearerTokenAuthentication().authenticate(Request(request))[0]

    return ask


def test_another_deployment_authenticates_callers_by_the_public_keys(
    elsewhere_user: Any, keys_file: Path, django_assert_num_queries: Any
) -> None:
    who = {"sub": str(uuid4()), "sid": str(uuid4())}
    customer, operator = (
        access_tokens.sign(who | {"roles": [role]}) for role in ("customer", "operator")
    )
    with django_assert_num_queries(0):
        assert str(elsewhere_user(customer).pk) == who["sub"]
        assert [elsewhere_user(token).is_staff for token in (customer, operator)] == [False, True]
        with pytest.raises(AuthenticationFailed):
            elsewhere_user(f"{customer[:-4]}AAAA")

    age(keys_file)
    call_command("rotatekeys")
    assert elsewhere_user(access_tokens.sign(who)).is_authenticated
    assert elsewhere_user(customer).is_authenticated


def test_while_the_public_keys_are_unreachable_the_answer_is_try_later(
    elsewhere_user: Any, settings: Any
) -> None:
    settings.JWT = settings.JWT | {"JWKS_URL": "http://127.0.0.1:9/jwks.json"}
    with pytest.raises(TryLater):
        elsewhere_user(access_tokens.sign(CLAIMS))
