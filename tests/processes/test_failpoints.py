"""Killed by SIGKILL at each failpoint, in a real process: nothing is lost or duplicated."""

import os
import shutil
import signal
import subprocess
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from infra.failpoints import NAMES
from tests.processes import deployment as build
from tests.processes.buyers import undelivered
from tests.processes.deployment import (
    CONTEXTS,
    SHORT_TIMEOUTS,
    TIMEOUT,
    Deployment,
    Process,
    wait_until,
)

ONCE_EACH = {"a": 1, "b": 1, "c": 1}
PUBLISH = """
from django.db import transaction
from eventbus import publish
from orders.events import ProductRetired
with transaction.atomic():
    for sku in "abc":
        publish(ProductRetired(sku=sku))
"""
MAKE_DEAD_LETTERS = """
from eventbus.consuming import retries
from eventbus.models import Event
for event in Event.objects.all():
    retries.dead_letter("witness.note", event.envelope(), ValueError("a mistake"), 15)
"""
# A context that notes each event in the transaction of its inbox row, and can be made to fail.
CONSUMERS = """
import os
from pathlib import Path
from django.db import connection
from eventbus import consumer
@consumer("orders.ProductRetired")
def note(sku: str) -> None:
    with connection.cursor() as cursor:
        cursor.execute("INSERT INTO witness VALUES (%s)", [sku])
    if Path(os.environ["FAIL_FILE"]).exists():
        raise ValueError("failed")
"""
LOG = (
    "SELECT * FROM eventbus_event ORDER BY position",
    "SELECT * FROM eventbus_inbox ORDER BY consumer, event_id",
)


@dataclass
class Scene:
    """A deployment with a witness in it, in which a process is killed."""

    deployment: Deployment
    folder: Path
    starts: tuple[Callable[[], Process], ...]

    @property
    def fail_file(self) -> Path:
        """While this file exists, the witness fails."""
        return self.folder / "fail_file"

    def arm(self, failpoint: str) -> Path:
        """Create the file that kills the process at the failpoint."""
        file = self.folder / "failpoints" / failpoint
        file.touch()
        return file

    def run(self, *command: str) -> str:
        """Run a command that succeeds."""
        done = self.deployment.manage(*command)
        assert done.returncode == 0, done.stderr
        return done.stdout

    def run_killed(self, failpoint: str, *command: str) -> None:
        """Run a command that is killed at a failpoint."""
        self.arm(failpoint)
        done: subprocess.CompletedProcess[str] = self.deployment.manage(*command)
        assert done.returncode == -signal.SIGKILL, done.stderr

    def deliver(self, file: Path | None = None) -> None:
        """Run relay and worker, restarting a killed one, until all events have arrived."""
        running = [(start, start()) for start in self.starts]

        def arrived() -> bool:
            for at, (start, process) in enumerate(running):
                if not process.running:
                    assert process.wait() == -signal.SIGKILL, process.output
                    running[at] = start, start()
            if file and file.exists():
                return False
            self.fail_file.unlink(missing_ok=True)
            return not undelivered(self.deployment)

        wait_until(arrived, TIMEOUT * 3)
        for _, process in running:
            process.kill()

    def handled(self) -> dict[str, int]:
        """Return how often the witness noted each product."""
        return dict(self.deployment.sql("SELECT sku, count(*) FROM witness GROUP BY sku"))

    def count(self, table: str) -> int:
        """Count the rows of a table of the bus."""
        return int(self.deployment.sql(f"SELECT count(*) FROM eventbus_{table}")[0][0])

    def log(self) -> list[list[tuple[Any, ...]]]:
        """Return the log and the inbox."""
        return [self.deployment.sql(rows) for rows in LOG]

    def let_time_pass(self) -> None:
        """Make all rows seventy days older."""
        ago = "{0} - interval '70 days'" if "DATABASE_URL" in self.deployment.env else _SQLITE_AGO
        for table, column in (("event", "recorded_at"), ("subscription", "since")):
            self.deployment.sql(f"UPDATE eventbus_{table} SET {column} = " + ago.format(column))


