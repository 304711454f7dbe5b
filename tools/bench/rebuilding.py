"""A read model emptied and filled again from the log, beside the same events delivered."""

import statistics

from eventbus.operations.rebuild import rebuild
from tools.bench import contenders, fixtures
from tools.bench.report import Row
from tools.bench.run import Run
from tools.bench.stopwatch import pace, ratio

CONTEXT = "benchview"


def row(run: Run) -> Row:
    """Rebuild by turns with deliveries end to end."""
    rebuilt, delivered, count = [], [], run.plan.events
    ours = contenders.bus(run.plan.workers)
    with contenders.on_stage(run.folder, ours):
        for _ in run.rounds("rebuild"):
            fixtures.clear_patiently()
            with ours.playing():
                delivered.append(ours.rate(count))
            fixtures.clear_patiently()
            fixtures.history("benchroom.GoodsCounted", count)
            done = rebuild(CONTEXT, "command:bench")
            assert done.events == count, done
            assert fixtures.counted() == count, "the read model is not what the log says"
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
