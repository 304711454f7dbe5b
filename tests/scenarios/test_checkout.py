"""The outcomes of a checkout, with every order of deliveries."""

from decimal import Decimal

from eventbus.models import Event
from eventbus.testing import without
from orders.models import Order


def test_an_order_is_reserved_and_paid_and_its_customer_informed(shop):
    # given
    shop.shelve(teapot=3)

    # when
    order = shop.checkout(teapot=2)

    # then
    assert order.status == "paid"
    assert shop.on_shelf("teapot") == 1
    assert shop.net_captured(order) == Decimal("20.00")
    assert shop.emails() == ["invoice", "order_received", "welcome"]
    assert shop.push_messages() == ["order_paid_push"]


def test_the_versions_of_an_orders_events_have_no_holes(shop):
    shop.shelve(teapot=3)

    order = shop.checkout(teapot=2)

    events = Event.objects.filter(aggregate=f"order:{order.pk}", name__startswith="orders.")
    versions = list(events.order_by("position").values_list("aggregate_version", flat=True))
    assert len(versions) > 1
    assert versions == list(range(1, len(versions) + 1))


def test_an_order_for_more_than_is_available_is_cancelled_and_names_the_shortage(shop):
    shop.shelve(teapot=3, cup=1)

    order = shop.order(teapot=2, cup=2)
    shop.bus.settle()

    order = shop.reload(order)
    assert (order.status, order.code) == ("cancelled", "out_of_stock")
    assert "cup: 1 of 2 left" in order.reason
    assert shop.on_shelf("teapot") == 3
    assert shop.emails() == ["cancelled", "order_received", "welcome"]


def test_paying_for_unavailable_goods_captures_nothing(shop):
    shop.shelve(teapot=1)

    order = shop.checkout(teapot=2)

    assert (order.status, order.code) == ("cancelled", "out_of_stock")
    assert shop.payment_statuses(order) <= {"declined"}
    assert shop.bank.captured == 0


def test_a_declined_card_puts_the_goods_back(shop):
    # given
    shop.shelve(teapot=3)

    # when
    order = shop.checkout(teapot=2, card="tok_insufficient_funds")

    # then
    assert (order.status, order.code) == ("cancelled", "declined")
    assert "insufficient funds" in order.reason.lower()
    assert shop.on_shelf("teapot") == 3
    assert shop.net_captured(order) == 0
    assert shop.emails() == ["cancelled", "order_received", "welcome"]


def test_a_fraudulent_card_cancels_the_order(shop):
    shop.shelve(teapot=3)

    order = shop.checkout(teapot=2, card="tok_fraud")

    assert (order.status, order.code) == ("cancelled", "declined")
    assert shop.on_shelf("teapot") == 3
    assert shop.net_captured(order) == 0


def test_of_two_customers_one_gets_the_last_piece(shop):
    # given
    shop.shelve(teapot=1)

    # when
    orders = [shop.order("Sari", teapot=1), shop.order("Budi", teapot=1)]
    for order in orders:
        shop.pay(order)
    shop.bus.settle()

    # then
    outcomes = sorted((o.status, o.code) for o in map(shop.reload, orders))
    assert outcomes == [("cancelled", "out_of_stock"), ("paid", "")]
    assert shop.on_shelf("teapot") == 0
    assert sum(shop.net_captured(o) for o in orders) == Decimal("10.00")


def test_an_unpaid_order_lapses(shop):
    shop.shelve(teapot=3)
    order = shop.order(teapot=2)
    shop.bus.settle()
    assert shop.on_shelf("teapot") == 1

    shop.bus.later(minutes=16)

    order = shop.reload(order)
    assert (order.status, order.code) == ("cancelled", "lapsed")
    assert shop.on_shelf("teapot") == 3
    assert shop.emails() == ["cancelled", "order_received", "welcome"]


def test_a_customer_who_has_not_paid_is_reminded_before_the_lapse(shop):
    shop.shelve(teapot=3)
    shop.order(teapot=1)
    shop.checkout("Budi", teapot=1)

    shop.bus.later(minutes=11)

    assert shop.sms("Sari") == ["payment_reminder"]
    assert shop.sms("Budi") == []


def test_paying_after_the_lapse_captures_nothing(shop):
    shop.shelve(teapot=3)
    order = shop.order(teapot=2)
    shop.bus.settle()
    shop.lapse(order)
    shop.pay(order)
    shop.bus.settle()

    assert (shop.reload(order).status, shop.reload(order).code) == ("cancelled", "lapsed")
    assert shop.payment_statuses(order) <= {"declined"}
    assert shop.bank.captured == 0
    assert shop.on_shelf("teapot") == 3


def test_cancelling_before_payment_releases_the_goods(shop):
    shop.shelve(teapot=3)
    order = shop.order(teapot=2)
    shop.cancel(order)
    shop.bus.settle()

    assert shop.reload(order).code == "by_customer"
    assert shop.on_shelf("teapot") == 3
    assert shop.emails() == ["cancelled", "order_received", "welcome"]


def test_cancelling_after_payment_refunds_and_returns_the_goods(shop):
    shop.shelve(teapot=3)
    order = shop.checkout(teapot=2)

    shop.cancel(order)
    shop.bus.settle()

    assert shop.latest_payment(order).status == "refunded"
    assert shop.net_captured(order) == 0
    assert shop.on_shelf("teapot") == 3
    assert shop.bus.payloads("payments.PaymentRefunded")[0]["amount"] == "20.00"


def test_cancelling_during_a_payment_ends_cancelled_and_refunded_in_any_order(shop):
    shop.shelve(teapot=3)
    order = shop.order(teapot=2)
    shop.pay(order)
    shop.cancel(order)
    shop.bus.settle()

    assert shop.reload(order).status == "cancelled"
    assert shop.net_captured(order) == 0
    assert shop.on_shelf("teapot") == 3


