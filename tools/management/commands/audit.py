"""Compares the books of all contexts."""

import json
from typing import Any

from django.core.management.base import BaseCommand, CommandError, CommandParser
from django.core.serializers.json import DjangoJSONEncoder

from eventbus.models import Pause
from eventbus.operations import completeness
from infra.snapshot import snapshot
from tools.ops import audit


class Command(BaseCommand):
    help = (
        "Compare stock, money, orders, figures and deliveries with each other, all as of one"
        " moment, also on a busy shop; changes nothing, and keeps no writer waiting."
    )

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("--most", type=int, default=5, help="examples of each violation")
        parser.add_argument("--json", action="store_true", help="print the findings as JSON")

    def handle(self, *args: Any, **options: Any) -> None:
        with snapshot():
            under_way, findings = audit.under_way(), list(audit.run())
            measured = completeness.measure() if options["json"] else None
            absorbed, paused = audit.absorbed(), [str(pause) for pause in Pause.objects.all()]
        wrong = sum(len(finding.violations) for finding in findings)
        if measured:
            self._print_json(under_way, findings, measured, absorbed, paused, options["most"])
        else:
            self.stdout.writelines(f"{text}\n" for text in paused)
            self._print(under_way, findings, options["most"])
        if wrong:
            raise CommandError(f"{wrong} violations.")
        if not measured:
            self.stdout.write("The books agree.")

    def _print(self, under_way: int, findings: list[audit.Finding], most: int) -> None:
        if under_way:
            self.stdout.write(
                f"{under_way:,} messages are under way: what they are about is not compared."
            )
        for finding in findings:
            word = "wrong" if finding.violations else "ok"
            self.stdout.write(f"{word:8}{finding.checked:>9}  {finding.claim}")
            left_out = f"{finding.under_way:,} orders still under way are left out"
            notes = [finding.detail, left_out if finding.under_way else ""]
            for line in filter(None, [*notes, *finding.violations[:most]]):
                self.stdout.write(f"{'':19}{line}")

    def _print_json(
        self,
        under_way: int,
        findings: list[audit.Finding],
        measured: completeness.Completeness,
        absorbed: dict[str, int],
        paused: list[str],
        most: int,
    ) -> None:
        report = {
            "under_way": under_way,
            "paused": paused,
            "completeness": measured.as_json(),
            "duplicates": {"absorbed": absorbed, "total": sum(absorbed.values())},
            "findings": [
                {
                    "claim": finding.claim,
                    "checked": finding.checked,
                    "under_way": finding.under_way,
                    "violations": len(finding.violations),
                    "examples": finding.violations[:most],
                }
                for finding in findings
            ],
        }
        self.stdout.write(json.dumps(report, indent=2, cls=DjangoJSONEncoder))
