"""Settings changed while the shop runs: seen at the next use, remembered, and undone."""

import datetime as dt
from decimal import Decimal

import pytest
from constance import config
from django.conf import settings
from django.core.management import CommandError, call_command
from django.test import Client

from accounts.models import User
from config import settings as shipped
from edge.conf import limits
from infra.app_settings import declared_in
from infra.runtime_settings import store
from infra.runtime_settings.models import Change
from inventory.conf import conf as inventory

pytestmark = pytest.mark.django_db(transaction=True)

SETTINGS = {conf.name: conf for conf in declared_in(settings.CONTEXTS)}
SPAN = dt.timedelta(minutes=20)
AT_START = shipped.INVENTORY["RESERVATION"]


@pytest.fixture(autouse=True)
def look() -> None:
    store.forget()


@pytest.fixture
def operator() -> User:
    return User.objects.create_superuser("op@example.org", "x", name="Op")


@pytest.fixture
def admin(operator) -> Client:
    client = Client()
    client.force_login(operator)
    return client


def test_a_change_is_seen_at_the_next_use_and_undone_with_none():
    assert inventory.RESERVATION == AT_START
    store.change("INVENTORY_RESERVATION", SPAN)
    assert inventory.RESERVATION == SPAN
    store.change("INVENTORY_RESERVATION", None)
    assert inventory.RESERVATION == AT_START


def test_a_changed_limit_holds_for_the_next_request_and_a_wrong_one_is_refused(monkeypatch, admin):
    monkeypatch.setattr(settings, "LIMITS", shipped.LIMITS)
    assert limits.user == "300/min"
    store.change("LIMITS_user", "1/day")
    assert [admin.get("/v1/orders").status_code for _ in range(2)] == [200, 429]
    store.change("LIMITS_user", "")
    assert admin.get("/v1/orders").status_code == 200
    with pytest.raises(CommandError, match="Like 30/min"):
        call_command("constance", "set", "LIMITS_user", "often")


def test_reading_a_setting_stores_nothing():
    assert config.INVENTORY_RESERVATION == AT_START
    assert not Change.objects.exists()


def test_each_kind_of_value_comes_back_as_it_was():
    for name, value in {
        "ORDERS_OPEN": False,
        "INVENTORY_LOW": 7,
        "PAYMENTS_BANK_TIMEOUT": 1.5,
        "PAYMENTS_FRAUD_ALLOW_BELOW": Decimal("9.90"),
        "PAYMENTS_FRAUD_AWAY": "refuse",
        "PAYMENTS_PIN_TIMEOUT": SPAN,
    }.items():
        store.change(name, value)
        context, _, key = name.partition("_")
        assert getattr(SETTINGS[context], key) == value == getattr(config, name)


def test_the_history_has_every_change_and_reverts_it(admin, operator):
    # given
    store.change("INVENTORY_RESERVATION", SPAN, by="operator:anna")
    store.change("INVENTORY_RESERVATION", 2 * SPAN, by="operator:budi")
    latest, first = Change.objects.all()
    assert (first.before, latest.before) == (None, first)
    page = admin.get("/admin/runtime_settings/change/").content.decode()
    for word in ("operator:anna", "operator:budi", "0:20:00", "0:40:00", "as at start"):
        assert word in page

    # when
    back = {"action": "revert", "_selected_action": [latest.pk]}
    assert admin.post("/admin/runtime_settings/change/", back).status_code == 302

    # then
    assert inventory.RESERVATION == SPAN
    assert Change.objects.first().by == f"operator:{operator.pk}"
    back = {"action": "revert", "_selected_action": [first.pk]}
    admin.post("/admin/runtime_settings/change/", back)
    assert inventory.RESERVATION == AT_START
    assert Change.objects.count() == 4


def form(admin: Client, **changes: str) -> dict[str, str]:
    shown = admin.get("/admin/constance/config/").context["form"]
    fields = {field.name: field.value() for field in shown}
    fields = {k: "on" if v is True else str(v) for k, v in fields.items() if v is not False}
    return fields | changes


def test_the_form_records_the_operator_and_only_real_changes(admin, operator):
    answer = admin.post("/admin/constance/config/", form(admin, INVENTORY_RESERVATION="00:20:00"))
    assert answer.status_code == 302
    (change,) = Change.objects.all()
    assert (change.name, change.by) == ("INVENTORY_RESERVATION", f"operator:{operator.pk}")
    assert inventory.RESERVATION == SPAN


@pytest.mark.parametrize(
    ("name", "nonsense"),
    [
        ("INVENTORY_RESERVATION", "-1"),
        ("INVENTORY_LOW", "-5"),
        ("PAYMENTS_BANK_TIMEOUT", "0"),
        ("PAYMENTS_FRAUD_AWAY", "shrug"),
    ],
)
def test_a_wrong_value_is_refused_by_form_and_command(admin, name, nonsense):
    assert (
        admin.post("/admin/constance/config/", form(admin, **{name: nonsense})).status_code == 200
    )
    with pytest.raises(CommandError):
        call_command("constance", "set", name, "--", nonsense)
    assert not Change.objects.exists()


def test_only_superusers_see_runtime_settings(admin, operator):
    User.objects.filter(pk=operator.pk).update(is_superuser=False)
    assert admin.get("/admin/constance/config/").status_code == 403


def test_the_command_changes_them_too():
    call_command("constance", "set", "ORDERS_OPEN", "false")
    assert SETTINGS["ORDERS"].OPEN is False
    assert Change.objects.get().by.startswith("command:constance")


def test_a_request_sees_one_set_of_values_read_once(monkeypatch, admin):
    reads = []
    monkeypatch.setattr(store, "FRESH", 0.0)
    monkeypatch.setattr(store._values, "get", lambda key: reads.append(key) or {"ORDERS_OPEN": 1})

    assert admin.get("/v1/orders").status_code == 200
    assert len(reads) == 1

    with store.read_once():
        for _ in range(3):
            assert SETTINGS["ORDERS"].OPEN == 1
    assert len(reads) == 2
    assert [SETTINGS["ORDERS"].OPEN, inventory.LOW] == [1, 5]
    assert len(reads) == 4


def test_a_request_sees_its_own_change(db):
    with store.read_once():
        assert inventory.RESERVATION == AT_START
        store.change("INVENTORY_RESERVATION", SPAN)
        assert inventory.RESERVATION == SPAN
