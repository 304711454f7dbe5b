"""The circuit breaker spares a system that fails, and never adds an outage."""

import threading
from collections.abc import Callable
from time import monotonic
from typing import Any

import pytest
import time_machine
from django.core.cache import cache
from django.core.cache.backends.locmem import LocMemCache
from django.db import transaction

from infra import circuit_breaker as module
from infra.circuit_breaker import CircuitBreaker, guarded
from infra.errors import Unavailable


class Declined(Exception):
    """A refusal by the other system."""


class UnreachableCache:
    """A cache whose server does not answer."""

    def __getattr__(self, operation: str) -> Callable[..., Any]:
        def fail(*args: Any, **kwargs: Any) -> Any:
            raise ConnectionError(f"no cache to {operation}")

        return fail


def breaker(name: str, **options: Any) -> CircuitBreaker:
    return CircuitBreaker(
        name, **{"failures": 3, "reset_timeout": 10.0, "ignore": (Declined,), **options}
    )


@pytest.fixture
def bank(request) -> CircuitBreaker:
    """A breaker with a name of its own, as its local state outlives a test."""
    return breaker(request.node.name)


@pytest.fixture
def twin(bank) -> CircuitBreaker:
    """The same system as another process sees it."""
    return breaker(bank.name)


@pytest.fixture
def time(monkeypatch, request) -> Any:
    """A clock that a test can move, and a cache that follows it."""
    monkeypatch.setattr(module, "cache", LocMemCache(request.node.name, {}))
    with time_machine.travel("2026-05-01", tick=False) as traveller:
        yield traveller


def broken() -> None:
    raise OSError("broken")


def declined() -> None:
    raise Declined


def fails(bank: CircuitBreaker, times: int = 1) -> None:
    for _ in range(times):
        with pytest.raises(OSError, match="broken"):
            bank.call(broken)


def refuses(bank: CircuitBreaker) -> None:
    with pytest.raises(Unavailable):
        bank.call(lambda: pytest.fail("called all the same"))


def test_an_answer_comes_back(bank):
    assert bank.call(lambda a, b: a + b, 1, b=2) == 3


def test_failures_in_a_row_open_it(bank):
    fails(bank, 2)
    assert bank.state == "closed"
    fails(bank)
    assert bank.state == "open"
    refuses(bank)


def test_a_success_in_between_starts_the_count_anew(bank):
    fails(bank, 2)
    bank.call(lambda: None)
    fails(bank, 2)
    assert bank.state == "closed"


def test_an_ignored_error_is_an_answer_not_a_failure(bank):
    fails(bank, 2)
    for _ in range(9):
        with pytest.raises(Declined):
            bank.call(declined)
    fails(bank, 2)
    assert bank.state == "closed"


def test_all_processes_share_the_failures_of_one(bank, twin):
    fails(bank, 2)
    fails(twin)
    refuses(bank)
    refuses(twin)


def test_after_the_reset_timeout_one_trial_call_of_all_processes_goes_through(bank, twin, time):
    fails(bank, 3)
    time.shift(10.1)
    assert bank.state == twin.state == "half-open"

    def trial() -> str:
        refuses(twin)  # while the trial call is under way
        refuses(bank)
        return "back"

    assert bank.call(trial) == "back"
    assert bank.state == twin.state == "closed"
    assert twin.call(lambda: "as ever") == "as ever"


def test_the_open_state_expires_in_the_shared_cache(request):
    bank = breaker(request.node.name, reset_timeout=0.05)
    fails(bank, 3)
    deadline = monotonic() + 5
    while bank.state == "open" and monotonic() < deadline:
        continue
    assert bank.state == "half-open"
    assert bank.call(lambda: "back") == "back"
    assert bank.state == "closed"


def test_a_trial_that_fails_opens_it_again(bank, twin, time):
    fails(bank, 3)
    time.shift(10.1)
    fails(twin)
    assert bank.state == "open"
    refuses(bank)

    time.shift(10.1)
    assert bank.call(lambda: "back") == "back"


