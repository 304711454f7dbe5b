"""Settings: everything that differs between machines comes from the environment.

A variable NAME may also come from a file that NAME_FILE names. `.env.example` lists them all.
Without any, Kabar runs in one process on SQLite.
"""

from datetime import timedelta
from pathlib import Path
from secrets import token_urlsafe
from typing import Any

from corsheaders.defaults import default_headers
from csp.constants import NONE, SELF, UNSAFE_INLINE

from config import log_config
from config.environment import BROKERS, ShopEnvironment
from config.environment import CACHES as CACHE_SERVERS
from infra import app_settings, secret_files

env = ShopEnvironment()
BASE_DIR = Path(__file__).resolve().parent.parent
VAR = env.folder("VAR_DIR", BASE_DIR / "var")

# --- the deployment ---------------------------------------------------------------------------
DEBUG = env.bool("DEBUG", False)
SECRET_KEY = env.str("SECRET_KEY", "") or secret_files.create_once(
    VAR / "secret_key", lambda: token_urlsafe(50)
)
ALLOWED_HOSTS = env.list("ALLOWED_HOSTS", default=["127.0.0.1", "localhost", "[::1]"])
CSRF_TRUSTED_ORIGINS = env.list("CSRF_TRUSTED_ORIGINS", default=[])
BROKER_URL = env.url("BROKER_URL", BROKERS)
CACHE_URL = env.url("CACHE_URL", CACHE_SERVERS)
HOST, PORT = env.str("HOST", "127.0.0.1"), env.int("PORT", 8000)
# Without a broker the relay lives in the web process, so one process is the house.
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
    "eventbus",  # after the contexts: it reads what they say and hear
]
AUTH_USER_MODEL = "accounts.User"

MIDDLEWARE = [
    "edge.middleware.PolicyMiddleware",
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
        "DIRS": [BASE_DIR / "config" / "templates"],
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

# --- the ground -------------------------------------------------------------------------------
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
    # Copies that processes do not share would not all be forgotten: better none.
    "aside": {"BACKEND": "django.core.cache.backends.dummy.DummyCache"},
}
if CACHE_URL:
    CACHES["default"] = {
        "BACKEND": "django_redis.cache.RedisCache",
        "LOCATION": CACHE_URL,
        "KEY_PREFIX": "kabar",
        # An unreachable cache makes things slower, not stuck.
        "OPTIONS": {"SOCKET_CONNECT_TIMEOUT": 0.5, "SOCKET_TIMEOUT": 0.5},
    }
    CACHES["aside"] = CACHES["default"] | {"BACKEND": "infra.caching.fail_open.FailOpen"}
SESSION_ENGINE = "django.contrib.sessions.backends.cached_db"
SESSION_CACHE_ALIAS = "aside"

# --- the bus ----------------------------------------------------------------------------------
EVENTBUS: dict[str, Any] = {
    "LOCKFILE": str(VAR / "relay.lock"),
    "HEALTH_HOST": env.str("HEALTH_HOST", "127.0.0.1"),
    "HEALTH_PORT": env.int("HEALTH_PORT", 0),  # of a relay or a worker; the web has its own
    "SEND_DEADLINE": env.float("SEND_DEADLINE", 30),
    "MARKER_INTERVAL": env.float("MARKER_INTERVAL", 10),
    "LOST_AFTER": env.float("LOST_AFTER", 310),
}
if BROKER_URL:
    EVENTBUS["TRANSPORT"] = "eventbus.relay.transports.celery.Celery"

CELERY_BROKER_URL = BROKER_URL
CELERY_TASK_SERIALIZER = "json"
CELERY_ACCEPT_CONTENT = ["json"]
CELERY_TASK_IGNORE_RESULT = True
CELERY_TASK_ACKS_LATE = True
CELERY_TASK_REJECT_ON_WORKER_LOST = True
CELERY_TASK_ACKS_ON_FAILURE_OR_TIMEOUT = False
CELERY_TASK_TIME_LIMIT = env.int("TASK_TIME_LIMIT", 150, least=1)
CELERY_TASK_SOFT_TIME_LIMIT = max(1, CELERY_TASK_TIME_LIMIT * 4 // 5)
CELERY_WORKER_PREFETCH_MULTIPLIER = 1
CELERY_WORKER_HIJACK_ROOT_LOGGER = False
CELERY_WORKER_CANCEL_LONG_RUNNING_TASKS_ON_CONNECTION_LOSS = True
CELERY_BROKER_CONNECTION_RETRY_ON_STARTUP = True
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
        "visibility_timeout": env.int(
            "VISIBILITY_TIMEOUT", 300
        ),  # above the hard time limit: below it a task ran four times
        "socket_timeout": 30,
        "socket_connect_timeout": 3,
    }

