"""What operators do with people in the admin."""

import pytest
from django.contrib.auth import authenticate

from accounts.events import CustomerDisabled, CustomerSignedUp
from accounts.models import User
from eventbus.testing import said
from tests.accounts.conftest import PASSWORD

LIST = "/admin/accounts/user/"


@pytest.fixture
def desk(client, operator):
    client.force_login(operator)
    return client


def new(email: str, **change: str) -> dict[str, str]:
    return {
        "email": email,
        "name": "Budi",
        "language": "id",
        "country": "id",
        "phone": "",
        "wants_messages": "on",
        "usable_password": "true",
        "password1": PASSWORD,
        "password2": PASSWORD,
    } | change


def test_an_operator_logs_in_by_e_mail(client, operator):
    form = {"username": "OP@example.org", "password": PASSWORD, "next": LIST}
    assert client.post("/admin/login/", form)["Location"] == LIST


def test_people_are_listed_and_found(desk, sari):
    assert b"sari@example.org" in desk.get(LIST, {"q": "sari"}).content
    assert b"sari@example.org" not in desk.get(LIST, {"q": "budi"}).content


def test_who_is_entered_by_an_operator_is_announced_like_everybody(desk):
    answer = desk.post(f"{LIST}add/", new("Budi@Example.org"))

    assert answer.status_code == 302, answer.context["errors"]
    budi = authenticate(username="budi@example.org", password=PASSWORD)
    assert (budi.country, budi.is_staff) == ("ID", False)
    assert said() == [budi.signed_up()]
    assert isinstance(said()[0], CustomerSignedUp)


@pytest.mark.parametrize(
    "change", [{"country": "xx"}, {"country": ""}, {"phone": "1"}, {"email": "SARI@example.org"}]
)
def test_a_bad_entry_makes_nobody(desk, sari, change):
    answer = desk.post(f"{LIST}add/", new("budi@example.org") | change)

    assert answer.status_code == 200
    assert answer.context["errors"]
    assert len(said()) == 1


def test_a_page_shows_no_hash_and_what_others_were_told_stays(desk, sari):
    page = desk.get(f"{LIST}{sari.id}/change/")
    assert b"pbkdf2" not in page.content
    assert sari.password.encode() not in page.content

    desk.post(f"{LIST}{sari.id}/change/", {"email": "x@example.org", "is_staff": "on"})
    sari.refresh_from_db()
    assert (sari.email, sari.is_staff) == ("sari@example.org", True)
    assert sari.check_password(PASSWORD)


def test_a_password_can_be_set_anew(desk, sari):
    form = {"usable_password": "true", "password1": "gula-aren-99", "password2": "gula-aren-99"}
    assert desk.get(f"{LIST}{sari.id}/password/").status_code == 200
    desk.post(f"{LIST}{sari.id}/password/", form)

    assert authenticate(username=sari.email, password="gula-aren-99")


def test_people_are_disabled_by_the_service_and_never_deleted(desk, sari):
    desk.post(LIST, {"action": "disable", "_selected_action": [str(sari.id)]})

    assert said()[-1] == CustomerDisabled(customer_id=sari.id, reason="disabled in the admin")
    assert not User.objects.get(pk=sari.pk).is_active
    assert desk.post(f"{LIST}{sari.id}/delete/", {"post": "yes"}).status_code == 403


def test_an_operator_without_full_rights_gives_none(client, sari, operator):
    from django.contrib.auth.models import Permission

    User.objects.filter(pk=operator.pk).update(is_superuser=False)
    operator.user_permissions.set(Permission.objects.filter(codename__endswith="_user"))
    client.force_login(operator)

    client.post(f"{LIST}{operator.id}/change/", {"is_superuser": "on", "is_staff": "on"})

    operator.refresh_from_db()
    assert not operator.is_superuser
