"""A context's settings are declared in its own conf.py, and nowhere else."""

import os
import subprocess
import sys
from datetime import timedelta
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from django.conf import settings as django_settings

from infra.app_settings import AppSettings, choice, integer, minutes
from infra.environment import Environment
from infra.runtime_settings import store


class TeaSettings(AppSettings):
    STEEPING = minutes("TEA_MINUTES", 3, runtime="How long tea steeps.")
    CUPS = integer("TEA_CUPS", 2, least=1)
    KIND = choice("TEA_KIND", "green", ["green", "black"])

    def read(self, env: Environment) -> dict[str, Any]:
        given = super().read(env)
        if given["KIND"] == "black" and given["CUPS"] < 2:
            env.problems.append("TEA_KIND is black, which needs TEA_CUPS from 2 up.")
        return given


tea = TeaSettings("TEA")


def test_a_setting_is_the_runtime_change_else_django_s_setting_else_the_default(
    settings: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert timedelta(minutes=3) == tea.STEEPING
    settings.TEA = {"STEEPING": timedelta(minutes=4)}
    assert (timedelta(minutes=4), 2) == (tea.STEEPING, tea.CUPS)
    monkeypatch.setattr(store, "_known", {"TEA_STEEPING": timedelta(minutes=5), "TEA_CUPS": 9})
    assert (timedelta(minutes=5), 2) == (tea.STEEPING, tea.CUPS)  # only STEEPING has `runtime`


def test_the_environment_gives_values_and_all_problems_are_sentences(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("TEA_MINUTES", "1.5")
    assert tea.read(Environment()) == {
        "STEEPING": timedelta(seconds=90),
        "CUPS": 2,
        "KIND": "green",
    }
    for name, value in {"TEA_KIND": "black", "TEA_CUPS": "1", "TEA_MINUTES": "soon"}.items():
        monkeypatch.setenv(name, value)
    env = Environment()
    tea.read(env)
    assert env.problems == [
        "TEA_MINUTES is 'soon', but has to be a number from 0 up. "
        "Correct it, or leave it out for '3'.",
        "TEA_KIND is black, which needs TEA_CUPS from 2 up.",
    ]


CONF = """
from infra.app_settings import AppSettings, integer


class LoyaltySettings(AppSettings):
    POINTS = integer("LOYALTY_POINTS", 10, least=1, runtime="Points for each order.")


conf = LoyaltySettings("LOYALTY")
"""
ASK = """
import django; django.setup()
from django.conf import settings
from loyalty.conf import conf
print(conf.POINTS, settings.CONSTANCE_CONFIG["LOYALTY_POINTS"])
"""


@pytest.fixture
def loyalty(tmp_path: Path) -> SimpleNamespace:
    """A context from outside, and a way to start a process of the shop with it."""
    package = tmp_path / "loyalty"
    package.mkdir()
    (package / "__init__.py").touch()
    (package / "conf.py").write_text(CONF)

    def start(*command: str, **variables: str) -> Any:
        env = {
            "PATH": os.environ["PATH"],
            "PYTHONPATH": str(tmp_path),
            "DJANGO_SETTINGS_MODULE": "config.settings",
            "VAR_DIR": str(tmp_path / "var"),
            "EXTRA_CONTEXTS": "loyalty",
        }
        return subprocess.run(
            [sys.executable, *command],
            cwd=django_settings.BASE_DIR,
            env=env | variables,
            capture_output=True,
            text=True,
            check=False,
        )

    return SimpleNamespace(start=start, conf=package / "conf.py")


def test_a_context_from_outside_has_settings_and_runtime_settings_of_its_own(
    loyalty: SimpleNamespace,
) -> None:
    # given
    migrated = loyalty.start("manage.py", "migrate", "--noinput", "-v0")
    assert migrated.returncode == 0, migrated.stderr

    # when
    at_start = loyalty.start("-c", ASK, LOYALTY_POINTS="25")
    changed = loyalty.start("manage.py", "constance", "set", "LOYALTY_POINTS", "30")
    refused = loyalty.start("manage.py", "constance", "set", "LOYALTY_POINTS", "0")
    later = loyalty.start("-c", ASK)

    # then
    assert at_start.stdout == "25 (25, 'Points for each order.', 'LOYALTY_POINTS')\n"
    assert changed.returncode == 0, changed.stderr
    assert "greater than or equal to 1" in refused.stderr
    assert later.stdout.startswith("30 (10, ")


def test_a_name_that_is_taken_is_refused_at_start(loyalty: SimpleNamespace) -> None:
    loyalty.conf.write_text(CONF.replace('Settings("LOYALTY")', 'Settings("CACHES")'))
    refused = loyalty.start("manage.py", "check")
    assert refused.returncode == 1
    assert "loyalty.conf declares the settings CACHES, a name that is taken." in refused.stderr


def test_a_wrong_value_for_a_context_from_outside_is_refused_at_start(
    loyalty: SimpleNamespace,
) -> None:
    refused = loyalty.start("manage.py", "check", LOYALTY_POINTS="many")
    assert refused.returncode == 1
    assert refused.stderr == (
        "Kabar does not start, as its environment is wrong:\n"
        "  LOYALTY_POINTS is 'many', but has to be a whole number from 1 up. "
        "Correct it, or leave it out for '10'.\n"
    )
