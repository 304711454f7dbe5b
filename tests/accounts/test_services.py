"""Sign-up, disabling and operators, and the events that they publish."""

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
from accounts.services import disable, make_operator, sign_up
from eventbus.testing import said
from tests.accounts.credentials import PASSWORD


def test_a_sign_up_is_published_once_with_all_fields(sari):
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


def test_an_address_is_stored_in_lower_case_and_found_in_any(db):
    user = sign_up("  Sari@Example.ORG ", PASSWORD, "Sari", "en", "gb")

    assert (user.email, user.country) == ("sari@example.org", "GB")
    assert User.objects.get_by_natural_key("SARI@example.org") == user
    assert authenticate(username="SARI@example.org", password=PASSWORD) == user


def test_a_taken_address_is_refused_and_publishes_nothing(sari):
    with pytest.raises(EmailTaken, match=r"^sari@example\.org has an account already\.$"):
        sign_up("SARI@example.org", PASSWORD, "Another", "en", "ID")

    assert len(said()) == 1
    assert User.objects.count() == 1


def test_the_database_refuses_an_address_in_capitals(sari):
    with pytest.raises(IntegrityError):
        User.objects.bulk_create([User(email="SARI@example.org", name="x")])


def test_an_imported_guest_has_no_password_no_messages_and_a_past_date(db):
    then = dt.datetime(2010, 12, 1, 8, 26, tzinfo=dt.UTC)
    guest = sign_up(
        "guest@example.org", None, "Guest", "en", "GB", wants_messages=False, signed_up_at=then
    )

    assert not guest.has_usable_password()
    [event] = said()
    assert (event.wants_messages, event.signed_up_at, event.phone) == (False, then, None)


@pytest.mark.parametrize(
    "invalid",
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
def test_invalid_values_are_refused_by_the_service_too(db, invalid):
    valid = {"email": "sari@example.org", "name": "Sari", "language": "id", "country": "ID"}
    with pytest.raises(ValidationError):
        sign_up(password=None, **{**valid, **invalid})

    assert (User.objects.count(), said()) == (0, [])


def test_a_customer_is_disabled_once(sari):
    disable(sari.id, "asked us to")
    disable(sari.id, "asked again")

    assert said()[1:] == [CustomerDisabled(customer_id=sari.id, reason="asked us to")]
    assert authenticate(username=sari.email, password=PASSWORD) is None


def test_disabling_is_decided_without_a_database():
    user = User(email="sari@example.org")

    assert user.disable("why") == CustomerDisabled(customer_id=user.id, reason="why")
    assert user.disable("why") is None


def makeoperator(*arguments: str) -> list[str]:
    out = StringIO()
    call_command("makeoperator", *arguments, stdout=out)
    return out.getvalue().splitlines()


def test_a_new_operator_gets_a_generated_password_that_is_shown_once(db):
    first = makeoperator("--email", "Op@example.org")
    second = makeoperator("--email", "op@example.org")

    password = first[1].removeprefix("password: ").removesuffix(" (not shown again)")
    operator = authenticate(username="op@example.org", password=password)
    assert operator and operator.is_staff and operator.is_superuser
    assert second == ["op@example.org is an operator."]
    assert said() == []


def test_a_given_password_is_set_and_not_printed(db):
    assert makeoperator("--email", "op@example.org", "--password", PASSWORD) == [
        "op@example.org is an operator."
    ]
    assert authenticate(username="op@example.org", password=PASSWORD)


def test_a_customer_who_becomes_an_operator_keeps_the_password(sari):
    assert make_operator(sari.email) is None

    sari.refresh_from_db()
    assert sari.is_staff
    assert sari.check_password(PASSWORD)
