"""What becomes of an order, in every weather."""

from decimal import Decimal

from eventbus.testing import without
from orders.models import Order


def test_an_order_is_reserved_paid_and_told(shop):
    # given
    shop.shelve(teapot=3)

    # when
    order = shop.checkout(teapot=2)

    # then
    assert order.status == "paid"
    assert shop.on_shelf("teapot") == 1
    assert shop.money_of(order) == Decimal("20.00")
    assert shop.letters() == ["invoice", "order_received", "welcome"]
    assert shop.pushes() == ["order_paid_push"]


def test_an_order_for_more_than_there_is_ends_and_says_what_is_missing(shop):
    shop.shelve(teapot=3, cup=1)

    order = shop.order(teapot=2, cup=2)
    shop.bus.settle()

    order = shop.again(order)
    assert (order.status, order.code) == ("cancelled", "out_of_stock")
    assert "cup: 1 of 2 left" in order.reason
    assert shop.on_shelf("teapot") == 3
    assert shop.letters() == ["cancelled", "order_received", "welcome"]


def test_paying_for_goods_that_are_not_there_moves_no_money(shop):
    shop.shelve(teapot=1)

    order = shop.checkout(teapot=2)

    assert (order.status, order.code) == ("cancelled", "out_of_stock")
    assert shop.payments_of(order) <= {"declined"}
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
    assert shop.money_of(order) == 0
    assert shop.letters() == ["cancelled", "order_received", "welcome"]


def test_a_fraud_is_not_served(shop):
    shop.shelve(teapot=3)

    order = shop.checkout(teapot=2, card="tok_fraud")

    assert (order.status, order.code) == ("cancelled", "declined")
    assert shop.on_shelf("teapot") == 3
    assert shop.money_of(order) == 0


def test_of_two_customers_one_gets_the_last_piece(shop):
    # given
    shop.shelve(teapot=1)

    # when
    orders = [shop.order("Sari", teapot=1), shop.order("Budi", teapot=1)]
    for order in orders:
        shop.pay(order)
    shop.bus.settle()

    # then
    ends = sorted((o.status, o.code) for o in map(shop.again, orders))
    assert ends == [("cancelled", "out_of_stock"), ("paid", "")]
    assert shop.on_shelf("teapot") == 0
    assert sum(shop.money_of(o) for o in orders) == Decimal("10.00")


def test_an_order_not_paid_lapses_by_itself(shop):
    shop.shelve(teapot=3)
    order = shop.order(teapot=2)
    shop.bus.settle()
    assert shop.on_shelf("teapot") == 1

    shop.bus.later(minutes=16)

    order = shop.again(order)
    assert (order.status, order.code) == ("cancelled", "lapsed")
    assert shop.on_shelf("teapot") == 3
    assert shop.letters() == ["cancelled", "order_received", "welcome"]


def test_who_has_not_paid_is_reminded_before_the_goods_are_gone(shop):
    shop.shelve(teapot=3)
    shop.order(teapot=1)
    shop.checkout("Budi", teapot=1)

    shop.bus.later(minutes=11)

    assert shop.texts("Sari") == ["payment_reminder"]
    assert shop.texts("Budi") == []


def test_paying_after_the_lapse_moves_no_money(shop):
    shop.shelve(teapot=3)
    order = shop.order(teapot=2)
    shop.bus.settle()
    shop.let_lapse(order)
    shop.pay(order)
    shop.bus.settle()

    assert (shop.again(order).status, shop.again(order).code) == ("cancelled", "lapsed")
    assert shop.payments_of(order) <= {"declined"}
    assert shop.bank.captured == 0
    assert shop.on_shelf("teapot") == 3


def test_cancelling_before_payment_puts_the_goods_back(shop):
    shop.shelve(teapot=3)
    order = shop.order(teapot=2)
    shop.cancel(order)
    shop.bus.settle()

    assert shop.again(order).code == "by_customer"
    assert shop.on_shelf("teapot") == 3
    assert shop.letters() == ["cancelled", "order_received", "welcome"]


def test_cancelling_after_payment_gives_money_and_goods_back(shop):
    shop.shelve(teapot=3)
    order = shop.checkout(teapot=2)

    shop.cancel(order)
    shop.bus.settle()

    assert shop.payment_of(order).status == "refunded"
    assert shop.money_of(order) == 0
    assert shop.on_shelf("teapot") == 3
    assert shop.bus.told("payments.PaymentRefunded")[0]["amount"] == "20.00"


def test_cancelling_while_the_money_moves_ends_right_whatever_comes_first(shop):
    shop.shelve(teapot=3)
    order = shop.order(teapot=2)
    shop.pay(order)
    shop.cancel(order)
    shop.bus.settle()

    assert shop.again(order).status == "cancelled"
    assert shop.money_of(order) == 0
    assert shop.on_shelf("teapot") == 3


