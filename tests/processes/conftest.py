"""Houses for tests: real processes on loopback, on a database of their own."""

import os
import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.processes import house as build
from tests.processes.house import House

PLAN = f"house_plan_{os.getpid()}"  # of this pytest worker


def _environment(folder: Path, **more: str) -> dict[str, str]:
    unwanted = {"DATABASE_URL", "BROKER_URL", "CACHE_URL", "DJANGO_SETTINGS_MODULE"}
    ours = {name: value for name, value in os.environ.items() if name not in unwanted}
    return ours | {
        "DJANGO_SETTINGS_MODULE": "tests.processes.settings",
        "VAR_DIR": str(folder / "var"),
        "SECRET_KEY": "a secret of this test, and longer than thirty-two bytes",
        "PYTHONUNBUFFERED": "1",
        "LIMITS": "ip=,user=,login=,signup=,checkout=,payment=",  # a crowd has one address here
        **more,
    }


@pytest.fixture(scope="session")
def house_plan(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """A migrated database, of which each house gets a copy."""
    if not os.environ.get("DATABASE_URL", "").startswith("postgres"):
        pytest.skip("a house stands on PostgreSQL; run without KABAR_TEST_DB")
    folder = tmp_path_factory.mktemp("plan")
    env = _environment(folder, DATABASE_URL=build.database(PLAN))
    migrated = House(env, folder).manage("migrate", "--noinput")
    assert migrated.returncode == 0, migrated.stderr
    yield PLAN
    build.drop(PLAN)


@pytest.fixture
def house(house_plan: str, tmp_path: Path) -> Iterator[House]:
    """A house on PostgreSQL and a broker, empty; start its processes as you need them."""
    name = f"house_{os.getpid()}"
    env = _environment(
        tmp_path,
        DATABASE_URL=build.database(name, template=house_plan),
        BROKER_URL=os.environ["TEST_BROKER_URL"],
        CACHE_URL=os.environ["CACHE_URL"],
    )
    build.empty_broker(env["BROKER_URL"])
    house = House(env, tmp_path)
    try:
        yield house
    finally:
        house.stop()
        build.drop(name)


@pytest.fixture(scope="session")
def small_plan(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with a migrated SQLite file, of which each small house gets a copy."""
    folder = tmp_path_factory.mktemp("small-plan")
    migrated = House(_environment(folder), folder).manage("migrate", "-v0")
    assert migrated.returncode == 0, migrated.stderr
    return folder / "var"


@pytest.fixture
def small_house(empty_house: House, small_plan: Path) -> House:
    """A house in one process: SQLite, migrated, and no broker."""
    shutil.copytree(small_plan, empty_house.env["VAR_DIR"])
    return empty_house


@pytest.fixture
def empty_house(tmp_path: Path) -> Iterator[House]:
    """A house in one process: SQLite, no broker; migrate it before you start it."""
    house = House(_environment(tmp_path), tmp_path)
    try:
        yield house
    finally:
        house.stop()
