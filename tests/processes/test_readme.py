"""The first five minutes of the README, run as they are written."""

import re
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.processes.buyers import shell
from tests.processes.deployment import REPOSITORY, Deployment, wait_until

README = (REPOSITORY / "README.md").read_text()
ADDRESS = "http://127.0.0.1:8000"
TREE = """
from eventbus.models import Event
from eventbus.operations.causation import as_tree
print(chr(10).join("  " * depth + event.name for depth, event in as_tree(Event.objects.all())))
"""


def block(containing: str) -> str:
    """Return the one fenced block with these words."""
    blocks = re.findall(r"^```\w*\n(.*?)^```$", README, re.S | re.M)
    (found,) = [text for text in blocks if containing in text]
    return str(found)


def branches(story: str) -> Iterator[tuple[str, ...]]:
    """Return each event with the events that led to it, in any order of siblings."""
    path: list[str] = []
    for line in story.rstrip().splitlines():
        depth = (len(line) - len(line.lstrip())) // 2
        path[depth:] = [line.strip()]
        yield tuple(path)


@pytest.mark.skipif(not shutil.which("curl"), reason="the README uses curl")
def test_the_first_five_minutes_end_as_the_readme_says(
    unmigrated: Deployment, tmp_path: Path
) -> None:
    # given: the shop with the example's context, as `make run` starts it
    deployment = unmigrated
    deployment.env |= {"EXTRA_CONTEXTS": "loyalty", "PYTHONPATH": str(REPOSITORY / "examples")}
    shop = deployment.start("shop", ["manage.py", "runshop"])
    shop.until("ready", "ok")
    address = f"http://127.0.0.1:{shop.port}"
    assert block("Kabar is open").strip().replace(ADDRESS, address) in shop.output

    # when: the block is pasted into a shell
    pasted = block("curl -s $url/customers").replace(ADDRESS, address)
    done = subprocess.run(
        ["bash", "-c", pasted], capture_output=True, text=True, timeout=60, check=False
    )

    # then: the order is paid, and the log is the one that is printed
    assert '"status":"paid"' in done.stdout, done
    told = block("accounts.CustomerSignedUp")
    mail = Path(deployment.env["VAR_DIR"], "mail")
    wait_until(lambda: len(list(mail.glob("*"))) == 3)
    wait_until(lambda: set(branches(told)) <= set(branches(shell(deployment, TREE))))
    since = shell(deployment, TREE).partition("accounts.CustomerSignedUp")[2]
    assert sorted(branches("accounts.CustomerSignedUp" + since)) == sorted(branches(told))

    # and: the consumer of the README has added a point for each rupiah
    assert deployment.sql("SELECT points FROM loyalty_balance") == [(184_000,)]
