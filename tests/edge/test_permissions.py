"""docs/operate/permissions.md compared with every route of the running shop."""

import json
import logging
import re
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any
from uuid import UUID, uuid4

import pytest
from constance.admin import Config
from django.conf import settings
from django.contrib import admin
from django.contrib.auth.models import Permission
from django.core.cache import cache as redis
from django.db import transaction
from django.test import Client
from django.urls import URLPattern, URLResolver, get_resolver
from drf_spectacular.generators import SchemaGenerator

from accounts.models import User
from accounts.services import log_in, make_operator, sign_up
from eventbus.testing import Bus
from notifications.models import Message
from payments.models import Payment
from tests.shop import Shop

PAGE = Path(settings.BASE_DIR) / "docs/operate/permissions.md"
METHODS = ["GET", "POST", "PUT", "PATCH", "DELETE"]
CALLERS = ["anonymous", "customer", "other", "operator"]
DONE = {200, 201, 202, 204}
STATUS = {
    "log in": {401},
    "no": {403},
    "not found": {404},
    "yes": DONE,
    "own": DONE,
    "all": DONE,
    "probe": {200, 503},
    "signed": {400},
}
PASSWORD = "teh-melati-4-orang"


@cache
def table() -> dict[tuple[str, str], dict[str, str]]:
    """Return the page: what it says for (route, method) and a caller."""
    rows = re.findall(r"^\| `(/[^`]*)` \| ([A-Z]+) \|(.+)\|$", PAGE.read_text(), re.M)
    return {
        (route, method): dict(zip(CALLERS, map(str.strip, cells.split("|")), strict=True))
        for route, method, cells in rows
    }


def routes(resolver: Any = None, before: str = "/") -> Iterator[str]:
    """Return every route but the admin's, as the API's description spells it."""
    for found in (resolver or get_resolver()).url_patterns:
        here = before + re.sub(r"<(?:\w+:)?(\w+)>", r"{\1}", str(found.pattern))
        if isinstance(found, URLResolver) and found.app_name != "admin":
            yield from routes(found, here)
        elif isinstance(found, URLPattern):
            yield here


@dataclass
class Callers:
    """People, and one of everything that is the customer's."""

    shop: Shop

    def __post_init__(self) -> None:
        self.customer, self.other, self.operator = (self.person(n) for n in ("sari", "budi", "op"))
        make_operator(self.operator.email)
        self.client = Client()
        self.shop.shelve(teapot=9)
        self.shop._customers["sari"] = self.customer
        paid = self.shop.checkout("sari", teapot=1)
        self.order = self.shop.order("sari", teapot=1)
        self.shop.bus.settle()
        self.payment = Payment.objects.get(order_id=paid.pk)
        self.tokens = {
            "customer": log_in(self.customer),
            "other": log_in(self.other),
            "operator": log_in(User.objects.get(pk=self.operator.pk)),
        }

    def person(self, name: str) -> User:
        return sign_up(f"{name}@example.org", PASSWORD, name.title(), "id", "ID")

    @property
    def secrets(self) -> list[str]:
        """Name the customer's things."""
        messages = Message.objects.filter(customer_id=self.customer.pk)
        found = [self.customer.email, self.order.pk, self.payment.pk, *(m.pk for m in messages)]
        return [str(one) for one in found]

    def filled(self, route: str) -> str:
        """Put the customer's things into a route."""
        return route.format(
            id=self.customer.pk,
            order_id=self.order.pk,
            payment_id=self.payment.pk,
            sku="teapot",
            kind="EmailTaken",
            provider="bank",
        )

    def body(self, route: str, method: str) -> Any:
        """Return what may be sent there."""
        refresh = {"refresh": self.tokens["customer"].refresh}
        person = {"password": PASSWORD, "name": "New", "language": "en", "country": "ID"}
        product = {"sku": "new", "name": "New", "unit_price": "1.00", "currency": "EUR"}
        bodies: dict[tuple[str, str], Any] = {
            ("/v1/customers", "POST"): person | {"email": "new@example.org"},
            ("/v1/customers/{id}/disablement", "POST"): {"reason": "fraud"},
            ("/v1/tokens", "POST"): {"email": self.customer.email, "password": PASSWORD},
            ("/v1/tokens/refresh", "POST"): refresh,
            ("/v1/tokens/revocation", "POST"): refresh,
            ("/v1/products", "POST"): product,
            ("/v1/products/{sku}", "PATCH"): {"unit_price": "2.00"},
            ("/v1/orders", "POST"): {"lines": [{"sku": "teapot", "quantity": 1}], "country": "ID"},
            ("/v1/orders/{order_id}/cancellation", "POST"): {"reason": "changed my mind"},
            ("/v1/payments", "POST"): {"order_id": str(self.order.pk), "card": "tok_ok"},
            ("/v1/stock/{sku}/replenishments", "POST"): {"quantity": 1},
            ("/v1/messages/preferences", "PATCH"): {"sms": False},
        }
        return bodies.get((route, method), {})

    def asked(self, caller: str, route: str, method: str, body: Any = None) -> Any:
        """Ask, and leave nothing changed."""
        redis.clear()  # throttles count there
        headers = {"Accept": "*/*", "Idempotency-Key": str(uuid4())}
        if caller != "anonymous":
            headers["Authorization"] = f"Bearer {self.tokens[caller].access}"
        said = json.dumps(self.body(route, method) if body is None else body)
        with transaction.atomic():
            answer = self.client.generic(
                method, self.filled(route), said, "application/json", headers=headers
            )
            transaction.set_rollback(True)
        return answer


