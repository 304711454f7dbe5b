"""Two imports and two workers move the same goods at the same time, and nothing fails."""

import random
import subprocess
import sys
from pathlib import Path

import pytest

from tests.processes.buyers import assert_consistent, undelivered
from tests.processes.deployment import REPOSITORY, TIMEOUT, Deployment, wait_until

INVOICES, GOODS, LINES = 40, 12, 6  # per import; each invoice takes half of the goods
HEAD = "InvoiceNo,StockCode,Description,Quantity,InvoiceDate,UnitPrice,CustomerID,Country"


def write_sales(path: Path, first: int, seed: int) -> Path:
    """Write invoices whose lines name the same goods in a shuffled order, at changing prices."""
    chance, lines = random.Random(seed), [HEAD]
    for number in range(first, first + INVOICES):
        for sku in chance.sample(range(GOODS), LINES):
            price, customer = chance.choice(["1.00", "2.00"]), chance.randrange(5)
            lines.append(
                f"{number},SKU{sku},Product {sku},{chance.randrange(1, 5)},"
                f"12/1/2010 10:{number % 60:02},{price},{10000 + customer},Australia"
            )
    path.write_text("\n".join(lines) + "\n", encoding="latin-1")
    return path


@pytest.mark.postgres
def test_imports_and_workers_with_overlapping_orders_fail_no_invoice_and_no_delivery(
    deployment: Deployment, tmp_path: Path
) -> None:
    for process in (deployment.relay(), deployment.worker(), deployment.worker()):
        process.until("ready", "ok")
    files = [write_sales(tmp_path / f"{n}.csv", 600000 + 1000 * n, n) for n in range(2)]
    imports = [
        subprocess.Popen(
            [sys.executable, "manage.py", "importsales", str(file)],
            cwd=REPOSITORY,
            env=deployment.env,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        )
        for file in files
    ]
    printed = [process.communicate(timeout=TIMEOUT * 6)[0] for process in imports]
    for text in printed:  # each ends with figures that do not include the other's sales
        assert f"{INVOICES} invoices imported" in text
        assert "Figures differ" in text
        assert "Traceback" not in text

    wait_until(lambda: not undelivered(deployment))
    for table in ("dead_letter", "consumer_health"):
        assert deployment.sql(f"SELECT * FROM eventbus_{table}") == []
    assert [p.output.count("Traceback") for p in deployment.started] == [0, 0, 0]
    ((paid,),) = deployment.sql("SELECT count(*) FROM orders_order WHERE status = 'paid'")
    assert paid == 2 * INVOICES
    assert_consistent(deployment)
    deadlocks = "SELECT deadlocks FROM pg_stat_database WHERE datname = current_database()"
    print("deadlocks:", deployment.sql(deadlocks)[0][0])
