"""Imports the sales history of a shop."""

from pathlib import Path
from typing import Any

from django.core.management.base import BaseCommand, CommandError, CommandParser
from tqdm import tqdm

from eventbus.relay import embedded
from tools.ops import sales_file
from tools.ops.audit import counted
from tools.ops.import_sales import CURRENCY, Import, Report, Stuck


class Command(BaseCommand):
    help = (
        "Import the sales history of a shop (UCI Online Retail format): list, reprice, stock, sign"
        " up, order and pay, at each invoice's date. It can be stopped and run again: no invoice"
        " is imported twice."
    )

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("file", type=Path)
        parser.add_argument(
            "--dry-run", action="store_true", help="print a summary of the file only"
        )
        parser.add_argument("--notify", action="store_true", help="send e-mails to the customers")
        parser.add_argument("--limit", type=int, help="import at most so many invoices")
        parser.add_argument("--skipped", action="store_true", help="print every skipped line")

    def handle(self, *args: Any, **options: Any) -> None:
        history = self._read(options["file"], options["limit"])
        self._print_summary(history, every_line=options["skipped"])
        if options["dry_run"]:
            return
        relay = embedded.start()
        try:
            report = self._import(history, options["notify"])
        except Stuck:
            raise CommandError(
                "No event was delivered for a minute. Start the shop (make run), or a relay and"
                " workers, and run this again to continue."
            ) from None
        except KeyboardInterrupt:
            raise CommandError(
                "Stopped between two invoices; run this again to continue."
            ) from None
        finally:
            if relay:
                embedded.stop()
        self._print_counts(report)
        self._compare(history)

    def _read(self, file: Path, limit: int | None) -> sales_file.History:
        try:
            history = sales_file.read(file)
        except (OSError, sales_file.NotASale) as error:
            raise CommandError(str(error)) from error
        if limit is not None:
            first = list(history.invoices.items())[:limit]
            history.invoices = dict(first)
        return history

    def _import(self, history: sales_file.History, notify: bool) -> Report:
        lines = sum(len(lines) for lines in history.invoices.values())
        with tqdm(total=lines, unit=" lines", disable=None) as bar:
            return Import(history, notify=notify, progress=bar.update).run()

    def _print_summary(self, history: sales_file.History, every_line: bool) -> None:
        sales = list(history.sales())
        self.stdout.write(
            f"{history.lines} lines: {len(sales)} sales in {len(history.invoices)} invoices,"
            f" worth {sum(sale.amount for sale in sales)}; {len(history.skipped)} skipped."
        )
        for reason, count in history.reasons().most_common():
            self.stdout.write(f"  skipped {count}: {reason}")
        if every_line:
            for line, reason in history.skipped:
                self.stdout.write(f"  line {line}: {reason}")

    def _print_counts(self, report: Report) -> None:
        self.stdout.write(
            f"{report.imported} invoices imported, {report.present} were imported before."
        )
        for what, count in sorted(report.counts.items()):
            self.stdout.write(f"  {count} {what}")

    def _compare(self, history: sales_file.History) -> None:
        """Compare analytics, which has counted events, with sums of the file."""
        wrong = 0
        self.stdout.write("Analytics compared with the file:")
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
            raise CommandError("Figures differ: see above. Other sales count in analytics, too.")
