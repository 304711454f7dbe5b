"""The settings of inventory."""

from infra.app_settings import AppSettings, integer, minutes, seconds


class InventorySettings(AppSettings):
    """How long goods are kept from other customers, and when they count as low."""

    RESERVATION = minutes(
        "RESERVATION_MINUTES",
        15,
        runtime="How long goods stay reserved for an order that is not paid.",
    )
    PIN = seconds(
        "PIN_SECONDS",
        120,
        runtime="How long a reservation cannot lapse while the bank is asked for the money.",
    )
    LOW = integer(
        "STOCK_LOW",
        5,
        runtime="The operator gets a message when fewer pieces are available; for new products.",
    )


conf = InventorySettings("INVENTORY")
