"""What becomes of people, and what the house hears of it."""

import datetime as dt
from io import StringIO

import pytest
from django.contrib.auth import authenticate
from django.core.exceptions import ValidationError
from django.core.management import call_command
from django.db import IntegrityError

from accounts.errors import EmailTaken
from accounts.events import CustomerDisabled, CustomerSignedUp
from accounts.models import User
from accounts.queries import customer_with
from accounts.services import disable, make_operator, sign_up
from eventbus.testing import said
from tests.accounts.conftest import PASSWORD


def test_who_signs_up_is_announced_once_with_all_that_others_need(sari):
    assert said() == [
        CustomerSignedUp(
            customer_id=sari.id,
            email="sari@example.org",
            name="Sari",
            language="id",
            country="ID",
            phone="+628111111111",
            wants_messages=True,
            signed_up_at=sari.date_joined,
        )
    ]


def test_an_address_is_kept_and_found_in_one_form(db):
    user = sign_up("  Sari@Example.ORG ", PASSWORD, "Sari", "en", "gb")

    assert (user.email, user.country) == ("sari@example.org", "GB")
    assert customer_with("SARI@example.org") == user
    assert authenticate(username="SARI@example.org", password=PASSWORD) == user


def test_an_address_is_given_away_once_and_nothing_is_said_about_the_second(sari):
    with pytest.raises(EmailTaken, match=r"^sari@example\.org has an account already\.$"):
        sign_up("SARI@example.org", PASSWORD, "Another", "en", "ID")

    assert len(said()) == 1
    assert User.objects.count() == 1


def test_nobody_can_slip_in_a_second_spelling_past_the_service(sari):
    with pytest.raises(IntegrityError):
        User.objects.bulk_create([User(email="SARI@example.org", name="x")])


def test_a_guest_of_an_import_has_no_password_no_messages_and_an_old_date(db):
    then = dt.datetime(2010, 12, 1, 8, 26, tzinfo=dt.UTC)
    guest = sign_up(
        "guest@example.org", None, "Guest", "en", "GB", wants_messages=False, signed_up_at=then
    )

    assert not guest.has_usable_password()
    [fact] = said()
    assert (fact.wants_messages, fact.signed_up_at, fact.phone) == (False, then, None)


@pytest.mark.parametrize(
    "wrong",
    [
        {"country": "ZZ"},
        {"country": ""},
        {"language": "fr"},
        {"phone": "0811 111"},
        {"phone": "+628111111111\n"},
        {"phone": "+62811111\u0661\u0661"},
        {"email": "sari"},
        {"name": ""},
    ],
)
def test_what_no_form_should_let_through_is_not_stored_either(db, wrong):
    right = {"email": "sari@example.org", "name": "Sari", "language": "id", "country": "ID"}
    with pytest.raises(ValidationError):
        sign_up(password=None, **{**right, **wrong})

    assert (User.objects.count(), said()) == (0, [])


def test_a_customer_is_disabled_once_however_often_one_asks(sari):
    disable(sari.id, "asked us to")
    disable(sari.id, "asked again")

    assert said()[1:] == [CustomerDisabled(customer_id=sari.id, reason="asked us to")]
    assert authenticate(username=sari.email, password=PASSWORD) is None


def test_disabling_is_decided_without_a_database():
    user = User(email="sari@example.org")

    assert user.disable("why") == CustomerDisabled(customer_id=user.id, reason="why")
    assert user.disable("why") is None


def told(*arguments: str) -> list[str]:
    out = StringIO()
    call_command("makeoperator", *arguments, stdout=out)
    return out.getvalue().splitlines()


def test_an_operator_is_made_once_and_a_made_up_password_is_shown_once(db):
    first = told("--email", "Op@example.org")
    second = told("--email", "op@example.org")

    password = first[1].removeprefix("password: ").removesuffix(" (not shown again)")
    operator = authenticate(username="op@example.org", password=password)
    assert operator and operator.is_staff and operator.is_superuser
    assert second == ["op@example.org is an operator."]
    assert said() == []


def test_a_given_password_is_set_and_not_repeated(db):
    assert told("--email", "op@example.org", "--password", PASSWORD) == [
        "op@example.org is an operator."
    ]
    assert authenticate(username="op@example.org", password=PASSWORD)


def test_a_customer_who_becomes_an_operator_keeps_the_password(sari):
    assert make_operator(sari.email) is None

    sari.refresh_from_db()
    assert sari.is_staff
    assert sari.check_password(PASSWORD)
