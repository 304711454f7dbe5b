"""How long a list is told at once."""

from rest_framework.pagination import LimitOffsetPagination


class LimitOffset(LimitOffsetPagination):
    """`limit` and `offset`: 50 things, and 200 at the most, whatever is asked for."""

    default_limit = 50
    max_limit = 200
