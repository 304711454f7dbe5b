"""The shop on a PostgreSQL whose settings are not ours: it works, and is as durable."""

import pytest

from tests.processes.buyers import assert_consistent, list_product, sign_up, undelivered
from tests.processes.deployment import Deployment, database_name, wait_until

UNUSUAL = {
    "default_transaction_isolation": "'serializable'",
    "statement_timeout": "'3s'",
    "lock_timeout": "'5ms'",  # shorter than a delivery that another one of its key waits for
    "idle_in_transaction_session_timeout": "'2s'",
    "idle_session_timeout": "'1s'",
    "synchronous_commit": "'off'",
    "work_mem": "'64kB'",
    "jit": "'on'",
    "jit_above_cost": "'0'",
    "timezone": "'Asia/Jakarta'",
    "datestyle": "'SQL, DMY'",
    "intervalstyle": "'sql_standard'",
    "bytea_output": "'escape'",
    "search_path": "elsewhere, public",
}


@pytest.mark.postgres
def test_the_shop_works_whatever_the_settings_of_its_database(deployment: Deployment) -> None:
    name = database_name(deployment.env["DATABASE_URL"])
    deployment.sql("CREATE SCHEMA elsewhere")
    for setting, value in UNUSUAL.items():
        deployment.sql(f'ALTER DATABASE "{name}" SET {setting} TO {value}')
    web, relay, worker = deployment.web(), deployment.relay(), deployment.worker()
    for process in (web, relay, worker):
        process.until("ready", "ok")
    list_product(deployment, "teapot", 8)
    (sari, budi) = sign_up(deployment, web, 2)

    assert sari.buy("teapot")["status"] == "paid"
    wait_until(lambda: not undelivered(deployment))
    assert budi.buy("teapot", "tok_insufficient_funds")["cancellation"]["code"] == "declined"
    wait_until(lambda: not undelivered(deployment))
    assert_consistent(deployment)
    assert deployment.sql("SELECT count(*) FROM eventbus_dead_letter") == [(0,)]
    for process in (web, relay, worker):
        assert "Traceback" not in process.output
