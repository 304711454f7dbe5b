"""The count after a storm: `python -m tools.chaos.verdict FOLDER` prints JSON."""

import json
import sys
from collections import Counter
from pathlib import Path
from typing import Any


def main(folder: Path) -> dict[str, Any]:
    """Make every check on the database this process is given."""
    import django

    django.setup()
    from eventbus.models import DeadLetter, Event, Inbox
    from orders.models import Order
    from tools.chaos import checks, duplicates, external_systems, invariants
    from tools.chaos.ledger import read
    from tools.ops import audit

    promises = read(folder)
    findings = [
        checks.promised(promises),
        *(check() for check in (*checks.CHECKS, *invariants.CHECKS)),
        *external_systems.checks(),
        duplicates.few(folder),
        *audit.run(),
    ]
    for finding in findings:
        if finding.unknown:
            finding.against.append("unknown: news is still under way")
    return {
        "counts": {
            "events": Event.objects.count(),
            "orders": Order.objects.count(),
            "deliveries recorded": Inbox.objects.count(),
            "promises acknowledged": len(promises),
        },
        "checked": {finding.says: finding.looked_at for finding in findings},
        "dead": Counter(DeadLetter.objects.values_list("signature", flat=True)),
        "violations": {f.says: f.against for f in findings if f.against},
    }


if __name__ == "__main__":
    print(json.dumps(main(Path(sys.argv[1]))))