@pytest.fixture(scope="module")
def witness(tmp_path_factory: pytest.TempPathFactory) -> dict[str, str]:
    """Write the witness, and return the variables by which a deployment has it."""
    contexts = tmp_path_factory.mktemp("contexts")
    (contexts / "witness").mkdir()
    (contexts / "witness" / "__init__.py").touch()
    (contexts / "witness" / "consumers.py").write_text(CONSUMERS)
    return SHORT_TIMEOUTS | {
        "EXTRA_CONTEXTS": "witness",
        "PYTHONPATH": str(contexts),
    }


@pytest.fixture(scope="module")
def template(template: str, witness: dict[str, str]) -> Iterator[str]:
    """A migrated database in which the witness subscribes, of which each deployment gets a copy."""
    name = f"witness_template_{os.getpid()}"
    url = build.database(name, template=template)
    _subscribe(Deployment(os.environ | witness | {"DATABASE_URL": url}, Path()))
    yield name
    build.drop(name)


@pytest.fixture(scope="module")
def embedded_template(
    embedded_template: Path, witness: dict[str, str], tmp_path_factory: pytest.TempPathFactory
) -> Path:
    """A migrated SQLite file in which the witness subscribes."""
    folder = tmp_path_factory.mktemp("witness-template") / "var"
    shutil.copytree(embedded_template, folder)
    env = {name: value for name, value in os.environ.items() if name != "DATABASE_URL"}
    _subscribe(Deployment(env | witness | {"VAR_DIR": str(folder)}, folder))
    return folder


def _subscribe(deployment: Deployment) -> None:
    migrated = deployment.manage("migrate", "-v0")
    assert migrated.returncode == 0, migrated.stderr
    deployment.sql("CREATE TABLE witness (sku text)")


def with_witness(scene: Scene, witness: dict[str, str]) -> Scene:
    """Add the witness to the scene's deployment."""
    (scene.folder / "failpoints").mkdir()
    scene.deployment.env |= witness | {
        "FAIL_FILE": str(scene.fail_file),
        "KABAR_FAILPOINTS": str(scene.folder / "failpoints"),
    }
    return scene


_SQLITE_AGO = "strftime('%Y-%m-%d %H:%M:%f', {0}, '-70 days')"


@pytest.fixture
def scene(deployment: Deployment, witness: dict[str, str], tmp_path: Path) -> Scene:
    """A relay and a worker, with a broker between them."""

    def worker() -> Process:
        return deployment.worker(queues=f"{CONTEXTS},witness")

    return with_witness(Scene(deployment, tmp_path, (deployment.relay, worker)), witness)


@pytest.fixture
def embedded_scene(embedded: Deployment, witness: dict[str, str], tmp_path: Path) -> Scene:
    """All of it in one process."""

    def shop() -> Process:
        return embedded.start("shop", ["manage.py", "runshop"])

    return with_witness(Scene(embedded, tmp_path, (shop,)), witness)


def a_publisher_dies_before_the_commit(scene: Scene) -> None:
    scene.run_killed("outbox-written", "shell", "-c", PUBLISH)
    assert scene.count("event") == scene.count("outbox") == 0
    scene.run("shell", "-c", PUBLISH)
    scene.deliver()


def a_publisher_dies_after_the_commit(scene: Scene) -> None:
    scene.run_killed("committed-not-notified", "shell", "-c", PUBLISH)
    assert scene.count("event") == scene.count("outbox") == 3
    scene.deliver()


def a_process_dies(failpoint: str) -> Callable[[Scene], None]:
    def dies(scene: Scene) -> None:
        scene.run("shell", "-c", PUBLISH)
        scene.deliver(scene.arm(failpoint))

    return dies


def a_worker_dies_while_it_writes_a_failure_down(scene: Scene) -> None:
    scene.fail_file.touch()
    a_process_dies("retry-moved")(scene)


def an_operator_dies_while_dead_letters_are_retried(scene: Scene) -> None:
    scene.run("shell", "-c", PUBLISH)
    scene.run("shell", "-c", MAKE_DEAD_LETTERS)
    scene.run_killed("dead-letters-retried", "retrydeadletters", "--yes")
    assert (scene.count("dead_letter"), scene.count("retry")) == (3, 0)
    scene.run("retrydeadletters", "--yes")
    assert (scene.count("dead_letter"), scene.count("retry")) == (0, 3)
    scene.deliver()


