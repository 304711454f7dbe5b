"""A read model rebuilt from the log, compared with the same events delivered."""

import statistics

from eventbus.operations.rebuild import rebuild
from tools.bench import candidates, fixtures
from tools.bench.report import Row
from tools.bench.run import Run
from tools.bench.timing import pace, ratio

CONTEXT = "benchview"


def row(run: Run) -> Row:
    """Measure rebuilds and deliveries alternately."""
    rebuilt, delivered, count = [], [], run.plan.events
    ours = candidates.bus(run.plan.workers)
    with candidates.running(run.folder, ours):
        for _ in run.rounds("rebuild"):
            fixtures.clear_with_retries()
            with ours.resumed():
                delivered.append(ours.rate(count))
            fixtures.clear_with_retries()
            fixtures.add_history("benchshop.GoodsCounted", count)
            done = rebuild(CONTEXT, "command:bench")
            assert done.events == count, done
            assert fixtures.read_model_sum() == count, "the read model differs from the log"
            rebuilt.append(done.rate)
    return Row(
        name="rebuild",
        what="rebuild of a read model : end to end",
        on=run.on,
        ours=pace(statistics.median(rebuilt)),
        beside=pace(statistics.median(delivered)),
        ratio=ratio(rebuilt, delivered),
        target=5,
        note=f"{count} events.",
    )
