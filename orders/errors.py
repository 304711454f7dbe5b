"""How orders says no."""

from eventbus import Refusal


class Closed(Refusal):
    """The shop takes no orders at the moment."""

    status = 503


class EmptyOrder(Refusal):
    """An order needs at least one line."""

    status = 400
    field = "lines"


class UnknownProduct(Refusal):
    """There is no product {sku}."""

    status = 400


class NotForSale(Refusal):
    """{sku} is not for sale any more."""

    status = 400


class TwoCurrencies(Refusal):
    """An order has one currency, but its lines are in {currencies}."""

    status = 400
    field = "lines"


class TooDear(Refusal):
    """An order may cost {most} at the most."""

    status = 400
    field = "lines"


class TooManyOpen(Refusal):
    """{most} of your orders wait to be paid, which is as many as may: pay or cancel one first."""


class AlreadyListed(Refusal):
    """{sku} is listed already."""

    field = "sku"


class AlreadyCancelled(Refusal):
    """The order is cancelled already: {reason}"""
