"""A storm from its first calm to its verdict."""

import json
import os
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path

from django.conf import settings

from tools.chaos import duplicates, verdict
from tools.chaos.brokers import Broker, ValkeyBroker, rabbitmq
from tools.chaos.cluster import Cluster
from tools.chaos.faults import LONGEST_SNAPSHOT, Injector
from tools.chaos.observe import Gauges
from tools.chaos.plan import Strike, plan
from tools.chaos.progress import LOOK_EVERY, Stuck
from tools.chaos.report import Cycle, Report
from tools.devserver.servers import Postgres, Valkey
from tools.devserver.supervisor import Ending

ECHO = 15.0  # seconds for the broker to bring again what was handled and not acknowledged
Say = Callable[[str], None]


@dataclass
class Storm:
    """One storm, of a seed."""

    seed: int
    cycles: int
    broker: str
    folder: Path
    say: Say
    only: Sequence[str] = ()

    def rage(self) -> Report:
        """Do all of it; the report says whether the house stood."""
        with ExitStack() as stack:
            hand, gauges = stack.enter_context(self._house())
            report = Report(self.seed, self.broker, hand.broker.told)
            begun = time.monotonic()
            hand.house.open()
            for stage in (self._strike_all, self._drain):
                try:
                    stage(hand, gauges, report)
                except Stuck as stuck:
                    report.violations[str(stuck)] = self._stuck(hand, gauges)
            report.seconds = time.monotonic() - begun
            self._judge(hand.house, report)
        return report

    def _strike_all(self, hand: Injector, gauges: Gauges, report: Report) -> None:
        strikes = plan(self.seed, self.cycles, self.only)
        ending = Ending()
        for number, strike in enumerate(strikes, 1):
            if ending.asked:
                self.say("asked to end: counting what there is")
                return
            time.sleep(strike.calm)
            cycle = self._cycle(hand, gauges, report, strike)
            report.cycles.append(cycle)
            report.look_at_lost(gauges)
            self.say(f"{number:>4}/{len(strikes)}  {cycle}")

    def _cycle(self, hand: Injector, gauges: Gauges, report: Report, strike: Strike) -> Cycle:
        """Strike, start again who died, and wait until the shop sells again."""
        hand.let_go(after=LONGEST_SNAPSHOT)
        dispatch, begun = gauges.newest_dispatch(), time.monotonic()
        hit_at = hand.strike(strike)
        report.hits += [hit_at] if hit_at else []
        struck, moment, sold = time.monotonic(), None, 0.0

        def recovered() -> bool:
            nonlocal moment, sold
            everybody, moment = hand.house.all_ready(), moment or gauges.now()
            sold = sold or (time.monotonic() if gauges.sells_since(moment) else 0.0)
            return everybody and bool(sold)

        def progress() -> tuple[object, ...]:
            return hand.house.ready(), () if sold else gauges.arrived()

        whole = hand.house.until(recovered, f"all is well after: {strike.what}", progress)
        lost = dispatch if strike.what == "empty broker" else 0
        return Cycle(strike.what, hit_at is not None, sold - struck, whole, begun, lost)

    def _drain(self, hand: Injector, gauges: Gauges, report: Report) -> None:
        """Let everything arrive, what was scheduled too."""
        self.say("draining")
        hand.let_go()
        hand.house.dismiss("traffic")

        def empty() -> bool:
            hand.house.tend()
            report.look_at_lost(gauges)
            return set(gauges.waiting().values()) == {0}

        report.drain = hand.house.until(empty, "everything has arrived", gauges.arrived)
        deadline = time.monotonic() + ECHO
        while hand.broker.holds() and time.monotonic() < deadline:
            hand.house.tend()
            time.sleep(LOOK_EVERY / 5)

    def _stuck(self, hand: Injector, gauges: Gauges) -> list[str]:
        """Say where everything is, now and in the report."""
        try:
            holds = hand.broker.holds().items()
            held = [f"{count} messages in the broker: {place}" for place, count in holds]
        except Exception as away:
            held = [f"the broker does not answer: {away}"]
        found = [*hand.house.words(), *held, *gauges.stayed()]
        for line in ("stuck:", *found):
            self.say(f"    {line}")
        return found

    def _judge(self, house: Cluster, report: Report) -> None:
        report.ended = house.ended
        hits = [*report.hits, *(end.at for end in house.ended)]
        (house.folder / duplicates.HITS).write_text(json.dumps(hits))
        said = house.run("-m", verdict.__name__, str(house.folder))
        report.take(json.loads(said.splitlines()[-1]))

    @contextmanager
    def _house(self) -> Iterator[tuple[Injector, Gauges]]:
        with ExitStack() as stack:
            database = stack.enter_context(Postgres(self.folder, durable=True))
            valkey = stack.enter_context(Valkey(self.folder))
            broker: Broker = ValkeyBroker(valkey)
            if self.broker == "rabbitmq":
                broker = stack.enter_context(rabbitmq())
            failpoints = self.folder / "failpoints"
            failpoints.mkdir(exist_ok=True)
            env = self._environment(database, valkey, broker, failpoints)
            house = Cluster(env, self.folder, Path(settings.BASE_DIR))
            stack.callback(house.close)
            house.hire_bank()
            gauges = Gauges(env["DATABASE_URL"])
            yield Injector(house, database, broker, failpoints, gauges), gauges

    def _environment(
        self, database: Postgres, valkey: Valkey, broker: Broker, failpoints: Path
    ) -> dict[str, str]:
        kept = ("PATH", "HOME", "LANG", "LD_LIBRARY_PATH", "VIRTUAL_ENV", "TMPDIR")
        return {
            **{name: os.environ[name] for name in kept if name in os.environ},
            **database.environment(),
            "BROKER_URL": broker.url,
            "CACHE_URL": valkey.cache_url,
            "DJANGO_SETTINGS_MODULE": "tools.chaos.settings",
            "KABAR_FAILPOINTS": str(failpoints),
            "VAR_DIR": str(self.folder / "var"),
            "SECRET_KEY": f"of a storm of seed {self.seed}, longer than thirty-two bytes",
            "LOG_LEVEL": "INFO",
            "LOG_FORMAT": "json",
            "MOST_OPEN_ORDERS": "1000000",  # each orders for a whole town
            "PYTHONUNBUFFERED": "1",
        }