# --- the front door ---------------------------------------------------------------------------
JWKS_URL = env.str("JWKS_URL", "")  # of the keys' page, where accounts live elsewhere
REST_FRAMEWORK = {
    "DEFAULT_AUTHENTICATION_CLASSES": [
        f"edge.authentication.{'BearerAlone' if JWKS_URL else 'Bearer'}",
        "edge.authentication.Session",
    ],
    "DEFAULT_PARSER_CLASSES": [
        "edge.parsers.JSON",
        "rest_framework.parsers.FormParser",
        "rest_framework.parsers.MultiPartParser",
    ],
    "DEFAULT_PERMISSION_CLASSES": ["rest_framework.permissions.IsAuthenticated"],
    "DEFAULT_SCHEMA_CLASS": "edge.openapi.Schema",
    "DEFAULT_PAGINATION_CLASS": "edge.pagination.LimitOffset",
    "DEFAULT_THROTTLE_CLASSES": ["edge.rate_limits.RateLimitThrottle"],
    "NUM_PROXIES": env.int("NUM_PROXIES", 0),  # anybody can write an X-Forwarded-For
    "EXCEPTION_HANDLER": "edge.problem_details.problem",
    "TEST_REQUEST_DEFAULT_FORMAT": "json",
}
SPECTACULAR_SETTINGS = {
    "TITLE": "Kabar",
    "DESCRIPTION": "A shop whose parts talk only by news.",
    "VERSION": "1",
    "SERVE_INCLUDE_SCHEMA": False,
    "SERVE_PERMISSIONS": ["rest_framework.permissions.AllowAny"],
    "SWAGGER_UI_DIST": "SIDECAR",
    "SWAGGER_UI_FAVICON_HREF": "SIDECAR",
    "REDOC_DIST": "SIDECAR",
    "COMPONENT_SPLIT_REQUEST": True,
    "ENUM_NAME_OVERRIDES": {},
    "POSTPROCESSING_HOOKS": [
        "drf_spectacular.hooks.postprocess_schema_enums",
        "edge.openapi.describe_problems",
        "edge.openapi.forget_columns",
    ],
}
JWT: dict[str, Any] = {
    "KEYS_FILE": Path(env.str("JWT_SIGNING_KEYS_FILE", "") or VAR / "jwt_keys.json"),
    "MAKE_KEYS": not env.str("JWT_SIGNING_KEYS_FILE", ""),  # one that is named has to be there
    "JWKS_URL": JWKS_URL,
    "ISSUER": env.str("JWT_ISSUER", "kabar"),
    "AUDIENCE": env.str("JWT_AUDIENCE", "kabar"),
    "ACCESS": timedelta(minutes=5),
}
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
SECURE_CONTENT_TYPE_NOSNIFF = True
SECURE_REFERRER_POLICY = "same-origin"
X_FRAME_OPTIONS = "DENY"
CSRF_FAILURE_VIEW = "edge.problem_details.csrf_failure"
SESSION_COOKIE_SAMESITE = CSRF_COOKIE_SAMESITE = "Lax"
SESSION_COOKIE_HTTPONLY = True
if env.bool("HTTPS", False):
    SECURE_PROXY_SSL_HEADER = ("HTTP_X_FORWARDED_PROTO", "https")
    SECURE_SSL_REDIRECT = True
    SECURE_REDIRECT_EXEMPT = ["^health/"]  # probes come from inside
    SECURE_HSTS_SECONDS = env.int("HSTS_SECONDS", 365 * 24 * 3600)
    SECURE_HSTS_INCLUDE_SUBDOMAINS = True
    SESSION_COOKIE_SECURE = CSRF_COOKIE_SECURE = True
    # To be on browsers' own lists is the domain's owner's to decide: it takes months to undo.
    SILENCED_SYSTEM_CHECKS = ["security.W021"]
CONTENT_SECURITY_POLICY = {
    "DIRECTIVES": {
        "default-src": [SELF],
        "script-src": [SELF],
        # The admin and the browsable pages have `style` attributes throughout.
        "style-src": [SELF, UNSAFE_INLINE],
        "img-src": [SELF, "data:"],
        "object-src": [NONE],
        "base-uri": [NONE],
        "form-action": [SELF],
        "frame-ancestors": [NONE],
    }
}
# Pages of others may call the API, with tokens and never with cookies.
CORS_ALLOWED_ORIGINS = env.list("CORS_ALLOWED_ORIGINS", default=[])
CORS_URLS_REGEX = r"^/v1/"
CORS_ALLOW_HEADERS = [*default_headers, "idempotency-key", "if-none-match", "x-request-id"]
CORS_EXPOSE_HEADERS = [
    "ETag",
    "Idempotency-Replayed",
    "Location",
    "RateLimit",
    "RateLimit-Policy",
    "Retry-After",
    "X-Request-ID",
]
DATA_UPLOAD_MAX_MEMORY_SIZE = 2**20  # the largest thing anybody sends is an order of 1000 lines
JSON_LIMITS = {"depth": 32, "items": 10_000, "text": 100_000}

# --- what the contexts ask outside ---------------------------------------------------------------
vars().update(env.mail("EMAIL_URL", VAR / "mail"))
EMAIL_TIMEOUT = 10
DEFAULT_FROM_EMAIL = env.str("DEFAULT_FROM_EMAIL", "Kabar <shop@kabar.example>")

# --- what the edge and the contexts declare in their conf.py ------------------------------------
CONSTANCE_BACKEND = "infra.runtime_settings.store.Store"
CONSTANCE_CONFIG: dict[str, Any] = {}
CONSTANCE_ADDITIONAL_FIELDS: dict[str, Any] = {}
for _conf in app_settings.declared_in(["edge", *CONTEXTS]):
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
_LEVEL = env.str("LOG_LEVEL", "INFO", choices=("DEBUG", "INFO", "WARNING", "ERROR"))
log_config.configure(
    level=_LEVEL, style=env.str("LOG_FORMAT", "console", choices=("console", "json"))
)

UNFOLD = {
    "SITE_TITLE": "Kabar",
    "SITE_HEADER": "Kabar",
    "SITE_SUBHEADER": "Operations, times in UTC",
    "SITE_URL": "/",
    "SHOW_HISTORY": True,
}

env.must_be_valid()