def test_a_capture_after_the_goods_were_sold_to_others_is_refunded(shop):
    # given: the capture outlasts pin and reservation, and the goods go to the other order
    shop.shelve(teapot=2)
    order = shop.order(teapot=2)
    rival = shop.order("Budi", teapot=2)
    shop.bus.settle()
    first, second = (order, rival) if shop.reload(order).status == "reserved" else (rival, order)

    def meanwhile() -> None:
        shop.lapse(first)
        shop.order_again(second)

    shop.during_capture(meanwhile)

    # when
    shop.pay(first)
    shop.bus.settle()

    # then
    assert shop.reload(first).status == "cancelled"
    assert shop.bank.captured == Decimal("20.00")
    assert shop.net_captured(first) == 0
    assert shop.latest_payment(first).status == "refunded"
    assert shop.on_shelf("teapot") == 0


def test_a_capture_after_the_lapse_with_goods_available_is_a_sale_or_refunded(shop):
    shop.shelve(teapot=2)
    order = shop.order(teapot=2)
    shop.bus.settle()
    shop.during_capture(lambda: shop.lapse(order))

    shop.pay(order)
    shop.bus.settle()

    # The outcome depends on which event orders handles first; both are consistent.
    outcome = shop.reload(order)
    assert shop.bank.captured == Decimal("20.00")
    assert (outcome.status, shop.net_captured(order), shop.on_shelf("teapot")) in [
        ("paid", Decimal("20.00"), 0),
        ("cancelled", Decimal(0), 2),
    ]


def test_a_capture_during_which_the_order_is_cancelled_is_refunded(shop):
    shop.shelve(teapot=2)
    order = shop.order(teapot=2)
    shop.bus.settle()
    shop.during_capture(lambda: shop.cancel(order))

    shop.pay(order)
    shop.bus.settle()

    assert shop.reload(order).code == "by_customer"
    assert shop.bank.captured == Decimal("20.00")
    assert shop.latest_payment(order).status == "refunded"
    assert shop.on_shelf("teapot") == 2


def test_an_order_is_paid_after_an_outage_of_the_bank(shop):
    # given
    shop.shelve(teapot=2)
    shop.bank.unavailable = True
    order = shop.order(teapot=2)
    shop.pay(order)
    shop.bus.settle(allow_failures=True)
    assert shop.reload(order).status in ("placed", "reserved")

    # when
    shop.bank.unavailable = False
    shop.bus.later(seconds=30)

    # then
    assert shop.reload(order).status == "paid"
    assert shop.bank.captured == shop.net_captured(order) == Decimal("20.00")


def test_a_slow_answer_of_the_bank_captures_once(shop):
    shop.shelve(teapot=2)
    order = shop.order(teapot=2)
    shop.pay(order, "tok_slow")
    shop.bus.settle(allow_failures=True)
    shop.bus.later(minutes=1)

    assert shop.reload(order).status == "paid"
    assert shop.bank.captured == Decimal("20.00")


def test_a_payment_is_retried_until_the_bank_answers(shop):
    shop.shelve(teapot=2)
    order = shop.order(teapot=2)
    shop.pay(order, "tok_flaky")
    for _ in range(4):
        shop.bus.later(seconds=10)

    assert shop.reload(order).status == "paid"
    assert shop.bank.captured == Decimal("20.00")


def test_nothing_is_captured_without_an_answer_about_the_goods(shop):
    # given: no event is delivered to inventory
    shop.shelve(teapot=1)
    with without("inventory"):
        order = shop.order(teapot=1)
        shop.pay(order)
        shop.bus.settle()

        # when
        shop.bus.later(minutes=2)

    # then
    payment = shop.latest_payment(order)
    assert payment.status == "declined"
    assert payment.reason == "The reservation was not confirmed in time."
    assert shop.bank.captured == 0
    assert shop.reload(order).status == "placed"


def test_an_email_is_sent_once_after_an_outage_of_the_mail_server(shop, settings):
    # given
    settings.EMAIL_BACKEND = "django.core.mail.backends.smtp.EmailBackend"
    settings.EMAIL_HOST, settings.EMAIL_PORT = "127.0.0.1", 9  # discard: connections are refused
    shop.shelve(teapot=2)
    order = shop.order(teapot=1)
    shop.pay(order)
    shop.bus.settle(allow_failures=True)
    assert shop.reload(order).status == "paid"
    assert shop.emails() == []

    # when
    settings.EMAIL_BACKEND = "django.core.mail.backends.locmem.EmailBackend"
    for _ in range(10):
        shop.bus.later(minutes=2)

    # then
    assert shop.emails() == ["invoice", "order_received", "welcome"]


def test_the_operator_gets_a_message_about_low_stock(shop):
    shop.shelve(low_stock_threshold=2, teapot=3)
    shop.checkout(teapot=2)
    assert shop.emails_to_operator() == ["stock_low"]


def test_nothing_is_sold_twice_when_every_customer_orders_everything(shop):
    shop.shelve(teapot=3, cup=3)
    orders = [
        shop.order(name, **quantities)
        for name in ("Sari", "Budi", "Dewi", "Agus")
        for quantities in ({"teapot": 2, "cup": 1}, {"cup": 2})
    ]
    for order in orders:
        shop.pay(order)
    shop.bus.settle()

    paid = Order.objects.filter(status="paid")
    sold = sum(line.quantity for o in paid for line in o.lines.filter(sku="cup"))
    assert sold + shop.on_shelf("cup") == 3
    assert {o.status for o in Order.objects.all()} <= {"paid", "cancelled"}
    assert sum(shop.net_captured(o) for o in orders) == sum(o.total for o in paid)
