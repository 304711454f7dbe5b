"""Settings of the REST API: Django REST framework, the OpenAPI description, and sizes."""

from config.environment import env

REST_FRAMEWORK = {
    "DEFAULT_AUTHENTICATION_CLASSES": [
        "edge.authentication.BearerTokenAuthentication",
        "edge.authentication.SessionAuthentication",
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
    "NUM_PROXIES": env.int("NUM_PROXIES", 0),  # 0: X-Forwarded-For is ignored
    "EXCEPTION_HANDLER": "edge.problem_details.problem",
    "TEST_REQUEST_DEFAULT_FORMAT": "json",
}
SPECTACULAR_SETTINGS = {
    "TITLE": "Kabar",
    "DESCRIPTION": "A shop of contexts that talk only by events.",
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
        "edge.openapi.drop_column_limits",
    ],
}
DATA_UPLOAD_MAX_MEMORY_SIZE = 2**20  # the largest body is an order of 1000 lines
JSON_LIMITS = {"depth": 32, "items": 10_000, "text": 100_000}