@pytest.fixture(autouse=True)
def quiet_log(caplog: pytest.LogCaptureFixture) -> None:
    """Refuse without a word: hundreds of tracebacks take minutes to draw."""
    caplog.set_level(logging.CRITICAL, "django.request")


@pytest.fixture
def callers(calm: Bus, settings: Any, tmp_path: Path) -> Callers:
    callers = Callers(Shop(calm, settings, tmp_path))
    settings.PAYMENTS = {**settings.PAYMENTS, "WEBHOOK_SECRETS": {"bank": ["of the bank"]}}
    return callers


def test_every_route_has_a_row_and_every_row_a_route() -> None:
    assert set(routes()) == {route for route, _ in table()}
    assert {word for row in table().values() for word in row.values()} <= set(STATUS)


def test_every_caller_may_do_exactly_the_actions_of_the_table(callers: Callers) -> None:
    wrong = []
    for route in sorted(set(routes())):
        for method in METHODS:
            for caller in CALLERS:
                answer = callers.asked(caller, route, method)
                word = table().get((route, method), {}).get(caller)
                wrong += _differs(callers, caller, word, answer, f"{method} {route}")
    assert not wrong, "\n".join(wrong)


def _differs(callers: Callers, caller: str, word: str | None, answer: Any, what: str) -> list[str]:
    allowed = STATUS[word] if word else {401, 403, 405}
    if answer.status_code not in allowed:
        return [f"{what} as {caller}: {answer.status_code}, the table says {word}"]
    if answer.status_code == 401 and "WWW-Authenticate" not in answer.headers:
        return [f"{what} as {caller}: does not say how to log in"]
    seen = [secret for secret in callers.secrets if secret in _text(answer)]
    must_show = word == "all" or (word == "own" and caller == "customer")
    if must_show and not seen and "preferences" not in what:
        return [f"{what} as {caller}: shows nothing of the customer's"]
    if word == "own" and caller != "customer" and seen:
        return [f"{what} as {caller}: shows {seen}"]
    return []


def _text(answer: Any) -> str:
    return b"".join(answer).decode(errors="replace")


def test_head_is_answered_as_get_and_options_need_a_log_in(callers: Callers) -> None:
    for route in sorted(set(routes())):
        closed = {row["anonymous"] for at, row in table().items() if at[0] == route} == {"log in"}
        if closed:
            assert callers.asked("anonymous", route, "OPTIONS").status_code == 401, route
        if row := table().get((route, "GET")):
            for caller in CALLERS:
                assert callers.asked(caller, route, "HEAD").status_code in STATUS[row[caller]], (
                    route
                )


