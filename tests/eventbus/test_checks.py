"""Settings under which a message could be lost or handled twice at once are refused."""

import pytest

from eventbus import checks
from eventbus.errors import ContractsBroken


@pytest.fixture
def over_redis(settings):
    settings.CELERY_BROKER_URL = "redis://127.0.0.1:9/0"
    settings.CELERY_BROKER_TRANSPORT_OPTIONS = {"visibility_timeout": 300}
    settings.CELERY_TASK_TIME_LIMIT = 150
    settings.EVENTBUS = {}
    return settings


def problems() -> list[str]:
    return [problem.msg for problem in checks.check_contexts(None)]


def test_the_defaults_fit_each_other(over_redis):
    assert problems() == []


@pytest.mark.parametrize(
    ("bus", "celery", "message"),
    [
        ({"LEASE_SECONDS": 60}, {}, "LEASE_SECONDS'] is 60 s, CELERY_TASK_TIME_LIMIT 150 s"),
        ({"LOST_AFTER": 300}, {}, "LOST_AFTER'] is 300 s, twice CELERY_TASK_TIME_LIMIT 300 s"),
        ({"MARKER_INTERVAL": 400}, {}, "no marker would have come through the queue"),
        ({}, {"TASK_TIME_LIMIT": None}, "is not set: a hanging task would keep its message"),
        ({}, {"TASK_TIME_LIMIT": 3600}, "twice CELERY_TASK_TIME_LIMIT 7200 s"),
        ({}, {"BROKER_TRANSPORT_OPTIONS": {}}, "visibility_timeout 3600 s"),
        (
            {},
            {"BROKER_TRANSPORT_OPTIONS": {"visibility_timeout": 100}},
            "visibility_timeout is 100 s",
        ),
    ],
)
def test_times_that_contradict_each_other_are_refused(over_redis, bus, celery, message):
    over_redis.EVENTBUS = bus
    for name, value in celery.items():
        setattr(over_redis, f"CELERY_{name}", value)

    assert any(message in problem for problem in problems()), problems()
    with pytest.raises(ContractsBroken):
        checks.enforce()


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("LOST_AFTER", 0),
        ("LEASE_SECONDS", -1),
        ("CLAIM_SIZE", 0),
        ("MAX_ATTEMPTS", "15"),
        ("BATCH_SIZE", None),
        ("MAX_POLL_INTERVAL", float("nan")),
        ("RETRIES_BEFORE_BACKOFF", -1),
    ],
)
def test_a_number_that_makes_no_sense_is_refused(settings, name, value):
    settings.EVENTBUS = {name: value}
    (problem,) = problems()
    assert f"EVENTBUS['{name}'] is {value!r}" in problem
