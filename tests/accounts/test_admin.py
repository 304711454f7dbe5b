"""Users in the admin."""

import pytest
from django.contrib.auth import authenticate

from accounts.events import CustomerDisabled, CustomerSignedUp
from accounts.models import User
from eventbus.testing import said
from tests.accounts.credentials import PASSWORD

LIST = "/admin/accounts/user/"


@pytest.fixture
def admin(client, operator):
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


def test_users_are_listed_and_found(admin, sari):
    assert b"sari@example.org" in admin.get(LIST, {"q": "sari"}).content
    assert b"sari@example.org" not in admin.get(LIST, {"q": "budi"}).content


def test_a_customer_added_by_an_operator_is_published_like_a_sign_up(admin):
    answer = admin.post(f"{LIST}add/", new("Budi@Example.org"))

    assert answer.status_code == 302, answer.context["errors"]
    budi = authenticate(username="budi@example.org", password=PASSWORD)
    assert (budi.country, budi.is_staff) == ("ID", False)
    assert said() == [budi.signed_up()]
    assert isinstance(said()[0], CustomerSignedUp)


@pytest.mark.parametrize(
    "change", [{"country": "xx"}, {"country": ""}, {"phone": "1"}, {"email": "SARI@example.org"}]
)
def test_an_invalid_entry_creates_no_user(admin, sari, change):
    answer = admin.post(f"{LIST}add/", new("budi@example.org") | change)

    assert answer.status_code == 200
    assert answer.context["errors"]
    assert len(said()) == 1


def test_a_page_shows_no_hash_and_published_fields_are_read_only(admin, sari):
    page = admin.get(f"{LIST}{sari.id}/change/")
    assert b"pbkdf2" not in page.content
    assert sari.password.encode() not in page.content

    admin.post(f"{LIST}{sari.id}/change/", {"email": "x@example.org", "is_staff": "on"})
    sari.refresh_from_db()
    assert (sari.email, sari.is_staff) == ("sari@example.org", True)
    assert sari.check_password(PASSWORD)


def test_a_password_can_be_replaced(admin, sari):
    form = {"usable_password": "true", "password1": "gula-aren-99", "password2": "gula-aren-99"}
    assert admin.get(f"{LIST}{sari.id}/password/").status_code == 200
    admin.post(f"{LIST}{sari.id}/password/", form)

    assert authenticate(username=sari.email, password="gula-aren-99")


def test_users_are_disabled_by_the_service_and_never_deleted(admin, sari):
    admin.post(LIST, {"action": "disable", "_selected_action": [str(sari.id)]})

    assert said()[-1] == CustomerDisabled(customer_id=sari.id, reason="disabled in the admin")
    assert not User.objects.get(pk=sari.pk).is_active
    assert admin.post(f"{LIST}{sari.id}/delete/", {"post": "yes"}).status_code == 403


def test_an_operator_who_is_no_superuser_grants_no_permissions(client, sari, operator):
    from django.contrib.auth.models import Permission

    User.objects.filter(pk=operator.pk).update(is_superuser=False)
    operator.user_permissions.set(Permission.objects.filter(codename__endswith="_user"))
    client.force_login(operator)

    client.post(f"{LIST}{operator.id}/change/", {"is_superuser": "on", "is_staff": "on"})

    operator.refresh_from_db()
    assert not operator.is_superuser
