"""Settings: everything that differs between machines comes from the environment.

A variable NAME may also come from a file that NAME_FILE names. `.env.example` lists them all.
Without any, Kabar runs in one process on SQLite.

Settings of the API, of browsers and of Celery are in the files `settings_*.py` beside this one;
those of the edge and of each context are in its own `conf.py`.
"""

from pathlib import Path
from secrets import token_urlsafe
from typing import Any

from django.conf import global_settings

from config import log_config
from config.environment import CACHES as CACHE_SERVERS
from config.environment import env
from config.settings_api import *  # noqa: F403
from config.settings_browsers import *  # noqa: F403
from config.settings_celery import *  # noqa: F403
from config.settings_celery import BROKER_URL, CELERY_TASK_TIME_LIMIT
from infra import app_settings, secret_files

BASE_DIR = Path(__file__).resolve().parent.parent
VAR = env.folder("VAR_DIR", BASE_DIR / "var")

# --- the deployment ---------------------------------------------------------------------------
DEBUG = env.bool("DEBUG", False)
SECRET_KEY = env.str("SECRET_KEY", "") or secret_files.create_once(
    VAR / "secret_key", lambda: token_urlsafe(50)
)
ALLOWED_HOSTS = env.list("ALLOWED_HOSTS", default=["127.0.0.1", "localhost", "[::1]"])
CACHE_URL = env.url("CACHE_URL", CACHE_SERVERS)
HOST, PORT = env.str("HOST", "127.0.0.1"), env.int("PORT", 8000)
# Without a broker the relay lives in the web process, so there is one process.
WEB_CONCURRENCY = env.int("WEB_CONCURRENCY", 2 if BROKER_URL else 1, least=1)
# How long balancers may take to notice that readiness fails; requests are served meanwhile.
DRAIN_SECONDS = env.float("DRAIN_SECONDS", 0.0)

# --- the contexts --------------------------------------------------------------------------------
CONTEXTS = ["accounts", "orders", "payments", "inventory", "notifications", "analytics"]
CONTEXTS += env.packages("EXTRA_CONTEXTS")
INSTALLED_APPS = [
    "unfold",
    "unfold.contrib.constance",
    "django.contrib.admin",
    "django.contrib.auth",
    "django.contrib.contenttypes",
    "django.contrib.sessions",
    "django.contrib.messages",
    "whitenoise.runserver_nostatic",
    "django.contrib.staticfiles",
    "rest_framework",
    "corsheaders",
    "csp",
    "drf_spectacular",
    "drf_spectacular_sidecar",
    "health_check",
    "edge.idempotency",
    "constance",
    "infra.runtime_settings",
    *CONTEXTS,
    "tools",
    "eventbus",  # after the contexts: it reads their events and consumers
]
AUTH_USER_MODEL = "accounts.User"

MIDDLEWARE = [
    "edge.middleware.ContentSecurityPolicyMiddleware",
    "django.middleware.security.SecurityMiddleware",
    "whitenoise.middleware.WhiteNoiseMiddleware",
    "edge.middleware.OriginMiddleware",
    "edge.middleware.RequestLogMiddleware",
    "corsheaders.middleware.CorsMiddleware",
    "edge.middleware.RequestGuardMiddleware",
    "edge.rate_limits.RateLimitMiddleware",
    "django.contrib.sessions.middleware.SessionMiddleware",
    "django.middleware.common.CommonMiddleware",
    "django.middleware.csrf.CsrfViewMiddleware",
    "django.contrib.auth.middleware.AuthenticationMiddleware",
    "django.contrib.messages.middleware.MessageMiddleware",
    "django.middleware.clickjacking.XFrameOptionsMiddleware",
]
ROOT_URLCONF = "config.urls"
WSGI_APPLICATION = "config.wsgi.application"
TEMPLATES = [
    {
        "BACKEND": "django.template.backends.django.DjangoTemplates",
        "DIRS": [BASE_DIR / "edge" / "templates"],
        "APP_DIRS": True,
        "OPTIONS": {
            "context_processors": [
                "django.template.context_processors.request",
                "django.contrib.auth.context_processors.auth",
                "django.contrib.messages.context_processors.messages",
            ]
        },
    }
]

# --- databases and caches -----------------------------------------------------------------------
DATABASES: dict[str, Any] = {
    "default": env.database("DATABASE_URL", f"sqlite:///{VAR / 'kabar.sqlite3'}")
}
DATABASE = DATABASES["default"]
if DATABASE["ENGINE"].endswith("sqlite3"):
    # IMMEDIATE: with DEFERRED, 267 of a run's transactions ended in "database is locked".
    DATABASE["OPTIONS"] = {
        "transaction_mode": "IMMEDIATE",
        "timeout": 20,
        "init_command": "PRAGMA journal_mode=WAL; PRAGMA synchronous=FULL;",
    }