def test_an_unknown_field_is_refused_by_every_write(callers: Callers) -> None:
    writes = [at for at, row in table().items() if at[1] != "GET" and "yes" in row.values()]
    assert len(writes) > 10
    for route, method in writes:
        body = callers.body(route, method)
        assert body, f"what may be sent with {method} {route}?"
        caller = next(
            who for who in ("customer", "operator") if table()[route, method][who] == "yes"
        )
        names = _shown_names() - _asked_names(route, method)
        answer = callers.asked(caller, route, method, body | dict.fromkeys(names, 1))
        assert answer.status_code == 400, f"{method} {route}"
        refused = {error["field"] for error in answer.json()["errors"]}
        assert not names - refused, f"{method} {route} takes {names - refused}"


def test_an_unknown_nested_field_is_refused(callers: Callers) -> None:
    line = {"sku": "teapot", "quantity": 1, "unit_price": "0.01"}
    answer = callers.asked("customer", "/v1/orders", "POST", {"lines": [line], "country": "ID"})

    assert answer.status_code == 400
    assert answer.json()["errors"][0]["field"] == "lines[0].unit_price"


def admin_pages(resolver: Any = None, before: str = "/admin/") -> Iterator[str]:
    """Return the address of every page of the admin, with some id where one is asked for."""
    found = admin.site.urls[0] if resolver is None else resolver.url_patterns
    for pattern in found:
        here = before + str(pattern.pattern).replace("(?P<url>.*)$", "x")
        here = re.sub(r"<[^>]+>", str(UUID(int=7)), re.sub(r"<int:[^>]+>", "7", here))
        if isinstance(pattern, URLResolver):
            yield from admin_pages(pattern, here)
        else:
            yield here


def test_the_admin_opens_to_operators_only_and_by_right(db: None) -> None:
    rows = re.findall(
        r"^\| `(/admin/[^`]*)` \| (.+?) \| (.+?) \| (.+?) \|$", PAGE.read_text(), re.M
    )
    open_to_all = [page for page, anonymous, *_ in rows if anonymous == "yes"]
    open_to_operators = [page.rstrip("…") for page, *_ in rows if page.endswith("…")]
    named = [page for page, *_ in rows]
    anonymous, customer, operator = Client(), Client(), Client()
    for client, staff in ((customer, False), (operator, True)):
        client.force_login(
            User.objects.create_user(f"{staff}@example.org".lower(), name="x", is_staff=staff)
        )
    pages = [page for page in admin_pages() if page not in open_to_all]
    assert len(pages) > 100
    for page in pages:
        for method in ("get", "post"):
            for stranger in (anonymous, customer):
                answer = getattr(stranger, method)(page)
                assert answer.status_code == 302, (method, page, answer.status_code)
                if page != "/admin/logout/":  # leads there by way of the front page
                    assert answer["Location"].startswith("/admin/login/"), (method, page)
            if page in named or any(page.startswith(start) for start in open_to_operators):
                continue
            answer = getattr(operator, method)(page)
            assert answer.status_code in (302, 403, 404, 405), (method, page, answer.status_code)


# Constance has one right: to change runtime settings, which includes seeing them.
SEEN_APART = [model for model in admin.site._registry if model is not Config]


@pytest.mark.parametrize("model", SEEN_APART, ids=str)
def test_a_right_to_view_allows_no_change(model: Any, db: None, rf: Any) -> None:
    viewer = User.objects.create_user("viewer@example.org", name="Viewer", is_staff=True)
    viewer.user_permissions.set(Permission.objects.filter(codename__startswith="view_"))
    request = rf.get("/")
    request.user = viewer
    model_admin = admin.site._registry[model]

    assert model_admin.has_view_permission(request)
    assert not model_admin.get_actions(request)
    assert not any(
        may(request)
        for may in (
            model_admin.has_add_permission,
            model_admin.has_change_permission,
            model_admin.has_delete_permission,
        )
    )


@cache
def _described() -> Any:
    return SchemaGenerator().get_schema(request=None, public=True)


def _shown_names() -> set[str]:
    """Return every name that the API shows anything by, and some it had better not know."""
    schemas = _described()["components"]["schemas"].values()
    shown = {name for schema in schemas for name in schema.get("properties", {})}
    return shown | {"surprise", "is_staff", "is_superuser", "is_active", "user", "cost", "actor"}


def _asked_names(route: str, method: str) -> set[str]:
    content = _described()["paths"][route][method.lower()]["requestBody"]["content"]
    name = content["application/json"]["schema"]["$ref"].rpartition("/")[2]
    return set(_described()["components"]["schemas"][name]["properties"])
