"""What somebody who means harm sends, one line each, and what it comes to."""

import json
import logging
from collections.abc import Iterator
from decimal import Decimal
from io import StringIO
from typing import Any
from uuid import UUID

import pytest
from django.test import Client

from accounts.models import User
from config import log_config
from orders import services as orders
from orders.models import Order, Product

pytestmark = pytest.mark.django_db
JSON = "application/json"
LINE = {"sku": "teapot", "quantity": 1}
WORDS = "'; DROP TABLE orders_order; --"


def order(**change: Any) -> str:
    return json.dumps({"lines": [LINE], "country": "ID", **change})


BODIES = [
    ("ten megabytes", b'{"country": "' + b"x" * 10_000_000 + b'"}', JSON, 413),
    ("ten megabytes in a form", b"country=" + b"x" * 10_000_000, "multipart/form-data", 413),
    ("a hundred thousand lines", order(lines=[LINE] * 100_000), JSON, 413),
    ("twenty thousand lines", order(lines=[LINE] * 20_000), JSON, 400),
    ("more lines than an order has", order(lines=[LINE] * 1_001), JSON, 400),
    ("deep lists", "[" * 100_000 + "]" * 100_000, JSON, 400),
    ("lists a little too deep", "[" * 40 + "]" * 40, JSON, 400),
    ("deep objects", '{"a":' * 20_000 + "1" + "}" * 20_000, JSON, 400),
    ("a long text", order(country="x" * 200_000), JSON, 400),
    ("NUL", order(country="\0"), JSON, 400),
    ("raw NUL", order().replace("ID", "\0"), JSON, 400),
    ("half a character", order(country="\ud800"), JSON, 400),
    ("no UTF-8", b'{"country": "\xff\xfe"}', JSON, 400),
    ("UTF-16", order().encode("utf-16"), JSON, 400),
    ("a huge number", '{"lines": [{"sku": "teapot", "quantity": %s}]}' % ("9" * 4_000), JSON, 400),
    ("a number beyond Python", '{"lines": [{"quantity": %s}]}' % ("9" * 100_000), JSON, 400),
    ("a number beyond floats", '{"lines": [{"sku": "teapot", "quantity": 1e999}]}', JSON, 400),
    ("not a number", '{"lines": [{"sku": "teapot", "quantity": NaN}]}', JSON, 400),
    ("less than nothing", order(lines=[{**LINE, "quantity": -1}]), JSON, 400),
    ("true for a number", order(lines=[{**LINE, "quantity": True}]), JSON, 400),
    ("SQL", order(lines=[{**LINE, "sku": WORDS}]), JSON, 400),
    ("a path for a sku", order(lines=[{**LINE, "sku": "../../etc/passwd"}]), JSON, 400),
    (
        "fields of the table",
        order(status="paid", total="0.01", customer_id=str(UUID(int=1))),
        JSON,
        400,
    ),
    ("a prototype", order(__proto__={"is_staff": True}), JSON, 400),
    ("nothing", "", JSON, 400),
    ("half of something", order()[:-5], JSON, 400),
    ("two things", order() + order(), JSON, 400),
    ("XML", '<!DOCTYPE x [<!ENTITY e SYSTEM "file:///etc/passwd">]><x>&e;</x>', "text/xml", 415),
    ("YAML", "!!python/object/apply:os.system [id]", "application/yaml", 415),
    ("a pickle", b"cos\nsystem\n(S'id'\ntR.", "application/octet-stream", 415),
    ("JSON that says it is text", order(), "text/plain", 415),
    ("no type", order(), "", 415),
    ("a type that is none", order(), "application/json/../x;;;=", 415),
    (
        "a form without an end",
        "--x\r\nContent-Disposition: form-data",
        "multipart/form-data; boundary=x",
        400,
    ),
    ("a form without a boundary", "x", "multipart/form-data", 400),
    (
        "a form of many fields",
        "&".join(f"a{n}=1" for n in range(2_000)),
        "application/x-www-form-urlencoded",
        400,
    ),
]
PATHS = [
    ("/v1/orders/../../admin/", 404),
    ("/v1/orders/..%2f..%2fadmin/", 404),
    ("/v1/products/..%2f..%2f..%2fetc%2fpasswd", 404),
    ("/v1/products/%2e%2e%2f", 404),
    ("/v1/products/%00", 404),
    ("/v1/products/%ff%fe", 404),
    ("/v1/products/%F0%9F%92%A5", 404),
    ("/v1/products/%0d%0aSet-Cookie:%20a=b", 404),
    ("/v1/products/" + "x" * 5_000, 404),
    ("/v1/products/'%20OR%201=1--", 404),
    ("/v1/products/%25%32%65", 404),
    ("//v1/products", 404),
    ("/v1/products?limit=%27;--", 200),
    (f"/v1/products?limit={10**40}", 200),
    (f"/v1/products?limit={10**40}&offset=-{10**40}", 200),
    ("/v1/products?offset=99999999999999999999999", 200),
    ("/v1/orders/00000000-0000-0000-0000-000000000000' OR '1'='1", 404),
    ("/static/../config/settings.py", 404),
    ("/static/..%2fconfig%2fsettings.py", 404),
    ("/static/%2e%2e/%2e%2e/etc/passwd", 404),
]
HEADERS = [
    {"x-request-id": "a\r\nSet-Cookie: b=c"},
    {"x-request-id": WORDS},
    {"accept": "x" * 5_000},
    {"accept": "application/json; q=nonsense"},
    {"accept-language": "../../../etc/passwd"},
    {"authorization": "Bearer " + "a.b.c" * 1_000},
    {"authorization": "Bearer \x00"},
    {"authorization": "Basic YTpi"},
    {"authorization": "Bearer"},
    {"cookie": "sessionid=" + "x" * 4_000},
    {"cookie": f"sessionid={WORDS}"},
    {"origin": "https://evil.example"},
    {"x-forwarded-for": WORDS},
    {"x-forwarded-host": "evil.example"},
    {"x-http-method-override": "DELETE"},
    {"content-length": "-1"},
    {"content-length": "9" * 30},
    {"traceparent": "00-" + "x" * 5_000},
    {"if-none-match": "x" * 5_000},
    {"idempotency-key": "\x00"},
]


