"""Only the consumers of this context run here."""

from collections.abc import Iterator

import pytest
from rest_framework.test import APIClient

from accounts.models import User
from accounts.services import sign_up
from eventbus.testing import alone
from tests.accounts.credentials import PASSWORD


@pytest.fixture(autouse=True)
def only_this_context() -> Iterator[None]:
    with alone("accounts"):
        yield


@pytest.fixture
def sari(db) -> User:
    return sign_up("sari@example.org", PASSWORD, "Sari", "id", "ID", "+628111111111")


@pytest.fixture
def operator(db) -> User:
    return User.objects.create_superuser("op@example.org", PASSWORD, name="Op")


@pytest.fixture
def anyone() -> APIClient:
    return APIClient()
