"""Headers for browsers: Content-Security-Policy, CORS, TLS and cookies."""

import subprocess
import sys
from typing import Any

import pytest
from django.conf import settings
from django.test import Client

pytestmark = pytest.mark.django_db
PAGES = ["/", "/v1/products", "/v1/docs", "/admin/login/", "/problems", "/v1/nowhere"]
PRODUCTION = {
    "HTTPS": "true",
    "SECRET_KEY": "x7" * 30 + "-abcdefghijk",
    "ALLOWED_HOSTS": "shop.example",
    "DEBUG": "false",
}


@pytest.fixture
def tls(settings: Any) -> Client:
    settings.SECURE_PROXY_SSL_HEADER = ("HTTP_X_FORWARDED_PROTO", "https")
    settings.SECURE_SSL_REDIRECT = True
    settings.SECURE_HSTS_SECONDS = 31536000
    return Client()


@pytest.mark.parametrize("page", PAGES)
@pytest.mark.parametrize("accept", ["text/html", "application/json", "*/*"])
def test_every_response_has_the_security_headers(page: str, accept: str) -> None:
    answer = Client().get(page, headers={"accept": accept})
    policy = dict(
        part.strip().partition(" ")[::2]
        for part in answer.headers["Content-Security-Policy"].split(";")
    )
    assert policy["default-src"] == "'self'"
    assert policy["object-src"] == policy["frame-ancestors"] == policy["base-uri"] == "'none'"
    scripts = "'self' 'unsafe-eval'" if page.startswith("/admin/") else "'self'"
    assert policy["script-src"] == scripts
    assert answer.headers["X-Content-Type-Options"] == "nosniff"
    assert answer.headers["X-Frame-Options"] == "DENY"
    assert answer.headers["Referrer-Policy"] == "same-origin"
    assert answer.headers["Cross-Origin-Opener-Policy"] == "same-origin"


def test_only_configured_origins_may_call_the_api(settings: Any) -> None:
    settings.CORS_ALLOWED_ORIGINS = ["https://app.example"]
    asks = {"origin": "https://app.example"}
    answer = Client().get("/v1/products", headers=asks)
    assert answer.headers["Access-Control-Allow-Origin"] == "https://app.example"
    assert "Access-Control-Allow-Credentials" not in answer.headers
    assert "Retry-After" in answer.headers["Access-Control-Expose-Headers"]

    wants = {**asks, "access-control-request-method": "POST"}
    preflight = Client().options(
        "/v1/orders", headers={**wants, "access-control-request-headers": "idempotency-key"}
    )
    assert preflight.status_code == 200
    assert "idempotency-key" in preflight.headers["Access-Control-Allow-Headers"]

    for page, origin in (
        ("/v1/products", "https://evil.example"),
        ("/admin/login/", asks["origin"]),
    ):
        answer = Client().get(page, headers={"origin": origin})
        assert "Access-Control-Allow-Origin" not in answer.headers


def test_a_request_without_tls_is_redirected_and_gets_hsts(tls: Client) -> None:
    assert tls.get("/v1/products").headers["Location"] == "https://testserver/v1/products"
    answer = tls.get("/v1/products", headers={"x-forwarded-proto": "https"})
    assert answer.status_code == 200
    assert answer.headers["Strict-Transport-Security"].startswith("max-age=31536000")


def test_a_form_from_another_site_is_refused() -> None:
    client = Client(enforce_csrf_checks=True)
    assert client.post("/admin/login/", {"username": "a", "password": "b"}).status_code == 403


def test_cookies_are_secure_and_same_site(settings: Any) -> None:
    settings.SESSION_COOKIE_SECURE = settings.CSRF_COOKIE_SECURE = True
    cookie = Client().get("/admin/login/").cookies["csrftoken"]
    assert cookie["secure"]
    assert cookie["samesite"] == "Lax"


def test_django_s_deployment_check_finds_no_issue(tmp_path: Any) -> None:
    done = subprocess.run(
        [sys.executable, "manage.py", "check", "--deploy", "--fail-level", "WARNING"],
        cwd=settings.BASE_DIR,
        env=PRODUCTION | {"VAR_DIR": str(tmp_path), "PATH": ""},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    assert "no issues" in done.stdout
