"""The checks after a chaos test: `python -m tools.chaos.evaluate FOLDER` prints JSON."""

import json
import sys
from collections import Counter
from pathlib import Path
from typing import Any


def main(folder: Path) -> dict[str, Any]:
    """Run every check on the database of this process's settings."""
    import django

    django.setup()
    from eventbus.models import DeadLetter, Event, Inbox
    from orders.models import Order
    from tools.chaos import delivery_checks, duplicates, external_systems, invariants
    from tools.chaos.acknowledgements import read
    from tools.ops import audit

    writes = read(folder)
    findings = [
        delivery_checks.acknowledged(writes),
        *(check() for check in (*delivery_checks.CHECKS, *invariants.CHECKS)),
        *external_systems.checks(),
        duplicates.duplicate_deliveries(folder),
        *audit.run(),
    ]
    if waiting := audit.under_way():
        left = [f"{waiting} messages are still under way"]
        findings.append(audit.Finding("nothing is under way", waiting, left))
    return {
        "counts": {
            "events": Event.objects.count(),
            "orders": Order.objects.count(),
            "deliveries recorded": Inbox.objects.count(),
            "writes acknowledged": len(writes),
        },
        "checked": {finding.claim: finding.checked for finding in findings},
        "dead_letters": Counter(DeadLetter.objects.values_list("signature", flat=True)),
        "violations": {f.claim: f.violations for f in findings if f.violations},
    }


if __name__ == "__main__":
    print(json.dumps(main(Path(sys.argv[1]))))
