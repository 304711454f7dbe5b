"""Batch consumers of analytics. Each fills its own columns, so the order of events is free."""

from analytics import services
from analytics.services import Cancelled, Paid, Placed, Refunded, Reserved, SignedUp
from eventbus import consumer


@consumer("orders.OrderPlaced", key="order_id", replayable=True, batch=True)
def count_order(batch: list[Placed]) -> None:
    """Counts placed orders: from here on they are in the funnel."""
    services.record_orders(batch)


@consumer("inventory.StockReserved", key="order_id", replayable=True, batch=True)
def count_reservation(batch: list[Reserved]) -> None:
    """Counts reserved orders; the event has no time of its own, so its `recorded_at` is used."""
    services.record_reservations(batch)


@consumer("orders.OrderPaid", key="order_id", replayable=True, batch=True)
def count_sale(batch: list[Paid]) -> None:
    """Counts paid orders and their lines as sales."""
    services.record_sales(batch)


@consumer("orders.OrderCancelled", key="order_id", replayable=True, batch=True)
def count_cancellation(batch: list[Cancelled]) -> None:
    """Counts cancelled orders with the code of the cancellation."""
    services.record_cancellations(batch)


@consumer("payments.PaymentRefunded", key="payment_id", replayable=True, batch=True)
def count_refund(batch: list[Refunded]) -> None:
    """Counts refunds; the refunded order stays a sale."""
    services.record_refunds(batch)


@consumer("accounts.CustomerSignedUp", key="customer_id", replayable=True, batch=True)
def count_sign_up(batch: list[SignedUp]) -> None:
    """Counts new customers."""
    services.record_sign_ups(batch)