@pytest.fixture
def client() -> Client:
    client = Client(raise_request_exception=False)
    client.force_login(User.objects.create_user("sari@kabar.example", name="Sari"))
    orders.list_product("teapot", "Teapot", Decimal("10.00"), "EUR")
    return client


@pytest.fixture
def log() -> Iterator[StringIO]:
    """What the log says in production."""
    written = StringIO()
    handler = logging.StreamHandler(written)
    handler.setFormatter(log_config.formatter("json"))
    logging.getLogger().addHandler(handler)
    yield written
    logging.getLogger().removeHandler(handler)


def must_be_a_problem(answer: Any, status: int) -> None:
    assert answer.status_code == status, answer.content[:300]
    assert answer.headers["Content-Type"] == "application/problem+json"
    assert not [
        word for word in ("Traceback", "SELECT", 'File "', "/site-packages/") if word in answer.text
    ]


@pytest.mark.parametrize(
    ("body", "kind", "status"), [pytest.param(*row, id=name) for name, *row in BODIES]
)
def test_a_hostile_body_is_refused_and_leaves_nothing(
    client: Client, body: str | bytes, kind: str, status: int
) -> None:
    answer = client.generic("POST", "/v1/orders", body, kind)
    must_be_a_problem(answer, status)
    assert not Order.objects.exists()


@pytest.mark.parametrize(("path", "status"), PATHS)
def test_a_hostile_path_is_not_found(client: Client, path: str, status: int) -> None:
    answer = client.get(path)
    assert answer.status_code == status, answer.content[:300]
    assert "evil" not in str(answer.headers)
    assert "Set-Cookie" not in answer.headers
    assert "root:" not in answer.text
    assert Product.objects.count() == 1


def test_a_list_is_limited_to_a_page(client: Client) -> None:
    for number in range(201):
        orders.list_product(f"p{number}", "P", Decimal("1.00"), "EUR")
    page = client.get("/v1/products?limit=100000").json()
    assert (page["count"], len(page["results"])) == (202, 200)


@pytest.mark.parametrize("headers", HEADERS, ids=lambda headers: str(headers)[:60])
def test_hostile_headers_do_no_harm(client: Client, headers: dict[str, str]) -> None:
    answer = client.get("/v1/products", headers=headers)
    assert answer.status_code < 500, answer.content[:300]
    assert UUID(answer.headers["X-Request-ID"])
    assert "evil.example" not in str(answer.headers) + answer.text
    assert "Access-Control-Allow-Origin" not in answer.headers


def test_a_client_cannot_add_lines_to_the_log(client: Client, log: StringIO) -> None:
    forged = '{"event": "request", "who": "operator:1"}'
    client.get(f"/v1/products/x%0a{forged}")
    client.get(
        "/v1/products", headers={"x-request-id": f"a\n{forged}", "user-agent": f"\n{forged}"}
    )
    client.generic("POST", "/v1/orders", order(lines=[{"sku": f"\n{forged}", "quantity": 1}]), JSON)
    lines = [json.loads(line) for line in log.getvalue().splitlines()]
    assert lines
    assert "operator:1" not in {line.get("who") for line in lines}
