"""A context that misunderstands another: web, relay and worker refuse to start, and say why."""

from collections.abc import Callable
from pathlib import Path

import pytest

from tests.processes.deployment import Deployment, Process

UNREACHABLE = "redis://127.0.0.1:9/0"
CONSUMERS = """
from eventbus import consumer

@consumer("orders.OrderPlased")
def gossip(order_id: str) -> None:
    "Tell everybody."
"""
SENTENCE = "gossip.gossip subscribes to orders.OrderPlased, which no context publishes."
HINT = "Did you mean orders.OrderPlaced?"


@pytest.fixture
def gossiping(unmigrated: Deployment, tmp_path: Path) -> Deployment:
    """A deployment with a context that has misspelt an event."""
    context = tmp_path / "contexts" / "gossip"
    context.mkdir(parents=True)
    (context / "__init__.py").touch()
    (context / "consumers.py").write_text(CONSUMERS)
    unmigrated.env |= {"EXTRA_CONTEXTS": "gossip", "PYTHONPATH": str(context.parent)}
    return unmigrated


@pytest.mark.parametrize("start", [Deployment.web, Deployment.relay, Deployment.worker])
def test_nothing_starts_while_contexts_misunderstand_each_other(
    gossiping: Deployment, start: Callable[..., Process]
) -> None:
    broker = "" if start is Deployment.web else UNREACHABLE
    process = start(gossiping, BROKER_URL=broker)
    assert process.wait() != 0
    assert SENTENCE in process.output
    assert HINT in process.output


def test_the_check_says_it_too(gossiping: Deployment) -> None:
    checked = gossiping.manage("check")
    assert checked.returncode == 1
    assert f"(eventbus.E001) {SENTENCE}" in checked.stderr
    assert HINT in checked.stderr
