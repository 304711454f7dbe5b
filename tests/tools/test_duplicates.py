"""The meter of duplicates: deliveries that the inbox absorbed, and effects that were doubled."""

import json
from contextlib import suppress
from io import StringIO
from typing import Any

import pytest
from django.core.management import CommandError, call_command
from django.db import transaction

from eventbus import GiveUp, publish
from eventbus.consuming.delivery import deliver
from eventbus.models import Duplicates, Retry
from eventbus.testing import Bus, listening
from inventory import services as inventory
from inventory.models import Movement
from orders.events import ProductRetired
from tests.eventbus.consumers import make_consumer
from tests.shop import Shop


def audit() -> dict[str, Any]:
    out = StringIO()
    with suppress(CommandError):
        call_command("audit", "--json", stdout=out)
    report: dict[str, Any] = json.loads(out.getvalue())
    return report


def doubled(report: dict[str, Any]) -> int:
    (finding,) = (f for f in report["findings"] if f["claim"].startswith("no effect is doubled"))
    return int(finding["violations"])


@pytest.mark.parametrize("external", [False, True])
def test_a_hundred_deliveries_twice_are_a_hundred_absorbed_and_none_doubled(
    calm: Bus, external: bool
) -> None:
    effects: list[str] = []

    def listen(sku: str) -> None:
        effects.append(sku)

    with listening(make_consumer(listen, external=external)):
        with transaction.atomic():
            for n in range(100):
                publish(ProductRetired(sku=f"{n}"))
        calm._collect()
        mine = [m for m in calm._transport.messages if m.consumer == "orders.listen"]
        for message in [*mine, *mine]:
            deliver(message.dispatch, message.consumer, message.events)

    assert len(effects) == 100
    report = audit()
    assert report["duplicates"] == {"absorbed": {"orders.listen": 100}, "total": 100}
    assert doubled(report) == 0


def test_a_delivery_that_fails_is_not_counted_twice(calm: Bus) -> None:
    def listen(sku: str) -> None:
        if sku == "bad":
            raise GiveUp(reason="bad")

    with listening(make_consumer(listen)):
        with transaction.atomic():
            publish(ProductRetired(sku="good"))
        calm._relay.run_once()
        first = next(m for m in calm._transport.messages if m.consumer == "orders.listen")
        deliver(first.dispatch, first.consumer, first.events)
        with transaction.atomic():
            publish(ProductRetired(sku="bad"))
        calm._relay.run_once()
        second = next(
            m for m in calm._transport.messages if m.consumer == "orders.listen" and m is not first
        )
        # Together they roll back, and are handled one by one: good is absorbed once.
        deliver(second.dispatch, second.consumer, [*first.events, *second.events])

    assert Duplicates.objects.get().absorbed == 1
    assert not Retry.objects.exists()


def test_an_effect_that_happened_twice_is_found(calm: Bus, settings: Any, tmp_path: Any) -> None:
    shop = Shop(calm, settings, tmp_path)
    shop.shelve(teapot=5)
    shop.checkout(teapot=2)
    assert doubled(audit()) == 0
    inventory.replenish("teapot", 1)
    inventory.replenish("teapot", 1)
    assert doubled(audit()) == 0

    movement = Movement.objects.get(kind="sold")
    movement.pk = None
    movement.save()
    assert doubled(audit()) == 1