def test_captured_too_late_and_the_goods_gone_the_money_goes_back(shop):
    # given: the bank takes so long that pin and reservation end, and Budi gets the goods
    shop.shelve(teapot=2)
    order = shop.order(teapot=2)
    rival = shop.order("Budi", teapot=2)
    shop.bus.settle()
    first, second = (order, rival) if shop.again(order).status == "reserved" else (rival, order)

    def meanwhile() -> None:
        shop.let_lapse(first)
        shop.reserve_by_hand(second)

    shop.while_the_bank_thinks(meanwhile)

    # when
    shop.pay(first)
    shop.bus.settle()

    # then
    assert shop.again(first).status == "cancelled"
    assert shop.bank.captured == Decimal("20.00")
    assert shop.money_of(first) == 0
    assert shop.payment_of(first).status == "refunded"
    assert shop.on_shelf("teapot") == 0


def test_captured_too_late_but_the_goods_are_there_the_sale_stands_or_is_undone(shop):
    shop.shelve(teapot=2)
    order = shop.order(teapot=2)
    shop.bus.settle()
    shop.while_the_bank_thinks(lambda: shop.let_lapse(order))

    shop.pay(order)
    shop.bus.settle()

    # Whether the lapse or the money is heard of first decides; both ends are whole.
    ended = shop.again(order)
    assert shop.bank.captured == Decimal("20.00")
    assert (ended.status, shop.money_of(order), shop.on_shelf("teapot")) in [
        ("paid", Decimal("20.00"), 0),
        ("cancelled", Decimal(0), 2),
    ]


def test_cancelled_while_the_bank_thinks_the_money_goes_back(shop):
    shop.shelve(teapot=2)
    order = shop.order(teapot=2)
    shop.bus.settle()
    shop.while_the_bank_thinks(lambda: shop.cancel(order))

    shop.pay(order)
    shop.bus.settle()

    assert shop.again(order).code == "by_customer"
    assert shop.bank.captured == Decimal("20.00")
    assert shop.payment_of(order).status == "refunded"
    assert shop.on_shelf("teapot") == 2


def test_the_bank_is_away_and_back(shop):
    # given
    shop.shelve(teapot=2)
    shop.bank.away = True
    order = shop.order(teapot=2)
    shop.pay(order)
    shop.bus.settle(trouble=True)
    assert shop.again(order).status in ("placed", "reserved")

    # when
    shop.bank.away = False
    shop.bus.later(seconds=30)

    # then
    assert shop.again(order).status == "paid"
    assert shop.bank.captured == shop.money_of(order) == Decimal("20.00")


def test_a_slow_answer_moves_the_money_once(shop):
    shop.shelve(teapot=2)
    order = shop.order(teapot=2)
    shop.pay(order, "tok_slow")
    shop.bus.settle(trouble=True)
    shop.bus.later(minutes=1)

    assert shop.again(order).status == "paid"
    assert shop.bank.captured == Decimal("20.00")


def test_a_flaky_bank_is_asked_until_it_answers(shop):
    shop.shelve(teapot=2)
    order = shop.order(teapot=2)
    shop.pay(order, "tok_flaky")
    for _ in range(4):
        shop.bus.later(seconds=10)

    assert shop.again(order).status == "paid"
    assert shop.bank.captured == Decimal("20.00")


def test_no_answer_about_the_goods_in_time_no_capture(shop):
    # given: inventory hears nothing
    shop.shelve(teapot=1)
    with without("inventory"):
        order = shop.order(teapot=1)
        shop.pay(order)
        shop.bus.settle()

        # when
        shop.bus.later(minutes=2)

    # then
    payment = shop.payment_of(order)
    assert (payment.status, payment.reason) == ("declined", "Stock did not answer in time.")
    assert shop.bank.captured == 0
    assert shop.again(order).status == "placed"


def test_mail_is_away_and_back(shop, settings):
    # given
    settings.EMAIL_BACKEND = "django.core.mail.backends.smtp.EmailBackend"
    settings.EMAIL_HOST, settings.EMAIL_PORT = "127.0.0.1", 9  # discard: nobody listens there
    shop.shelve(teapot=2)
    order = shop.order(teapot=1)
    shop.pay(order)
    shop.bus.settle(trouble=True)
    assert shop.again(order).status == "paid"
    assert shop.letters() == []

    # when
    settings.EMAIL_BACKEND = "django.core.mail.backends.locmem.EmailBackend"
    for _ in range(10):
        shop.bus.later(minutes=2)

    # then
    assert shop.letters() == ["invoice", "order_received", "welcome"]


def test_an_operator_is_told_when_little_is_left(shop):
    shop.shelve(low_stock_threshold=2, teapot=3)
    shop.checkout(teapot=2)
    assert shop.letters_to_operator() == ["stock_low"]


def test_nothing_is_sold_twice_when_all_want_everything(shop):
    shop.shelve(teapot=3, cup=3)
    orders = [
        shop.order(name, **basket)
        for name in ("Sari", "Budi", "Dewi", "Agus")
        for basket in ({"teapot": 2, "cup": 1}, {"cup": 2})
    ]
    for order in orders:
        shop.pay(order)
    shop.bus.settle()

    paid = Order.objects.filter(status="paid")
    sold = sum(line.quantity for o in paid for line in o.lines.filter(sku="cup"))
    assert sold + shop.on_shelf("cup") == 3
    assert {o.status for o in Order.objects.all()} <= {"paid", "cancelled"}
    assert sum(shop.money_of(o) for o in orders) == sum(o.total for o in paid)
