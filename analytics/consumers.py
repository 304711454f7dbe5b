"""What analytics listens to, a message at a time. It counts, and says nothing."""

from analytics import services
from analytics.services import Cancelled, Joined, Paid, Placed, Refunded, Reserved
from eventbus import consumer


@consumer("orders.OrderPlaced", key="order_id", replayable=True, batch=True)
def count_order(news: list[Placed]) -> None:
    """An order enters the funnel."""
    services.note_orders(news)


@consumer("inventory.StockReserved", key="order_id", replayable=True, batch=True)
def count_reservation(news: list[Reserved]) -> None:
    """Its goods are there; the news does not say when, so its own time has to do."""
    services.note_reservations(news)


@consumer("orders.OrderPaid", key="order_id", replayable=True, batch=True)
def count_sale(news: list[Paid]) -> None:
    """A sale is an order that was paid."""
    services.note_sales(news)


@consumer("orders.OrderCancelled", key="order_id", replayable=True, batch=True)
def count_cancellation(news: list[Cancelled]) -> None:
    """An order leaves the funnel, and we know why."""
    services.note_cancellations(news)


@consumer("payments.PaymentRefunded", key="payment_id", replayable=True, batch=True)
def count_refund(news: list[Refunded]) -> None:
    """Money went back; the sale it belongs to stays a sale."""
    services.note_refunds(news)


@consumer("accounts.CustomerSignedUp", key="customer_id", replayable=True, batch=True)
def count_sign_up(news: list[Joined]) -> None:
    """Somebody joined."""
    services.note_sign_ups(news)
