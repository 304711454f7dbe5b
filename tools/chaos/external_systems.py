"""Checks of external systems: money at the bank, e-mails sent."""

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
from tools.chaos.processes import DIRECT
from tools.ops.audit import Finding


def checks() -> Iterator[Finding]:
    """Run each check."""
    yield bank(_ledger())
    yield emails(_sent(Path(settings.VAR, "mail")))


def bank(movements: list[dict[str, Any]]) -> Finding:
    """Compare the bank's ledger with the payments."""
    finding = Finding("the bank's ledger agrees with every payment", 0)
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
        finding.checked += 1
        found, id = moved.pop(str(payment.pk), Counter()), str(payment.pk)
        if found != wanted.get(payment.status, Counter()):
            finding.violations.append(f"{payment} is {payment.status}, at the bank {dict(found)}")
        elif found and amounts[id] != payment.amount:
            finding.violations.append(f"{payment}: {payment.amount}, at the bank {amounts[id]}")
    finding.violations += [f"money of an unknown payment: {id}" for id in moved]
    return finding


def emails(sent: Counter[str]) -> Finding:
    """Compare the e-mails sent with the messages."""
    finding = Finding("every e-mail marked as sent was sent once")
    messages = Message.objects.filter(channel="mail", state="sent")
    for id in map(str, messages.values_list("id", flat=True)):
        finding.checked += 1
        if not sent[id]:
            finding.violations.append(f"never sent: {id}")
    finding.violations += [f"sent {count} times: {id}" for id, count in sent.items() if count > 1]
    return finding


def _ledger() -> list[dict[str, Any]]:
    with DIRECT.open(f"{conf.BANK_URL}/ledger", timeout=30) as answer:
        movements: list[dict[str, Any]] = json.load(answer)["movements"]
        return movements


def _sent(folder: Path) -> Counter[str]:
    ids: Counter[str] = Counter()
    for file in folder.glob("*.log"):
        ids.update(re.findall(r"^Message-ID: <([0-9a-f-]{36})@", file.read_text(), re.M))
    return ids
