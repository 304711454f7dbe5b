"""Fixtures of deployments: real processes on loopback, with a database each."""

import os
import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.processes import deployment as build
from tests.processes.deployment import Deployment
from tools.chaos.brokers import RabbitBroker, rabbitmq

TEMPLATE = f"template_{os.getpid()}"  # of this pytest worker


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
def template(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """A migrated database, of which each deployment gets a copy."""
    if not os.environ.get("DATABASE_URL", "").startswith("postgres"):
        pytest.skip("a deployment needs PostgreSQL; run without KABAR_TEST_DB")
    folder = tmp_path_factory.mktemp("template")
    env = _environment(folder, DATABASE_URL=build.database(TEMPLATE))
    migrated = Deployment(env, folder).manage("migrate", "--noinput")
    assert migrated.returncode == 0, migrated.stderr
    yield TEMPLATE
    build.drop(TEMPLATE)


@pytest.fixture
def deployment(template: str, tmp_path: Path) -> Iterator[Deployment]:
    """A deployment on PostgreSQL and a broker, empty; start its processes as you need them."""
    name = f"deployment_{os.getpid()}"
    env = _environment(
        tmp_path,
        DATABASE_URL=build.database(name, template=template),
        BROKER_URL=os.environ["TEST_BROKER_URL"],
        CACHE_URL=os.environ["CACHE_URL"],
    )
    build.empty_broker(env["BROKER_URL"])
    deployment = Deployment(env, tmp_path)
    try:
        yield deployment
    finally:
        deployment.stop()
        build.drop(name)


@pytest.fixture
def over_rabbitmq(deployment: Deployment) -> Iterator[RabbitBroker]:
    """The deployment's broker is RabbitMQ, in a virtual host of its own if one can be made."""
    with rabbitmq() as broker:
        deployment.env["BROKER_URL"] = broker.url
        yield broker
        deployment.stop()


@pytest.fixture(scope="session")
def embedded_template(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with a migrated SQLite file, of which each embedded deployment gets a copy."""
    folder = tmp_path_factory.mktemp("embedded-template")
    migrated = Deployment(_environment(folder), folder).manage("migrate", "-v0")
    assert migrated.returncode == 0, migrated.stderr
    return folder / "var"


@pytest.fixture
def embedded(unmigrated: Deployment, embedded_template: Path) -> Deployment:
    """A deployment in one process: SQLite, migrated, and no broker."""
    shutil.copytree(embedded_template, unmigrated.env["VAR_DIR"])
    return unmigrated


@pytest.fixture
def unmigrated(tmp_path: Path) -> Iterator[Deployment]:
    """A deployment in one process: SQLite, no broker; migrate it before you start it."""
    deployment = Deployment(_environment(tmp_path), tmp_path)
    try:
        yield deployment
    finally:
        deployment.stop()
