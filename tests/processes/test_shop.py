"""The shop on real parts: gunicorn, relay, Celery workers, PostgreSQL, Valkey, RabbitMQ."""

import os
import signal
import socket
from collections import Counter
from pathlib import Path

import pytest
from kombu import Connection, Queue

from config.celery import DELIVERY_LIMIT
from tests.processes.buyers import assert_consistent, concurrently, list_product, sign_up
from tests.processes.deployment import CONTEXTS, SHORT_TIMEOUTS, Deployment, wait_until

MAIL_SENT = "SELECT count(*) FROM notifications_message WHERE channel = 'mail' AND state = 'sent'"

MAIL_WAITING = "SELECT count(*) FROM notifications_message WHERE channel = 'mail'"


def _checkout_over_a_broker(deployment: Deployment) -> None:
    web, relay, worker = deployment.web(), deployment.relay(), deployment.worker()
    for process in (web, relay, worker):
        process.until("ready", "ok")
    list_product(deployment, "teapot", 3)
    (sari,) = sign_up(deployment, web)

    assert sari.buy("teapot")["status"] == "paid"
    assert sari.buy("teapot", "tok_insufficient_funds")["cancellation"]["code"] == "declined"
    wait_until(lambda: deployment.sql(MAIL_SENT) == [(5,)])
    assert_consistent(deployment)


@pytest.mark.postgres
def test_a_checkout_goes_through_outbox_relay_valkey_and_a_real_worker(deployment):
    _checkout_over_a_broker(deployment)


@pytest.mark.postgres
@pytest.mark.rabbitmq
def test_a_checkout_goes_through_rabbitmq(deployment, over_rabbitmq):
    _checkout_over_a_broker(deployment)
    wanted = {"x-queue-type": "quorum", "x-delivery-limit": DELIVERY_LIMIT}
    with Connection(over_rabbitmq.url) as connection:
        for context in CONTEXTS.split(","):
            Queue(context, channel=connection, queue_arguments=wanted).queue_declare()


@pytest.mark.postgres
def test_two_hundred_buyers_race_for_fifty_pieces(deployment):
    web, _, _ = deployment.web(WEB_CONCURRENCY="2"), deployment.relay(), deployment.worker()
    web.until("ready", "ok")
    list_product(deployment, "prize", 50)
    crowd = sign_up(deployment, web, 200)

    ends = concurrently(crowd, lambda buyer: buyer.buy("prize"))

    print("the race:", Counter((e["status"], (e["cancellation"] or {}).get("code")) for e in ends))
    assert Counter(end["status"] for end in ends) == {"paid": 50, "cancelled": 150}
    assert_consistent(deployment)
    assert deployment.sql("SELECT on_hand, reserved FROM inventory_stockitem") == [(0, 0)]
    captured = "SELECT count(*), sum(amount) FROM payments_payment WHERE status = 'captured'"
    assert deployment.sql(captured) == [(50, 500)]


@pytest.mark.postgres
def test_a_dead_mail_server_delays_no_checkout(deployment):
    # given: a mail server that takes calls and never says a word
    with socket.create_server(("127.0.0.1", 0)) as silent:
        mail = f"smtp://127.0.0.1:{silent.getsockname()[1]}"
        web, relay = deployment.web(), deployment.relay()
        deployment.worker(queues="orders,inventory,payments,accounts,analytics")
        mailer = deployment.worker(queues="notifications", EMAIL_URL=mail)
        for process in (web, relay, mailer):
            process.until("ready", "ok")
        list_product(deployment, "teapot", 20)
        crowd = sign_up(deployment, web, 20)

        # when
        ends = concurrently(crowd, lambda buyer: buyer.buy("teapot"))

        # then: all have bought, though not one message has left
        assert Counter(end["status"] for end in ends) == {"paid": 20}
        assert deployment.sql(MAIL_SENT) == [(0,)]
        assert deployment.sql(MAIL_WAITING)[0][0] > 0


@pytest.mark.postgres
def test_a_worker_killed_in_the_middle_loses_nothing_and_doubles_nothing(deployment):
    deployment.env |= SHORT_TIMEOUTS
    web, relay = deployment.web(), deployment.relay()
    worker = deployment.worker()
    for process in (web, relay, worker):
        process.until("ready", "ok")
    list_product(deployment, "teapot", 30)
    crowd = sign_up(deployment, web, 10)
    orders = concurrently(crowd, lambda buyer: buyer.order("teapot"))

    # when: both children of the worker are killed, again and again, while the money is taken
    concurrently(crowd[:5], lambda buyer: buyer.pay(orders[crowd.index(buyer)]))
    for child in _children(worker.pid):
        os.kill(child, signal.SIGKILL)
    concurrently(crowd[5:], lambda buyer: buyer.pay(orders[crowd.index(buyer)]))
    for child in _children(worker.pid):
        os.kill(child, signal.SIGKILL)

    # then
    for buyer, order in zip(crowd, orders, strict=True):
        assert buyer.wait_for_end(order)["status"] == "paid"
    assert_consistent(deployment)


def _children(pid: int) -> list[int]:
    listed = Path(f"/proc/{pid}/task/{pid}/children").read_text().split()
    return [int(child) for child in listed]


def test_the_small_shop_killed_in_the_middle_goes_on_where_it_was(embedded):
    # given
    deployment = embedded
    deployment.env |= SHORT_TIMEOUTS
    list_product(deployment, "teapot", 10)
    shop = deployment.start("shop", ["manage.py", "runshop"])
    shop.until("ready", "ok")
    crowd = sign_up(deployment, shop, 5)

    # when
    orders = concurrently(crowd, lambda buyer: buyer.order("teapot"))
    shop.signal(signal.SIGKILL)
    shop.wait()
    again = deployment.start("shop", ["manage.py", "runshop"], PORT=str(shop.port))
    shop.popen = again.popen
    shop.until("ready", "ok")

    # then
    for buyer, order in zip(crowd, orders, strict=True):
        buyer.pay(order)
        assert buyer.wait_for_end(order)["status"] == "paid"
    assert_consistent(deployment)
    shop.signal(signal.SIGTERM)
    assert shop.wait() == 0
