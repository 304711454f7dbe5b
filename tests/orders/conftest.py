"""Only the consumers of this context run here."""

from collections.abc import Iterator

import pytest

from eventbus.testing import alone


@pytest.fixture(autouse=True)
def only_this_context() -> Iterator[None]:
    with alone("orders"):
        yield
