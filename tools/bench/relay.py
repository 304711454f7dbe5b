"""From the outbox to the broker: the relay's loop, the raw loop, and a loop of `.delay()`.

All run in this very process, and nobody takes the messages away meanwhile.
"""

import statistics
from collections.abc import Callable, Iterator

from eventbus.relay.relay import Relay
from eventbus.relay.transports import transport
from tools.bench import brokers, contenders, fixtures, limit
from tools.bench.report import Row
from tools.bench.run import Run
from tools.bench.stopwatch import pace, ratio, timed

TARGETS = (("limit", "the limit loop", 0.6), ("delay", "`.delay()`", 10.0))


def rows(run: Run) -> Iterator[Row]:
    """Carry the same events three ways by turns."""
    ways = {"bus": _relay(), "limit": _limit()}
    rates: dict[str, list[float]] = {"bus": [], "limit": [], "delay": []}
    for _ in run.rounds("outbox to broker"):
        for name, carry in ways.items():
            fixtures.preload("benchroom.GoodsGiven", run.plan.carried)
            rates[name].append(run.plan.carried / timed(carry))
            fixtures.clear()
        fewer = run.plan.carried // 5
        rates["delay"].append(fewer / _delays(fewer))
        brokers.empty()
    for beside, words, target in TARGETS:
        yield Row(
            name="relay",
            what=f"outbox → broker : {words}",
            on=run.on,
            ours=pace(statistics.median(rates["bus"])),
            beside=pace(statistics.median(rates[beside])),
            ratio=ratio(rates["bus"], rates[beside]),
            target=target,
        )


def _relay() -> Callable[[], object]:
    relay = Relay(transport())
    relay.prepare()

    def carry() -> None:
        while relay.run_once():
            continue

    return carry


def _limit() -> Callable[[], object]:
    through = limit.pipe()

    def carry() -> None:
        while limit.relay_once(through):
            continue

    return carry


def _delays(count: int) -> float:
    return timed(lambda: contenders.delay(brokers.NOBODY, count))
