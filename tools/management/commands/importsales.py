"""A real shop's history."""

from pathlib import Path
from typing import Any

from django.core.management.base import BaseCommand, CommandError, CommandParser
from tqdm import tqdm

from eventbus.relay import embedded
from tools.ops import sales_file
from tools.ops.audit import counted
from tools.ops.import_sales import CURRENCY, Import, Report, Stuck


class Command(BaseCommand):
    """See `help`."""

    help = (
        "Bring in the history of a shop (the UCI Online Retail format): list, reprice, stock, sign"
        " up, order and pay, all by news, with each invoice's own date. May be stopped and run"
        " again: what is there is not taken twice."
    )

    def add_arguments(self, parser: CommandParser) -> None:
        """Take the file and how far to go."""
        parser.add_argument("file", type=Path)
        parser.add_argument("--dry-run", action="store_true", help="only say what is in the file")
        parser.add_argument("--notify", action="store_true", help="let mail go to the customers")
        parser.add_argument("--limit", type=int, help="take so many invoices at the most")
        parser.add_argument("--skipped", action="store_true", help="name every line left out")

    def handle(self, *args: Any, **options: Any) -> None:
        """Read, import, compare."""
        history = self._read(options["file"], options["limit"])
        self._tell_file(history, every_line=options["skipped"])
        if options["dry_run"]:
            return
        relay = embedded.start()
        try:
            report = self._import(history, options["notify"])
        except Stuck:
            raise CommandError(
                "Nothing moved for a minute: is the shop open (make run), or are a relay and"
                " workers running? What was taken is safe; run this again to go on."
            ) from None
        except KeyboardInterrupt:
            raise CommandError("Stopped between two invoices; run this again to go on.") from None
        finally:
            if relay:
                embedded.stop()
        self._tell(report)
        self._compare(history)

    def _read(self, file: Path, limit: int | None) -> sales_file.History:
        try:
            history = sales_file.read(file)
        except (OSError, sales_file.NotASale) as problem:
            raise CommandError(str(problem)) from problem
        if limit is not None:
            kept = list(history.invoices.items())[:limit]
            history.invoices = dict(kept)
        return history

    def _import(self, history: sales_file.History, notify: bool) -> Report:
        lines = sum(len(lines) for lines in history.invoices.values())
        with tqdm(total=lines, unit=" lines", disable=None) as bar:
            return Import(history, notify=notify, progress=bar.update).run()

    def _tell_file(self, history: sales_file.History, every_line: bool) -> None:
        taken = list(history.sales())
        self.stdout.write(
            f"{history.lines} lines: {len(taken)} sales in {len(history.invoices)} invoices,"
            f" worth {sum(sale.amount for sale in taken)}; {len(history.skipped)} left out."
        )
        for reason, count in history.reasons().most_common():
            self.stdout.write(f"  left out {count}: {reason}")
        if every_line:
            for line, reason in history.skipped:
                self.stdout.write(f"  line {line}: {reason}")

    def _tell(self, report: Report) -> None:
        self.stdout.write(f"{report.taken} invoices taken, {report.found} were there already.")
        for what, count in sorted(report.counts.items()):
            self.stdout.write(f"  {count} {what}")

    def _compare(self, history: sales_file.History) -> None:
        """Hold analytics, which knows only the news, against sums made straight from the file."""
        wrong = 0
        self.stdout.write("Analytics against the file:")
        for group_by in ("day", "product", "country"):
            ours = sales_file.sums(history.sales(), group_by)
            theirs = counted(group_by, CURRENCY)
            differ = [key for key, sum in ours.items() if theirs.get(key) != sum]
            wrong += len(differ)
            self.stdout.write(
                f"  by {group_by}: {len(ours)} sums, {len(differ)} differ"
                + (f" ({', '.join(differ[:5])} …)" if differ else "")
            )
        if wrong:
            raise CommandError("Figures differ: see above (other sales of these days count, too).")
