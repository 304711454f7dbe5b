"""Settings of a chaos test's processes: the ordinary ones, with short time-outs unless told."""

import os
import sys
from datetime import timedelta
from pathlib import Path

from config import settings as ordinary
from config.settings import *  # noqa: F403
from config.settings import (
    BASE_DIR,
    CELERY_BROKER_TRANSPORT_OPTIONS,
    CONTEXTS,
    EVENTBUS,
    INSTALLED_APPS,
)

sys.path.append(str(Path(BASE_DIR, "tools", "chaos", "contexts")))
CONTEXTS += ["chaosevents"]
# A deploy of a release that lacks a context.
if WITHOUT := os.environ.get("CHAOS_WITHOUT"):
    CONTEXTS.remove(WITHOUT)
    INSTALLED_APPS[:] = [app for app in INSTALLED_APPS if app.partition(".")[0] != WITHOUT]
INSTALLED_APPS.insert(INSTALLED_APPS.index("eventbus"), "chaosevents")

# All seconds. A worker may keep a message for twice the hard limit: it takes one in advance.
if not os.environ.get("CHAOS_DEFAULT_TIMEOUTS"):
    CELERY_TASK_SOFT_TIME_LIMIT = 6
    CELERY_TASK_TIME_LIMIT = 8
    CELERY_BROKER_TRANSPORT_OPTIONS |= (
        {} if os.environ.get("BROKER_URL", "").startswith("amqp") else {"visibility_timeout": 10}
    )
    EVENTBUS |= {
        "SEND_DEADLINE": 2.0,
        "LOST_AFTER": 18.0,
        "MARKER_INTERVAL": 2.0,
        "LEASE_SECONDS": 9.0,
        "MAX_RETRY_DELAY": 4.0,
        "PROBE_INTERVAL": 1.0,
    }

PAYMENTS = vars(ordinary)["PAYMENTS"] | {
    "BANK_TIMEOUT": 2.0,
    # A capture that the bank does not know stays open for so long: less than STALL_TIMEOUT.
    "BANK_UNDER_WAY": 20.0,
    "FRAUD_TIMEOUT": 1.0,
    "PIN_TIMEOUT": timedelta(seconds=10),
}
INVENTORY = vars(ordinary)["INVENTORY"] | {
    "RESERVATION": timedelta(seconds=12),
    "PIN": timedelta(seconds=10),
}
NOTIFICATIONS = vars(ordinary)["NOTIFICATIONS"] | {"REMIND_BEFORE": timedelta(seconds=4)}
