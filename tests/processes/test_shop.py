"""The shop on real parts: gunicorn, relay, Celery workers, PostgreSQL, Valkey, RabbitMQ."""

import os
import signal
import socket
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import pytest
from kombu import Connection, Queue

from config.celery import DELIVERY_LIMIT
from tests.processes.buyers import all_at_once, buyers, must_agree, shelve
from tests.processes.house import CONTEXTS, HASTY, House, wait_until
from tools.chaos.brokers import rabbitmq

MAIL_SENT = "SELECT count(*) FROM notifications_message WHERE channel = 'mail' AND state = 'sent'"

MAIL_WAITING = "SELECT count(*) FROM notifications_message WHERE channel = 'mail'"


@pytest.fixture
def rabbit_house(house: House) -> Iterator[House]:
    """A house whose news goes over RabbitMQ, in a virtual host of its own where it can be had."""
    with rabbitmq() as broker:
        house.env["BROKER_URL"] = broker.url
        yield house
        house.stop()


def _checkout_over_a_broker(house: House) -> None:
    web, relay, worker = house.web(), house.relay(), house.worker()
    for process in (web, relay, worker):
        process.until("ready", "ok")
    shelve(house, "teapot", 3)
    (sari,) = buyers(house, web)

    assert sari.buy("teapot")["status"] == "paid"
    assert sari.buy("teapot", "tok_insufficient_funds")["cancellation"]["code"] == "declined"
    wait_until(lambda: house.sql(MAIL_SENT) == [(5,)])
    must_agree(house)


@pytest.mark.postgres
def test_a_checkout_goes_through_outbox_relay_valkey_and_a_real_worker(house):
    _checkout_over_a_broker(house)


@pytest.mark.postgres
@pytest.mark.rabbitmq
def test_a_checkout_goes_through_rabbitmq(rabbit_house):
    _checkout_over_a_broker(rabbit_house)
    wanted = {"x-queue-type": "quorum", "x-delivery-limit": DELIVERY_LIMIT}
    with Connection(rabbit_house.env["BROKER_URL"]) as connection:
        for context in CONTEXTS.split(","):
            Queue(context, channel=connection, queue_arguments=wanted).queue_declare()


@pytest.mark.postgres
def test_two_hundred_buyers_race_for_fifty_pieces(house):
    web, _, _ = house.web(WEB_CONCURRENCY="2"), house.relay(), house.worker()
    web.until("ready", "ok")
    shelve(house, "prize", 50)
    crowd = buyers(house, web, 200)

    ends = all_at_once(crowd, lambda buyer: buyer.buy("prize"))

    print("the race:", Counter((e["status"], (e["cancellation"] or {}).get("code")) for e in ends))
    assert Counter(end["status"] for end in ends) == {"paid": 50, "cancelled": 150}
    must_agree(house)
    assert house.sql("SELECT on_hand, reserved FROM inventory_stockitem") == [(0, 0)]
    captured = "SELECT count(*), sum(amount) FROM payments_payment WHERE status = 'captured'"
    assert house.sql(captured) == [(50, 500)]


@pytest.mark.postgres
def test_a_dead_mail_server_delays_no_checkout(house):
    # given: a mail server that takes calls and never says a word
    with socket.create_server(("127.0.0.1", 0)) as silent:
        mail = f"smtp://127.0.0.1:{silent.getsockname()[1]}"
        web, relay = house.web(), house.relay()
        house.worker(queues="orders,inventory,payments,accounts,analytics")
        letters = house.worker(queues="notifications", EMAIL_URL=mail)
        for process in (web, relay, letters):
            process.until("ready", "ok")
        shelve(house, "teapot", 20)
        crowd = buyers(house, web, 20)

        # when
        ends = all_at_once(crowd, lambda buyer: buyer.buy("teapot"))

        # then: all have bought, though not one letter has left
        assert Counter(end["status"] for end in ends) == {"paid": 20}
        assert house.sql(MAIL_SENT) == [(0,)]
        assert house.sql(MAIL_WAITING)[0][0] > 0


@pytest.mark.postgres
def test_a_worker_killed_in_the_middle_loses_nothing_and_doubles_nothing(house):
    house.env |= HASTY
    web, relay = house.web(), house.relay()
    worker = house.worker()
    for process in (web, relay, worker):
        process.until("ready", "ok")
    shelve(house, "teapot", 30)
    crowd = buyers(house, web, 10)
    orders = all_at_once(crowd, lambda buyer: buyer.order("teapot"))

    # when: both children of the worker are killed, again and again, while the money is taken
    all_at_once(crowd[:5], lambda buyer: buyer.pay(orders[crowd.index(buyer)]))
    for child in _children(worker.pid):
        os.kill(child, signal.SIGKILL)
    all_at_once(crowd[5:], lambda buyer: buyer.pay(orders[crowd.index(buyer)]))
    for child in _children(worker.pid):
        os.kill(child, signal.SIGKILL)

    # then
    for buyer, order in zip(crowd, orders, strict=True):
        assert buyer.end_of(order)["status"] == "paid"
    must_agree(house)


def _children(pid: int) -> list[int]:
    listed = Path(f"/proc/{pid}/task/{pid}/children").read_text().split()
    return [int(child) for child in listed]


def test_the_small_shop_killed_in_the_middle_goes_on_where_it_was(small_house):
    # given
    house = small_house
    house.env |= HASTY
    shelve(house, "teapot", 10)
    shop = house.start("shop", ["manage.py", "runshop"])
    shop.until("ready", "ok")
    crowd = buyers(house, shop, 5)

    # when
    orders = all_at_once(crowd, lambda buyer: buyer.order("teapot"))
    shop.signal(signal.SIGKILL)
    shop.ended()
    again = house.start("shop", ["manage.py", "runshop"], PORT=str(shop.port))
    shop.popen = again.popen
    shop.until("ready", "ok")

    # then
    for buyer, order in zip(crowd, orders, strict=True):
        buyer.pay(order)
        assert buyer.end_of(order)["status"] == "paid"
    must_agree(house)
    shop.signal(signal.SIGTERM)
    assert shop.ended() == 0