def test_a_trial_that_was_killed_does_not_block_the_next(bank, twin, time):
    fails(bank, 3)
    time.shift(10.1)
    with pytest.raises(KeyboardInterrupt):
        bank.call(lambda: (_ for _ in ()).throw(KeyboardInterrupt))
    refuses(twin)
    time.shift(10.1)
    assert twin.call(lambda: "back") == "back"


def test_a_call_that_waited_for_a_slot_is_refused_if_the_breaker_opened_meanwhile(request):
    bank = breaker(request.node.name, failures=1, max_concurrency=1)
    under_way, let_go, refusals = threading.Event(), threading.Event(), []

    def hang() -> None:
        under_way.set()
        let_go.wait(5)
        raise OSError("broken")

    def first() -> None:
        with pytest.raises(OSError, match="broken"):
            bank.call(hang)

    def second() -> None:
        try:
            bank.call(lambda: refusals.append("called"))
        except Unavailable:
            refusals.append("refused")

    threads = [threading.Thread(target=first), threading.Thread(target=second)]
    threads[0].start()
    assert under_way.wait(5)
    threads[1].start()
    while threads[1].is_alive() and not _waits(bank):
        pass
    let_go.set()
    for thread in threads:
        thread.join(5)

    assert refusals == ["refused"]


def _waits(bank: CircuitBreaker) -> bool:
    return bool(bank._slots._cond._waiters)  # type: ignore[attr-defined]


def test_a_call_that_gets_no_slot_in_time_is_refused(request):
    bank = breaker(request.node.name, max_concurrency=1, reset_timeout=0.05)
    bank.call(lambda: refuses(bank))
    assert bank.call(lambda: "a slot is free again") == "a slot is free again"


@pytest.fixture
def no_cache(monkeypatch) -> None:
    monkeypatch.setattr(module, "cache", UnreachableCache())


def test_without_a_cache_it_still_works(bank, time, no_cache):
    assert bank.call(lambda: "an answer") == "an answer"
    fails(bank, 3)
    refuses(bank)
    time.shift(10.1)
    assert bank.call(lambda: "back") == "back"
    assert bank.state == "closed"


def test_the_original_error_is_raised_even_if_the_cache_fails_meanwhile(bank, monkeypatch):
    def fail_with_the_cache() -> None:
        monkeypatch.setattr(module, "cache", UnreachableCache())
        raise OSError("broken")

    fails(bank, 2)
    with pytest.raises(OSError, match="broken"):
        bank.call(fail_with_the_cache)


def test_a_cache_that_expires_in_the_middle_hides_no_error(bank, monkeypatch):
    fails(bank, 1)
    monkeypatch.setattr(cache, "add", lambda *args: False)  # the count expired between two steps
    cache.clear()
    fails(bank)


def test_a_call_inside_a_transaction_is_refused(bank, db):
    with transaction.atomic(), pytest.raises(AssertionError, match="in a transaction"):
        bank.call(lambda: None)


@pytest.mark.django_db(transaction=True)
def test_after_a_transaction_a_call_goes_through(bank):
    with transaction.atomic():
        pass
    assert bank.call(lambda: "an answer") == "an answer"


# --- the proxy -----------------------------------------------------------------------------------
class Adapter:
    """An adapter of a port with two methods."""

    currency = "EUR"

    def capture(self, amount: int, *, card: str) -> str:
        return f"{amount} {self.currency} from {card}"

    def refund(self, amount: int) -> str:
        raise OSError("broken")


def test_a_guarded_adapter_answers_as_the_adapter_does(bank):
    adapter = guarded(Adapter(), bank)

    assert adapter.capture(20, card="tok_ok") == "20 EUR from tok_ok"
    assert adapter.currency == "EUR"


def test_failures_of_one_guarded_method_open_the_breaker_for_all(bank):
    adapter = guarded(Adapter(), bank)

    for _ in range(bank.failures):
        with pytest.raises(OSError, match="broken"):
            adapter.refund(20)

    with pytest.raises(Unavailable):
        adapter.capture(20, card="tok_ok")


def test_a_guarded_adapter_has_no_method_that_the_adapter_lacks(bank):
    adapter: Any = guarded(Adapter(), bank)

    with pytest.raises(AttributeError, match="void"):
        adapter.void(20)