else:
    DATABASE["CONN_MAX_AGE"] = env.int("CONN_MAX_AGE", 60)
    DATABASE["CONN_HEALTH_CHECKS"] = True
DEFAULT_AUTO_FIELD = "django.db.models.BigAutoField"

_memory = "django.core.cache.backends.locmem.LocMemCache"
CACHES: dict[str, Any] = {
    "default": {"BACKEND": _memory},
    # Copies that processes do not share would not all be invalidated: better none.
    "shared": {"BACKEND": "django.core.cache.backends.dummy.DummyCache"},
}
if CACHE_URL:
    CACHES["default"] = {
        "BACKEND": "django_redis.cache.RedisCache",
        "LOCATION": CACHE_URL,
        "KEY_PREFIX": "kabar",
        # An unreachable cache makes things slower, not stuck.
        "OPTIONS": {"SOCKET_CONNECT_TIMEOUT": 0.5, "SOCKET_TIMEOUT": 0.5},
    }
    CACHES["shared"] = CACHES["default"] | {"BACKEND": "infra.caching.fail_open.FailOpen"}
SESSION_ENGINE = "django.contrib.sessions.backends.cached_db"
SESSION_CACHE_ALIAS = "shared"

# --- the bus ----------------------------------------------------------------------------------
EVENTBUS: dict[str, Any] = {
    "LOCKFILE": str(VAR / "relay.lock"),
    "HEALTH_HOST": env.str("HEALTH_HOST", "127.0.0.1"),
    "HEALTH_PORT": env.int("HEALTH_PORT", 0),  # of a relay or a worker; the web has its own
    "SEND_DEADLINE": env.float("SEND_DEADLINE", 30),
    "MARKER_INTERVAL": env.float("MARKER_INTERVAL", 10),
    # A worker takes a message in advance, so it may keep one for twice the limit.
    "LOST_AFTER": env.float("LOST_AFTER", 2 * CELERY_TASK_TIME_LIMIT + 10),
    "LEASE_SECONDS": env.float("LEASE_SECONDS", CELERY_TASK_TIME_LIMIT + 10),
}
if BROKER_URL:
    EVENTBUS["TRANSPORT"] = "eventbus.relay.transports.celery.Celery"

# --- log-in and static files ------------------------------------------------------------------
LOGIN_URL = "/admin/login/"
LOGIN_REDIRECT_URL = "/admin/"
STATIC_URL = "static/"
STATIC_ROOT = VAR / "static"
STATIC_ROOT.mkdir(exist_ok=True)
WHITENOISE_USE_FINDERS = not BROKER_URL
AUTH_PASSWORD_VALIDATORS = [
    {"NAME": f"django.contrib.auth.password_validation.{name}"}
    for name in (
        "UserAttributeSimilarityValidator",
        "MinimumLengthValidator",
        "CommonPasswordValidator",
        "NumericPasswordValidator",
    )
]

# --- mail ---------------------------------------------------------------------------------------
vars().update(env.mail("EMAIL_URL", VAR / "mail"))
EMAIL_TIMEOUT = 10
DEFAULT_FROM_EMAIL = env.str("DEFAULT_FROM_EMAIL", "Kabar <shop@kabar.example>")

# --- declared by the edge and the contexts in their conf.py -------------------------------------
CONSTANCE_BACKEND = "infra.runtime_settings.store.Store"
CONSTANCE_CONFIG: dict[str, Any] = {}
CONSTANCE_ADDITIONAL_FIELDS: dict[str, Any] = {}
for _conf in app_settings.declared_in(["edge", *CONTEXTS]):
    if _conf.name in vars() or hasattr(global_settings, _conf.name):
        env.problems.append(
            f"{type(_conf).__module__} declares the settings {_conf.name}, a name that is taken. "
            "Choose another one."
        )
    vars()[_conf.name] = _given = _conf.read(env)
    CONSTANCE_CONFIG |= _conf.constance_config(_given)
    CONSTANCE_ADDITIONAL_FIELDS |= _conf.constance_fields()

# --- language, time, logs ---------------------------------------------------------------------
LANGUAGE_CODE = "en"
LANGUAGES = [("en", "English"), ("id", "Bahasa Indonesia")]
FORMAT_MODULE_PATH = "config.formats"
TIME_ZONE = "UTC"
USE_TZ = True
LOGGING_CONFIG = None
log_config.configure(
    level=env.str("LOG_LEVEL", "INFO", choices=("DEBUG", "INFO", "WARNING", "ERROR")),
    style=env.str("LOG_FORMAT", "console", choices=("console", "json")),
)

UNFOLD = {
    "SITE_TITLE": "Kabar",
    "SITE_HEADER": "Kabar",
    "SITE_SUBHEADER": "Operations, times in UTC",
    "SITE_URL": "/",
    "SHOW_HISTORY": True,
}

env.must_be_valid()
