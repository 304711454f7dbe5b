"""What happened outside the house: money at the bank, letters in the post."""

import json
import re
from collections import Counter, defaultdict
from collections.abc import Iterator
from decimal import Decimal
from pathlib import Path
from typing import Any

from django.conf import settings

from notifications.models import Message
from payments.conf import conf
from payments.models import Payment
from tools.chaos.actors import DIRECT
from tools.ops.audit import Finding


def checks() -> Iterator[Finding]:
    """Make each check."""
    yield bank(_ledger())
    yield letters(_posted(Path(settings.VAR, "mail")))


def bank(movements: list[dict[str, Any]]) -> Finding:
    """The bank moved what payments know of, and nothing else."""
    finding = Finding("the bank moved the money of each payment as payments know it", 0)
    moved: dict[str, Counter[str]] = defaultdict(Counter)
    amounts: dict[str, Decimal] = {}
    for movement in movements:
        payment, _, _ = movement["key"].rpartition("-")
        moved[payment][movement["kind"]] += 1
        amounts[payment] = Decimal(movement["amount"])
    wanted = {
        "captured": Counter(capture=1),
        "refunded": Counter(capture=1, refund=1),
    }
    for payment in Payment.objects.iterator():
        finding.looked_at += 1
        found, id = moved.pop(str(payment.pk), Counter()), str(payment.pk)
        if found != wanted.get(payment.status, Counter()):
            finding.against.append(f"{payment} is {payment.status}, at the bank {dict(found)}")
        elif found and amounts[id] != payment.amount:
            finding.against.append(f"{payment}: {payment.amount}, at the bank {amounts[id]}")
    finding.against += [f"money of a payment nobody knows: {id}" for id in moved]
    return finding


def letters(posted: Counter[str]) -> Finding:
    """What was sent is in the post, and nothing twice."""
    finding = Finding("every letter that counts as sent was posted, and none twice")
    sent = Message.objects.filter(channel="mail", state="sent")
    for id in map(str, sent.values_list("id", flat=True)):
        finding.looked_at += 1
        if not posted[id]:
            finding.against.append(f"never posted: {id}")
    finding.against += [f"posted {count} times: {id}" for id, count in posted.items() if count > 1]
    return finding


def _ledger() -> list[dict[str, Any]]:
    with DIRECT.open(f"{conf.BANK_URL}/ledger", timeout=30) as answer:
        movements: list[dict[str, Any]] = json.load(answer)["movements"]
        return movements


def _posted(folder: Path) -> Counter[str]:
    ids: Counter[str] = Counter()
    for file in folder.glob("*.log"):
        ids.update(re.findall(r"^Message-ID: <([0-9a-f-]{36})@", file.read_text(), re.M))
    return ids