def an_operator_dies_while_the_log_is_archived(scene: Scene) -> None:
    scene.run("shell", "-c", PUBLISH)
    scene.deliver()
    scene.let_time_pass()
    before, folder = scene.log(), scene.folder / "archive"
    archive = ("archiveevents", "--older-than=40", f"--to={folder}", "--yes")
    scene.run_killed("retention", *archive)
    (file,) = folder.iterdir()
    assert scene.log() == before
    assert scene.count("archive") == 0
    # when: it is done over, the file is the same; the last event of a log stays
    scene.run(*archive)
    assert [file] == list(folder.iterdir())
    assert scene.count("event") == 1
    scene.run("restoreevents", str(file), "--yes")
    assert _plain(scene.log()) == _plain(before)


PUBLISH_LONG_AGO = """
from uuid import UUID
from eventbus.operations import months
from eventbus.publishing import outbox
from infra.ids import new_id
LONG_AGO = UUID("01900000-0000-7000-8000-000000000000").int >> 80 << 80
months.make_for([UUID(int=LONG_AGO | new_id().int & (1 << 80) - 1)])
outbox.new_id = lambda: UUID(int=LONG_AGO | new_id().int & (1 << 80) - 1)
"""


def an_operator_dies_when_a_month_is_emptied(scene: Scene) -> None:
    scene.run("shell", "-c", PUBLISH_LONG_AGO + PUBLISH)
    scene.deliver()
    scene.let_time_pass()
    scene.run("shell", "-c", PUBLISH.replace("abc", "z"))  # the newest event stays
    scene.deliver()
    before, folder = scene.log(), scene.folder / "archive"
    archive = ("archiveevents", "--older-than=40", f"--to={folder}", "--yes")
    month = "SELECT count(*) FROM pg_tables WHERE tablename IN" + (
        " ('eventbus_event_2024_06', 'eventbus_inbox_2024_06')"
    )
    # when: before that, all is in the log; after that, all is in the file
    scene.run_killed("retention", *archive)
    assert (scene.log(), scene.count("archive")) == (before, 0)
    scene.run_killed("month-emptied", *archive)
    assert (scene.count("event"), scene.count("archive")) == (1, 1)
    assert scene.deployment.sql(month) == [(2,)]
    scene.run(*archive)
    assert scene.deployment.sql(month) == [(0,)]
    (file,) = folder.iterdir()
    scene.run("restoreevents", str(file), "--yes")
    assert scene.log() == before
    assert scene.handled().pop("z") == 1
    scene.deployment.sql("DELETE FROM witness WHERE sku = 'z'")


def _plain(tables: list[list[tuple[Any, ...]]]) -> list[list[list[str]]]:
    """Read times alike: SQLite keeps them as text, with or without trailing zeros."""
    return [[[str(value).rstrip("0") for value in row] for row in rows] for rows in tables]


DEATHS: dict[str, Callable[[Scene], None]] = {
    "outbox-written": a_publisher_dies_before_the_commit,
    "committed-not-notified": a_publisher_dies_after_the_commit,
    "claimed-not-sent": a_process_dies("claimed-not-sent"),
    "sent-not-confirmed": a_process_dies("sent-not-confirmed"),
    "received-not-begun": a_process_dies("received-not-begun"),
    "handled-not-committed": a_process_dies("handled-not-committed"),
    "committed-not-acked": a_process_dies("committed-not-acked"),
    "retry-moved": a_worker_dies_while_it_writes_a_failure_down,
    "dead-letters-retried": an_operator_dies_while_dead_letters_are_retried,
    "retention": an_operator_dies_while_the_log_is_archived,
    "month-emptied": an_operator_dies_when_a_month_is_emptied,
}


def run_case(scene: Scene, failpoint: str) -> None:
    DEATHS[failpoint](scene)
    assert scene.handled() == ONCE_EACH
    assert scene.count("dead_letter") == 0
    assert not list((scene.folder / "failpoints").iterdir())


@pytest.mark.postgres
@pytest.mark.parametrize("failpoint", NAMES)
def test_killed_there_nothing_is_lost_and_nothing_doubled(scene: Scene, failpoint: str) -> None:
    run_case(scene, failpoint)


@pytest.mark.parametrize("failpoint", ["handled-not-committed", "committed-not-acked", "retention"])
def test_killed_there_in_one_process(embedded_scene: Scene, failpoint: str) -> None:
    run_case(embedded_scene, failpoint)
