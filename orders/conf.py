"""The settings of orders."""

from infra.app_settings import AppSettings, boolean, integer


class OrdersSettings(AppSettings):
    """When new orders are refused."""

    OPEN = boolean("ORDERS_OPEN", True, runtime="Whether new orders are taken.")
    MOST_OPEN = integer(
        "MOST_OPEN_ORDERS", 10, runtime="How many unpaid orders a customer may have at a time."
    )


conf = OrdersSettings("ORDERS")
