"""Refusals of orders. The class name is the problem type of the API."""

from eventbus import Refusal


class Closed(Refusal):
    """The shop takes no orders at the moment. Try again later."""

    status = 503


class EmptyOrder(Refusal):
    """An order needs at least one line."""

    status = 400
    field = "lines"


class UnknownProduct(Refusal):
    """There is no product {sku}."""

    status = 400


class NotForSale(Refusal):
    """{sku} is no longer for sale."""

    status = 400


class TwoCurrencies(Refusal):
    """The lines are in {currencies}, but an order has one currency. Place an order for each."""

    status = 400
    field = "lines"


class TooDear(Refusal):
    """The total of an order is limited to {limit}. Order fewer pieces."""

    status = 400
    field = "lines"


class TooManyOpen(Refusal):
    """You have {limit} unpaid orders, which is the limit. Pay or cancel one first."""


class AlreadyListed(Refusal):
    """A product {sku} is listed already."""

    field = "sku"


class AlreadyCancelled(Refusal):
    """The order is cancelled already: {reason}"""
