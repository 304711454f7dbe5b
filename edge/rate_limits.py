"""How often one may knock: requests of a window are counted in the shared cache, by all processes.

An increment is atomic in Redis and in this process's memory, so no request slips through between a
look and a count. The windows are fixed and begin for everybody at once: two neighbouring ones may
let twice the quota through in quick succession, no more.

Without the counters everything goes on but log-ins: passwords are not to be guessed uncounted.
"""

import time
from collections.abc import Callable
from dataclasses import dataclass
from ipaddress import ip_address, ip_network
from typing import Any

import structlog
from django.conf import settings
from django.core.cache import caches
from django.http import HttpRequest, HttpResponse
from redis import RedisError
from rest_framework.permissions import SAFE_METHODS
from rest_framework.request import Request
from rest_framework.throttling import BaseThrottle

from edge import problem_details
from edge.conf import limits
from eventbus import Refusal
from infra import clock
from infra.errors import Unavailable

SECONDS = {"s": 1, "m": 60, "h": 3600, "d": 86400}
CLOSED = {"login"}
REST = 2  # seconds: while the counters hang, one request of a process waits for them, not each
UNCOUNTED = ("/health/",)

log = structlog.get_logger(__name__)
_rests_until = 0.0


class TooManyRequests(Refusal):
    """This was asked too often (limit: {policy}); again in {seconds} s."""

    status = 429


@dataclass(frozen=True)
class RateLimitStatus:
    """How a caller stands with one limit, in the terms of draft-ietf-httpapi-ratelimit-headers."""

    policy: str
    quota: int
    window: int
    remaining: int
    reset: int


class Middleware:
    """Counts by address before anybody looks at the request, and tells the counts."""

    def __init__(self, answer: Callable[[HttpRequest], HttpResponse]) -> None:
        self.answer = answer

    def __call__(self, request: HttpRequest) -> HttpResponse:
        """Answer, or refuse."""
        if request.path.startswith(UNCOUNTED):
            return self.answer(request)
        counts = request.counts = []  # type: ignore[attr-defined]
        try:
            check(request, "ip", address(request))
            if request.method == "POST" and request.path == settings.LOGIN_URL:
                check(request, "login", address(request))
        except (TooManyRequests, Unavailable) as refusal:
            response = problem_details.refused(request, refusal)
        else:
            response = self.answer(request)
        if counts:
            response["RateLimit-Policy"] = ", ".join(
                f'"{c.policy}";q={c.quota};w={c.window}' for c in counts
            )
            response["RateLimit"] = ", ".join(
                f'"{c.policy}";r={c.remaining};t={c.reset}' for c in counts
            )
        return response


class Throttle(BaseThrottle):
    """Counts by user, and by what is asked for where the view names a `throttle_scope`."""

    def allow_request(self, request: Request, view: Any) -> bool:
        """Return True, or raise TooManyRequests, or Away."""
        who = address(request._request)
        if request.user.is_authenticated:
            who = str(request.user.pk)
            check(request._request, "user", who)
        scope = getattr(view, "throttle_scope", None)
        if scope and request.method not in SAFE_METHODS:
            check(request._request, scope, who)
        return True


def check(request: HttpRequest, policy: str, who: str) -> None:
    """Count this request. Raises TooManyRequests; Away for what nobody may do uncounted."""
    limit = rate(getattr(limits, policy, ""))
    if not limit:
        return
    quota, window = limit
    # This machine's time: the database's would cost a question to it for each limit.
    number, passed = divmod(int(time.time() + clock.offset.total_seconds()), window)
    count = _count(f"{policy}/{window}/{number}/{who}", window)
    if count is not None:
        told = RateLimitStatus(policy, quota, window, max(quota - count, 0), window - passed)
        request.counts.append(told)  # type: ignore[attr-defined]
        if count > quota:
            raise TooManyRequests(policy=policy, seconds=told.reset)
    elif policy in CLOSED:
        raise Unavailable(reason="What counts log-ins", seconds=REST)


def rate(text: str) -> tuple[int, int] | None:
    """Read `10/min`: so many in so many seconds; nothing is no limit. Raises ValueError."""
    if not text:
        return None
    quota, _, unit = text.partition("/")
    if unit[:1] not in SECONDS:
        raise ValueError(f"{text!r} is no rate, such as 10/min; there are {', '.join(SECONDS)}.")
    return int(quota), SECONDS[unit[:1]]


def address(request: Any) -> str:
    """Return where a request comes from; of IPv6 the network, as each home has 2**64 addresses.

    X-Forwarded-For counts only as far as NUM_PROXIES of our own wrote it.
    """
    near = str(request.META.get("REMOTE_ADDR", ""))
    try:
        found = ip_address(BaseThrottle().get_ident(request) or "")
    except ValueError:
        return near
    return str(ip_network((found, 64), strict=False) if found.version == 6 else found)


def _count(key: str, seconds: int) -> int | None:
    """Add one and return the sum; None where nobody can count."""
    global _rests_until
    if time.monotonic() < _rests_until:
        return None
    try:
        return _increment(key, seconds)
    except (RedisError, OSError) as away:
        log.warning("limits away", reason=str(away))
        _rests_until = time.monotonic() + REST
        return None


def _increment(key: str, seconds: int) -> int:
    counters = caches["limits"]
    try:
        return counters.incr(key)
    except ValueError:  # the first of its window; of several at once one makes it, and all count
        counters.add(key, 0, timeout=seconds)
        return counters.incr(key)
