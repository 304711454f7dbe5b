"""Settings for tests that kill processes: unconfirmed messages and open calls go again soon."""

from tests.processes.settings import *  # noqa: F403
from tests.processes.settings import EVENTBUS

CELERY_TASK_TIME_LIMIT = 9
CELERY_TASK_SOFT_TIME_LIMIT = 7
EVENTBUS |= {"SEND_DEADLINE": 3.0, "LEASE_SECONDS": 10.0}
