"""A real bank that calls a real shop as badly as it can: late, doubled, forged and reordered."""

from collections import Counter
from typing import Any

import httpx

from tests.processes.buyers import assert_consistent, concurrently, list_product, sign_up
from tests.processes.deployment import Deployment, free_port, wait_until

SECRET = "a secret of this test, in plain words"
CARDS = ["tok_slow", "tok_ok", "tok_insufficient_funds", "tok_slow"]


def test_webhooks_late_doubled_forged_and_reordered_end_right(embedded: Deployment) -> None:
    # given: a shop that would ask about a capture only in ten minutes, if the bank did not call
    deployment = embedded
    url = f"http://127.0.0.1:{free_port()}"
    deployment.env |= {"BANK_URL": url, "BANK_TIMEOUT": "1", "FRAUD_TIMEOUT": "5"}
    deployment.env |= {"BANK_ASK_AFTER": "600", "BANK_WEBHOOK_SECRET": SECRET}
    list_product(deployment, "teapot", 10)
    shop = deployment.start("shop", ["manage.py", "runshop"])
    calls = f"http://127.0.0.1:{shop.port}/v1/payments/webhooks/bank"
    bank = ["manage.py", "runbank", "--port", url.rpartition(":")[2], "--slow-seconds", "4"]
    bank += ["--webhooks", calls, "--late", "1", "--double", "--forge", "--reorder"]
    deployment.start("bank", bank)
    shop.until("ready", "ok")
    wait_until(lambda: _answers(url))

    # when
    crowd = sign_up(deployment, shop, len(CARDS))
    cards = dict(zip((buyer.token for buyer in crowd), CARDS, strict=True))
    ends = concurrently(crowd, lambda buyer: buyer.buy("teapot", cards[buyer.token]))

    # then: what was not heard was found because the bank called
    assert [end["status"] for end in ends] == ["paid", "paid", "cancelled", "paid"]
    wait_until(lambda: len(_brought(url)) == 4 * len(CARDS))
    brought = _brought(url)
    assert Counter((call["forged"], call["status"]) for call in brought) == {
        (False, 204): 2 * len(CARDS),
        (True, 400): 2 * len(CARDS),
    }
    assert deployment.sql("SELECT count(*) FROM payments_webhook") == [(len(CARDS),)]
    money = [m["kind"] for m in httpx.get(f"{url}/ledger").json()["movements"]]
    assert money == ["capture"] * 3
    assert_consistent(deployment)


def _answers(url: str) -> bool:
    try:
        return httpx.get(f"{url}/ledger").is_success
    except httpx.HTTPError:
        return False


def _brought(url: str) -> list[dict[str, Any]]:
    told: list[dict[str, Any]] = httpx.get(f"{url}/webhooks").json()["webhooks"]
    return told
