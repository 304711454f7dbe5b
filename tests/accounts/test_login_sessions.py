"""How long a login session lasts, and how it ends."""

import datetime as dt
import threading
from typing import Any

import pytest
from django.contrib.auth import hashers
from django.db import connection

from accounts.models import LoginSession, User
from accounts.services import disable, log_in, log_out, make_operator, refresh_tokens
from infra import clock
from tests.accounts.credentials import PASSWORD


@pytest.fixture
def status_with(anyone: Any) -> Any:
    """Return a function that gives the status of a request with an access token."""
    return lambda token: (
        anyone.get("/v1/customers/me", HTTP_AUTHORIZATION=f"Bearer {token}").status_code
    )


def refreshed(client: Any, refresh: str) -> Any:
    return client.post("/v1/tokens/refresh", {"refresh": refresh})


def test_a_refresh_token_is_valid_once_and_returns_the_next_pair(anyone, sari, status_with):
    first = log_in(sari)
    second = refreshed(anyone, first.refresh)
    third = refreshed(anyone, second.data["refresh"])

    assert (second.status_code, third.status_code) == (200, 200)
    assert len({first.refresh, second.data["refresh"], third.data["refresh"]}) == 3
    assert status_with(third.data["access"]) == 200
    assert second.headers["Cache-Control"] == "no-store"


def test_a_refresh_token_used_twice_ends_its_login_session(anyone, sari, status_with):
    stolen = log_in(sari)
    thief = refreshed(anyone, stolen.refresh).data
    elsewhere = log_in(sari)

    owner = refreshed(anyone, stolen.refresh)

    assert owner.status_code == 401
    assert owner.headers["WWW-Authenticate"] == 'Bearer realm="api"'
    assert refreshed(anyone, thief["refresh"]).status_code == 401
    assert status_with(thief["access"]) == status_with(stolen.access) == 401
    assert status_with(elsewhere.access) == 200, "another login session goes on"


@pytest.mark.postgres
@pytest.mark.django_db(transaction=True)
def test_of_two_racing_refreshes_one_wins_and_the_login_session_ends(sari):
    for _ in range(10):
        refresh, results = log_in(sari).refresh, []
        start = threading.Barrier(2)

        def race(refresh=refresh, results=results, start=start):
            start.wait()
            results.append(refresh_tokens(refresh))
            connection.close()

        racers = [threading.Thread(target=race) for _ in range(2)]
        for racer in racers:
            racer.start()
        for racer in racers:
            racer.join()

        [won] = [tokens for tokens in results if tokens]
        assert len(results) == 2
        assert refresh_tokens(won.refresh) is None
    assert not LoginSession.objects.exists()


def test_logging_out_ends_this_login_session_and_no_other(anyone, sari, status_with):
    here, elsewhere = log_in(sari), log_in(sari)

    answer = anyone.post("/v1/tokens/revocation", {"refresh": here.refresh})

    assert (answer.status_code, answer.content) == (204, b"")
    assert status_with(here.access) == 401
    assert refreshed(anyone, here.refresh).status_code == 401
    assert status_with(elsewhere.access) == 200


def test_revoking_an_invalid_token_gets_the_same_answer(anyone, sari):
    refresh = log_in(sari).refresh
    log_out(refresh)

    for token in (refresh, "x", log_in(sari).access):
        assert anyone.post("/v1/tokens/revocation", {"refresh": token}).status_code == 204
    assert LoginSession.objects.count() == 1


def test_a_used_refresh_token_still_logs_out(sari):
    first = log_in(sari)
    refresh_tokens(first.refresh)
    log_out(first.refresh)

    assert not LoginSession.objects.exists()


def test_disabling_a_user_ends_the_login_sessions(anyone, sari, status_with):
    tokens = log_in(sari)
    assert status_with(tokens.access) == 200

    disable(sari.id, "fraud")

    assert status_with(tokens.access) == 401
    assert refresh_tokens(tokens.refresh) is None
    make_operator(sari.email)  # enables the user again
    assert status_with(tokens.access) == 401, "an ended session stays ended"


