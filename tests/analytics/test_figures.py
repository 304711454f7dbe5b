"""Figures do not depend on the order of events, nor on duplicates."""

import datetime as dt
from decimal import Decimal

from analytics import queries, services
from analytics.queries import Refunds, Sales, SignUps, TimeToPay
from eventbus import registry
from eventbus.models import Event
from tests.analytics.figures import figures
from tests.analytics.sample_events import MONDAY, fortnight

FRIDAY = dt.date(2026, 3, 6)


def test_sales_are_the_paid_orders_by_day_product_and_country(deliver):
    # when
    deliver(fortnight())

    # then
    def row(key: str, orders: int, units: int, revenue: str, name: str | None = None) -> Sales:
        amount = Decimal(revenue)
        return Sales(key=key, name=name, orders=orders, units=units, revenue=amount, currency="EUR")

    assert queries.sales("day") == [
        row("2026-03-02", 1, 5, "23.20"),
        row("2026-03-06", 1, 1, "1.50"),
    ]
    assert queries.sales("product") == [
        row("teapot", 1, 2, "20.20", "Teapot"),
        row("cup", 2, 4, "4.50", "Cup, red"),
    ]
    assert queries.sales("country") == [row("ID", 1, 5, "23.20"), row("SG", 1, 1, "1.50")]
    assert queries.sales("day", start=FRIDAY) == [row("2026-03-06", 1, 1, "1.50")]
    assert queries.sales("day", end=FRIDAY - dt.timedelta(days=1))[0].key == "2026-03-02"
    assert queries.top_products(limit=1) == [row("teapot", 1, 2, "20.20", "Teapot")]


def test_the_funnel_counts_the_progress_of_orders(deliver):
    # when
    deliver(fortnight())

    # then
    funnel = queries.funnel()
    assert (funnel.placed, funnel.reserved, funnel.paid) == (5, 4, 2)
    assert funnel.cancelled == {"by_customer": 1, "lapsed": 1, "out_of_stock": 1}
    assert funnel.refunded == 2
    assert funnel.conversion == 0.4
    assert funnel.time_to_pay == TimeToPay(median_seconds=60.0, p90_seconds=600.0)
    assert queries.funnel(start=FRIDAY).placed == 3


def test_refunds_are_counted_on_the_day_of_the_refund(deliver):
    # when
    deliver(fortnight())

    # then
    assert queries.refunds() == [
        Refunds(day=FRIDAY, refunds=2, amount=Decimal("4.50"), currency="EUR")
    ]


def test_sign_ups_are_counted_by_day(deliver):
    # when
    deliver(fortnight())

    # then
    assert queries.sign_ups() == [
        SignUps(day=MONDAY.date(), customers=1),
        SignUps(day=FRIDAY, customers=1),
    ]


def test_a_rebuild_from_the_log_gives_the_same_figures(deliver):
    # given
    deliver(fortnight())
    before = figures()

    # when
    services.empty()
    assert queries.days() is None
    for event in Event.objects.order_by("-position"):
        for consumer in registry.consumers_of(event.name):
            if consumer.context == "analytics":
                consumer.handle([consumer.item(consumer.arguments(event.envelope()))])

    # then
    assert figures() == before


def test_an_order_without_order_placed_is_not_in_the_funnel(deliver):
    # given: OrderPlaced has not arrived yet
    events = [fact for fact in fortnight() if type(fact).name != "orders.OrderPlaced"]

    # when
    deliver(events)

    # then: sales are complete, the funnel is empty
    assert queries.sales("day")[0].revenue == Decimal("23.20")
    assert queries.funnel().placed == 0
    assert queries.funnel().conversion is None
    assert queries.funnel().time_to_pay == TimeToPay(median_seconds=None, p90_seconds=None)


def test_a_day_is_the_utc_day_of_the_order(deliver):
    # given: half past eleven in the evening in Greenwich is the next morning in Jakarta
    events = fortnight()

    # when
    deliver(events)

    # then
    assert queries.sales("day")[0].key == "2026-03-02"
    assert queries.days() == (MONDAY.date(), FRIDAY)


def test_an_empty_shop_has_empty_figures(db):
    assert queries.sales("product") == []
    assert queries.funnel().placed == 0
    assert queries.days() is None
