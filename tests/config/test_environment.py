"""A wrong environment is refused at start: all problems, in sentences, without secrets."""

from collections.abc import Callable
from pathlib import Path

import pytest

from config.environment import BROKERS, ShopEnvironment
from edge.conf import limits
from infra.environment import InvalidEnvironment
from tests.processes.deployment import Deployment

Start = Callable[[dict[str, str]], ShopEnvironment]
UP = "from 0 up. Correct it, or leave it out for"


@pytest.fixture
def environment(monkeypatch: pytest.MonkeyPatch) -> Start:
    """Return a function that sets variables."""

    def start(variables: dict[str, str]) -> ShopEnvironment:
        for name, value in variables.items():
            monkeypatch.setenv(name, value)
        return ShopEnvironment()

    return start


@pytest.mark.parametrize(
    ("read", "value", "sentence"),
    [
        (("int", 8000), "eighty", f"X is 'eighty', but has to be a whole number {UP} '8000'."),
        (("int", 8000), "-1", f"X is '-1', but has to be a whole number {UP} '8000'."),
        (("float", 5.0), "nan", f"X is 'nan', but has to be a number {UP} '5.0'."),
        (("decimal", "50"), "5,0", f"X is '5,0', but has to be an amount {UP} '50'."),
        (
            ("bool", False),
            "maybe",
            "X is 'maybe', but has to be true or false. Correct it, or leave it out for 'False'.",
        ),
        (
            ("packages",),
            "json,loyalti",
            "X is 'json,loyalti', but names loyalti, which is no package on the path "
            "(PYTHONPATH). Correct it, or leave it out for none.",
        ),
        (
            ("url", BROKERS),
            "http://ann:pw@mq",
            "X is 'http://***@mq', but has to begin with amqp:// or amqps:// or redis:// or "
            "rediss:// or redis+socket:// or sentinel://. Correct it, or leave it out for none.",
        ),
        (
            ("database", "sqlite:///x"),
            "mysql://ann:p@ss@db/x",
            "X is 'mysql://***@db/x', but has to begin with postgresql:// or postgres:// or "
            "sqlite://. Correct it, or leave it out for the default.",
        ),
    ],
)
def test_a_wrong_variable_is_a_sentence_with_value_and_next_step(
    environment, read, value, sentence
):
    env = environment({"X": value})
    kind, *arguments = read
    getattr(env, kind)("X", *arguments)
    assert env.problems == [sentence]


def test_a_wrong_rate_limit_is_a_sentence(environment):
    env = environment({"LIMITS": "user=often"})
    limits.read(env)
    assert env.problems == [
        "LIMITS is 'user=often', but says user=often; has to be like user=30/min. "
        "Correct it, or leave it out for the default."
    ]


def test_a_choice_names_the_choices(environment):
    env = environment({"X": "perhaps"})
    assert env.str("X", "hold", choices=("hold", "allow")) == "hold"
    assert env.problems == [
        "X is 'perhaps', but has to be one of hold, allow. Correct it, or leave it out for 'hold'."
    ]


def test_all_problems_are_listed_together_and_end_the_process(environment):
    env = environment({"A": "x", "B": "perhaps"})
    env.int("A", 1), env.bool("B", True)
    with pytest.raises(InvalidEnvironment) as ended:
        env.must_be_valid()
    assert isinstance(ended.value, SystemExit)
    assert [line.strip()[:4] for line in str(ended.value).splitlines()[1:]] == ["A is", "B is"]


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("API_KEY", "hunter2"),
        ("DB_URL", "postgres:ann:hunter2@db"),
        ("DB_URL", "postgres://ann:hun/ter@hunter2@db/x"),
        ("DB_URL", "postgres//db?password=hunter2&x=1"),
    ],
)
def test_no_secret_is_shown(environment, name, value):
    env = environment({name: value})
    env.int(name, 1)
    assert name in env.problems[0]
    assert "hunter2" not in env.problems[0]


def test_a_value_may_come_from_a_file_and_keeps_its_dollars(environment, tmp_path: Path):
    (tmp_path / "secret").write_text("$ecret \n")
    env = environment({"X_FILE": str(tmp_path / "secret"), "X": "not this"})
    assert env.str("X") == "$ecret "


def test_a_missing_file_is_a_sentence(environment):
    env = environment({"X_FILE": "/nowhere/secret"})
    env.str("X")
    assert env.problems == [
        "X_FILE names /nowhere/secret, which cannot be read (No such file or directory). "
        "Correct the path or the rights, or leave it out."
    ]


def test_empty_is_left_out(environment):
    assert environment({"X": ""}).int("X", 7) == 7


@pytest.mark.parametrize(
    "command",
    [
        ["manage.py", "check"],
        ["manage.py", "runrelay"],
        ["-m", "gunicorn", "-c", "config/gunicorn.py", "config.wsgi"],
        ["-m", "celery", "-A", "config", "worker"],
    ],
    ids=["command", "relay", "web", "worker"],
)
def test_no_process_starts_in_a_wrong_environment(command, unmigrated: Deployment):
    wrong = {"RESERVATION_MINUTES": "soon", "BROKER_URL": "amqps//ann:hunter2@mq"}
    process = unmigrated.start("wrong", command, **wrong)
    assert process.wait() != 0
    assert "RESERVATION_MINUTES is 'soon', but has to be a number from 0 up." in process.output
    assert "BROKER_URL is" in process.output
    assert "hunter2" not in process.output
    assert "Traceback" not in process.output
