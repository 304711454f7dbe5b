"""From the outbox to the broker: the relay's loop, the raw loop, and a loop of `.delay()`.

All run in this process; no consumer reads the messages meanwhile.
"""

import statistics
from collections.abc import Callable, Iterator

from eventbus.relay.relay import Relay
from eventbus.relay.transports import transport
from tools.bench import candidates, fixtures, limit, queues
from tools.bench.report import Row
from tools.bench.run import Run
from tools.bench.timing import pace, ratio, timed

TARGETS = (("limit", "the limit loop", 0.6), ("delay", "`.delay()`", 10.0))


def rows(run: Run) -> Iterator[Row]:
    """Send the same events in three ways, alternately."""
    ways = {"bus": _relay(), "limit": _limit()}
    rates: dict[str, list[float]] = {"bus": [], "limit": [], "delay": []}
    for _ in run.rounds("outbox to broker"):
        for name, send in ways.items():
            fixtures.preload("benchshop.GoodsGiven", run.plan.sent)
            rates[name].append(run.plan.sent / timed(send))
            fixtures.clear()
        fewer = run.plan.sent // 5
        rates["delay"].append(fewer / _delays(fewer))
        queues.empty()
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

    def send() -> None:
        while relay.run_once():
            continue

    return send


def _limit() -> Callable[[], object]:
    through = limit.pipe()

    def send() -> None:
        while limit.relay_once(through):
            continue

    return send


def _delays(count: int) -> float:
    return timed(lambda: candidates.delay_many(queues.UNUSED_QUEUE, count))
