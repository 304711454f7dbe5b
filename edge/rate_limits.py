"""Rate limits: how many requests a caller may make in any stretch of time of a given length.

`limits` counts with its moving window: in Redis or Valkey (CACHE_URL) for all processes together,
without one in the memory of this process. While Redis is unavailable requests pass uncounted, but
log-ins are refused: passwords must not be guessed uncounted.
"""

import math
import time
from collections.abc import Callable
from dataclasses import dataclass
from functools import lru_cache
from ipaddress import ip_address, ip_network
from threading import Lock
from typing import Any

import structlog
from django.conf import settings
from django.http import HttpRequest, HttpResponse
from limits import RateLimitItem, RateLimitItemPerSecond
from limits.storage import RedisStorage
from limits.strategies import MovingWindowRateLimiter
from redis import RedisError
from rest_framework.permissions import SAFE_METHODS
from rest_framework.request import Request
from rest_framework.throttling import BaseThrottle

from edge import problem_details
from edge.conf import limits
from edge.memory_storage import ThreadSafeMemoryStorage
from eventbus import Refusal
from infra.errors import Unavailable

SECONDS = {"s": 1, "m": 60, "h": 3600, "d": 86400}
NEVER_UNCOUNTED = {"login"}
PAUSE = 2  # seconds: while Redis hangs, one request of a process waits for it, not each
TIMEOUT = 0.5  # seconds
EXEMPT = ("/health/",)

log = structlog.get_logger(__name__)
_paused_until = 0.0
_making = Lock()


class TooManyRequests(Refusal):
    """This was asked too often (limit: {policy}); again in {seconds} s."""

    status = 429


@dataclass(frozen=True)
class RateLimitStatus:
    """How a caller stands with one limit, in the terms of draft-ietf-httpapi-ratelimit-headers."""

    allowed: bool
    policy: str
    quota: int
    window: int
    remaining: int
    reset: int  # seconds until the oldest request no longer counts


class RateLimitMiddleware:
    """Counts requests by address before anything is looked up, and writes the RateLimit headers."""

    def __init__(self, get_response: Callable[[HttpRequest], HttpResponse]) -> None:
        self.get_response = get_response

    def __call__(self, request: HttpRequest) -> HttpResponse:
        """Answer, or refuse."""
        if request.path.startswith(EXEMPT):
            return self.get_response(request)
        found = request.rate_limits = []  # type: ignore[attr-defined]
        try:
            check(request, "ip", address(request))
            if request.method == "POST" and request.path == settings.LOGIN_URL:
                check(request, "login", address(request))
        except (TooManyRequests, Unavailable) as refusal:
            response = problem_details.refused(request, refusal)
        else:
            response = self.get_response(request)
        if found:
            response["RateLimit-Policy"] = ", ".join(
                f'"{status.policy}";q={status.quota};w={status.window}' for status in found
            )
            response["RateLimit"] = ", ".join(
                f'"{status.policy}";r={status.remaining};t={status.reset}' for status in found
            )
        return response


class RateLimitThrottle(BaseThrottle):
    """Counts by user, and by operation where the view names a `throttle_scope`."""

    def allow_request(self, request: Request, view: Any) -> bool:
        """Return True. Raises TooManyRequests, Unavailable."""
        caller = address(request._request)
        if request.user.is_authenticated:
            caller = str(request.user.pk)
            check(request._request, "user", caller)
        scope = getattr(view, "throttle_scope", None)
        if scope and request.method not in SAFE_METHODS:
            check(request._request, scope, caller)
        return True


def check(request: HttpRequest, policy: str, caller: str) -> None:
    """Count this request. Raises TooManyRequests; Unavailable where it must not pass uncounted."""
    item = rate(getattr(limits, policy, ""))
    if not item:
        return
    status = _count(item, policy, caller)
    if status:
        request.rate_limits.append(status)  # type: ignore[attr-defined]
        if not status.allowed:
            raise TooManyRequests(policy=policy, seconds=status.reset)
    elif policy in NEVER_UNCOUNTED:
        raise Unavailable(reason="The counter of log-ins", seconds=PAUSE)


def rate(text: str) -> RateLimitItem | None:
    """Read `10/min`, ten requests a minute; an empty text is no limit. Raises ValueError."""
    if not text:
        return None
    quota, _, unit = text.partition("/")
    if unit[:1] not in SECONDS:
        raise ValueError(f"{text!r} is no rate, such as 10/min; there are {', '.join(SECONDS)}.")
    return RateLimitItemPerSecond(int(quota), SECONDS[unit[:1]])


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


def limiter(redis_url: str) -> MovingWindowRateLimiter:
    """Return the counter: in Redis, or without an address in this process's memory."""
    with _making:  # lru_cache alone would let racing threads make one each
        return _limiter(redis_url)


def forget_all() -> None:
    """Forget all counts in memory."""
    _limiter.cache_clear()


@lru_cache(maxsize=1)
def _limiter(redis_url: str) -> MovingWindowRateLimiter:
    if not redis_url:
        return MovingWindowRateLimiter(ThreadSafeMemoryStorage())
    storage = RedisStorage(
        redis_url,
        key_prefix="kabar-limits",
        socket_connect_timeout=TIMEOUT,
        socket_timeout=TIMEOUT,
    )
    return MovingWindowRateLimiter(storage)


def _count(item: RateLimitItem, policy: str, caller: str) -> RateLimitStatus | None:
    """Count a request; None while Redis is unavailable."""
    global _paused_until
    if time.monotonic() < _paused_until:
        return None
    counter = limiter(settings.CACHE_URL)
    try:
        allowed = counter.hit(item, policy, caller)
        window = counter.get_window_stats(item, policy, caller)
    except (RedisError, OSError) as error:
        log.warning("rate limits unavailable", reason=str(error))
        _paused_until = time.monotonic() + PAUSE
        return None
    return RateLimitStatus(
        allowed=allowed,
        policy=policy,
        quota=item.amount,
        window=item.get_expiry(),
        remaining=max(window.remaining, 0),
        reset=max(1, math.ceil(window.reset_time - time.time())),
    )
