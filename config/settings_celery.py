"""Settings of Celery, which carries the events where BROKER_URL names a broker."""

from typing import Any

from config.environment import BROKERS, env

BROKER_URL = env.url("BROKER_URL", BROKERS)

CELERY_BROKER_URL = BROKER_URL
CELERY_TASK_SERIALIZER = "json"
CELERY_ACCEPT_CONTENT = ["json"]
CELERY_TASK_IGNORE_RESULT = True
CELERY_TASK_ACKS_LATE = True
CELERY_TASK_REJECT_ON_WORKER_LOST = True
CELERY_TASK_ACKS_ON_FAILURE_OR_TIMEOUT = False
CELERY_TASK_TIME_LIMIT = env.int("TASK_TIME_LIMIT", 150, least=1)
CELERY_TASK_SOFT_TIME_LIMIT = max(1, CELERY_TASK_TIME_LIMIT * 4 // 5)
CELERY_WORKER_CONSUMER = "config.worker:Consumer"
CELERY_WORKER_PREFETCH_MULTIPLIER = 1
CELERY_WORKER_HIJACK_ROOT_LOGGER = False
CELERY_WORKER_CANCEL_LONG_RUNNING_TASKS_ON_CONNECTION_LOSS = True
CELERY_BROKER_CONNECTION_RETRY_ON_STARTUP = True
CELERY_BROKER_CHANNEL_ERROR_RETRY = True  # a Redis that is read-only or full ended the worker
CELERY_BROKER_CONNECTION_MAX_RETRIES = None  # however long the broker is unreachable
# Celery closes the connection around every task otherwise: 166 events/s instead of 654.
CELERY_DB_REUSE_MAX = 1000
if BROKER_URL.startswith("amqp"):
    CELERY_TASK_DEFAULT_QUEUE_TYPE = "quorum"
    CELERY_TASK_CREATE_MISSING_QUEUE_TYPE = "quorum"  # the contexts' queues
    CELERY_TASK_DEFAULT_EXCHANGE_TYPE = "topic"
    CELERY_BROKER_TRANSPORT_OPTIONS: dict[str, Any] = {
        "confirm_publish": True,
        "confirm_timeout": 10,
        "read_timeout": 30,
        "write_timeout": 10,
        "connect_timeout": 3,
    }
else:
    CELERY_BROKER_TRANSPORT_OPTIONS = {
        # Above the hard time limit: below it a task ran four times.
        "visibility_timeout": env.int("VISIBILITY_TIMEOUT", 2 * CELERY_TASK_TIME_LIMIT),
        "socket_timeout": 30,
        "socket_connect_timeout": 3,
    }