def test_disabling_a_user_ends_the_browser_session_too(client, operator):
    client.force_login(operator)
    assert client.get("/v1/customers/me").status_code == client.get("/admin/").status_code == 200

    disable(operator.id, "left")

    assert client.get("/v1/customers/me").status_code == 401
    assert client.get("/admin/").status_code == 302


def test_a_user_disabled_between_password_and_token_is_refused(sari, status_with):
    disable(sari.id, "fraud")
    tokens = log_in(sari)

    assert status_with(tokens.access) == 401
    assert refresh_tokens(tokens.refresh) is None


def test_a_new_password_ends_older_login_sessions(sari):
    tokens = log_in(sari)
    sari.set_password("gula-aren-99")
    sari.save()

    assert refresh_tokens(tokens.refresh) is None
    assert refresh_tokens(log_in(sari).refresh)


def test_a_login_session_ends_after_a_day_without_a_refresh(sari):
    tokens = log_in(sari)
    clock.offset += dt.timedelta(hours=23)
    tokens = refresh_tokens(tokens.refresh)
    clock.offset += dt.timedelta(hours=23)
    tokens = refresh_tokens(tokens.refresh)
    clock.offset += dt.timedelta(hours=25)

    assert refresh_tokens(tokens.refresh) is None


def test_a_login_session_ends_after_thirty_days_in_any_case(sari):
    tokens = log_in(sari)
    days = 0
    while tokens := refresh_tokens(tokens.refresh):
        clock.offset += dt.timedelta(hours=23)
        days += 23 / 24
        assert days < 32

    assert days > 29


def test_expired_login_sessions_are_deleted_at_the_next_log_in(sari):
    log_in(sari)
    clock.offset += dt.timedelta(days=2)
    log_in(sari)

    assert LoginSession.objects.count() == 1


@pytest.mark.parametrize("change", ["cut", "swapped", "empty"])
def test_an_invalid_refresh_token_is_refused_and_ends_no_session(anyone, sari, change):
    refresh = log_in(sari).refresh
    bad = {"cut": refresh[:-1], "swapped": refresh.swapcase(), "empty": ":"}[change]

    assert refreshed(anyone, bad).status_code == 401
    assert refreshed(anyone, refresh).status_code == 200


class CountingHasher(hashers.MD5PasswordHasher):
    """Counts how often a password is hashed."""

    algorithm = "counting"
    count = 0

    def encode(self, password: str, salt: str) -> str:
        type(self).count += 1
        return super().encode(password, salt)


@pytest.mark.parametrize("name", ["sari", "disabled", "guest", "unknown"])
def test_every_refused_log_in_gets_the_same_answer_for_the_same_work(anyone, db, settings, name):
    settings.PASSWORD_HASHERS = [f"{__name__}.CountingHasher"]
    User.objects.create_user("sari@example.org", PASSWORD, name="Sari")
    User.objects.create_user("disabled@example.org", PASSWORD, name="Dis", is_active=False)
    User.objects.create_user("guest@example.org", None, name="Guest")
    CountingHasher.count = 0

    email, password = f"{name}@example.org", PASSWORD if name == "disabled" else "wrong"
    answer = anyone.post("/v1/tokens", {"email": email, "password": password})

    assert answer.status_code == 401
    assert answer.data["detail"] == "No active account found with the given credentials"
    assert CountingHasher.count == 1


def test_log_in_is_throttled_and_sends_retry_after(anyone, sari, settings):
    settings.LIMITS = settings.LIMITS | {"login": "10/day"}
    wrong = {"email": sari.email, "password": "wrong"}
    statuses = [
        anyone.post("/v1/tokens", wrong, HTTP_X_FORWARDED_FOR=f"10.0.0.{n}").status_code
        for n in range(11)
    ]
    answer = anyone.post("/v1/tokens", {"email": sari.email, "password": PASSWORD})

    assert statuses == [401] * 10 + [429]
    assert answer.status_code == 429
    assert 0 < int(answer.headers["Retry-After"]) <= 86_400
