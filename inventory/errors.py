"""Refusals of inventory. The class name is the problem type of the API."""

from eventbus import Refusal


class UnknownSku(Refusal):
    """No stock is kept of {sku}. List the product first; its stock item follows in a moment."""

    status = 404


class TooMany(Refusal):
    """The stock of a product is limited to {limit} pieces."""

    status = 400
    field = "quantity"
