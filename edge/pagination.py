"""Pagination of lists."""

from rest_framework.pagination import LimitOffsetPagination


class LimitOffset(LimitOffsetPagination):
    """Query parameters `limit` (50 by default, at most 200) and `offset`."""

    default_limit = 50
    max_limit = 200
