"""How long somebody stays logged in, and what ends it."""

import datetime as dt
import threading
from typing import Any

import pytest
from django.contrib.auth import hashers
from django.db import connection

from accounts.models import LoginSession, User
from accounts.services import disable, log_in, log_out, make_operator, stay_logged_in
from infra import clock
from tests.accounts.conftest import PASSWORD


@pytest.fixture
def asks(anyone: Any) -> Any:
    """Ask who one is, with an access token."""
    return lambda token: (
        anyone.get("/v1/customers/me", HTTP_AUTHORIZATION=f"Bearer {token}").status_code
    )


def refreshed(client: Any, refresh: str) -> Any:
    return client.post("/v1/tokens/refresh", {"refresh": refresh})


def test_a_refresh_token_is_good_once_and_brings_the_next_pair(anyone, sari, asks):
    first = log_in(sari)
    second = refreshed(anyone, first.refresh)
    third = refreshed(anyone, second.data["refresh"])

    assert (second.status_code, third.status_code) == (200, 200)
    assert len({first.refresh, second.data["refresh"], third.data["refresh"]}) == 3
    assert asks(third.data["access"]) == 200
    assert second.headers["Cache-Control"] == "no-store"


def test_a_refresh_token_shown_twice_ends_all_that_came_of_its_log_in(anyone, sari, asks):
    stolen = log_in(sari)
    thief = refreshed(anyone, stolen.refresh).data
    elsewhere = log_in(sari)

    owner = refreshed(anyone, stolen.refresh)

    assert owner.status_code == 401
    assert owner.headers["WWW-Authenticate"] == 'Bearer realm="api"'
    assert refreshed(anyone, thief["refresh"]).status_code == 401
    assert asks(thief["access"]) == asks(stolen.access) == 401
    assert asks(elsewhere.access) == 200, "another log-in is another family"


@pytest.mark.postgres
@pytest.mark.django_db(transaction=True)
def test_of_two_racing_refreshes_one_wins_and_the_log_in_ends(sari):
    for _ in range(10):
        given, found = log_in(sari).refresh, []
        start = threading.Barrier(2)

        def race(given=given, found=found, start=start):
            start.wait()
            found.append(stay_logged_in(given))
            connection.close()

        racers = [threading.Thread(target=race) for _ in range(2)]
        for racer in racers:
            racer.start()
        for racer in racers:
            racer.join()

        [won] = [tokens for tokens in found if tokens]
        assert len(found) == 2
        assert stay_logged_in(won.refresh) is None
    assert not LoginSession.objects.exists()


def test_who_logs_out_is_out_at_once_there_and_nowhere_else(anyone, sari, asks):
    here, elsewhere = log_in(sari), log_in(sari)

    answer = anyone.post("/v1/tokens/revocation", {"refresh": here.refresh})

    assert (answer.status_code, answer.content) == (204, b"")
    assert asks(here.access) == 401
    assert refreshed(anyone, here.refresh).status_code == 401
    assert asks(elsewhere.access) == 200


def test_logging_out_says_nothing_about_the_token(anyone, sari):
    refresh = log_in(sari).refresh
    log_out(refresh)

    for token in (refresh, "x", log_in(sari).access):
        assert anyone.post("/v1/tokens/revocation", {"refresh": token}).status_code == 204
    assert LoginSession.objects.count() == 1


def test_a_refresh_token_used_up_still_logs_out(sari):
    first = log_in(sari)
    stay_logged_in(first.refresh)
    log_out(first.refresh)

    assert not LoginSession.objects.exists()


def test_who_is_disabled_is_out_at_once(anyone, sari, asks):
    tokens = log_in(sari)
    assert asks(tokens.access) == 200

    disable(sari.id, "fraud")

    assert asks(tokens.access) == 401
    assert stay_logged_in(tokens.refresh) is None
    make_operator(sari.email)  # lets them in again
    assert asks(tokens.access) == 401, "what was ended stays ended"


def test_a_session_ends_at_once_too(client, operator):
    client.force_login(operator)
    assert client.get("/v1/customers/me").status_code == client.get("/admin/").status_code == 200

    disable(operator.id, "left")

    assert client.get("/v1/customers/me").status_code == 401
    assert client.get("/admin/").status_code == 302


def test_who_is_disabled_between_password_and_token_is_out_too(sari, asks):
    disable(sari.id, "fraud")
    tokens = log_in(sari)

    assert asks(tokens.access) == 401
    assert stay_logged_in(tokens.refresh) is None


def test_a_new_password_ends_what_the_old_one_began(sari):
    tokens = log_in(sari)
    sari.set_password("gula-aren-99")
    sari.save()

    assert stay_logged_in(tokens.refresh) is None
    assert stay_logged_in(log_in(sari).refresh)


def test_a_stay_ends_without_a_sign_of_life_for_a_day(sari):
    tokens = log_in(sari)
    clock.offset += dt.timedelta(hours=23)
    tokens = stay_logged_in(tokens.refresh)
    clock.offset += dt.timedelta(hours=23)
    tokens = stay_logged_in(tokens.refresh)
    clock.offset += dt.timedelta(hours=25)

    assert stay_logged_in(tokens.refresh) is None


def test_a_stay_ends_after_thirty_days_whatever_it_does(sari):
    tokens = log_in(sari)
    days = 0
    while tokens := stay_logged_in(tokens.refresh):
        clock.offset += dt.timedelta(hours=23)
        days += 23 / 24
        assert days < 32

    assert days > 29


def test_stays_that_are_over_are_swept_at_the_next_log_in(sari):
    log_in(sari)
    clock.offset += dt.timedelta(days=2)
    log_in(sari)

    assert LoginSession.objects.count() == 1


@pytest.mark.parametrize("change", ["cut", "swapped", "empty"])
def test_what_is_no_refresh_token_is_refused_and_ends_nothing(anyone, sari, change):
    refresh = log_in(sari).refresh
    bad = {"cut": refresh[:-1], "swapped": refresh.swapcase(), "empty": ":"}[change]

    assert refreshed(anyone, bad).status_code == 401
    assert refreshed(anyone, refresh).status_code == 200


class Counted(hashers.MD5PasswordHasher):
    """Counts what logging in costs."""

    algorithm = "counted"
    work = 0

    def encode(self, password: str, salt: str) -> str:
        type(self).work += 1
        return super().encode(password, salt)


@pytest.mark.parametrize("who", ["sari", "disabled", "guest", "nobody"])
def test_whoever_is_refused_gets_the_same_answer_for_the_same_work(anyone, db, settings, who):
    settings.PASSWORD_HASHERS = [f"{__name__}.Counted"]
    User.objects.create_user("sari@example.org", PASSWORD, name="Sari")
    User.objects.create_user("disabled@example.org", PASSWORD, name="Dis", is_active=False)
    User.objects.create_user("guest@example.org", None, name="Guest")
    Counted.work = 0

    email, password = f"{who}@example.org", PASSWORD if who == "disabled" else "wrong"
    answer = anyone.post("/v1/tokens", {"email": email, "password": password})

    assert answer.status_code == 401
    assert answer.data["detail"] == "No active account found with the given credentials"
    assert Counted.work == 1


def test_log_in_is_throttled_and_says_when_to_come_back(anyone, sari, settings):
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
