"""How inventory says no."""

from eventbus import Refusal


class UnknownSku(Refusal):
    """No shelf is kept for {sku}. List the product first; its shelf follows in a moment."""

    status = 404


class TooMany(Refusal):
    """A shelf holds {most} pieces at the most."""

    status = 400
    field = "quantity"
