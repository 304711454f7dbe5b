"""What analytics listens to. It counts, and says nothing."""

import datetime as dt
from decimal import Decimal
from uuid import UUID

from analytics import services
from analytics.services import Sold
from eventbus import Envelope, consumer


@consumer("orders.OrderPlaced", key="order_id", replayable=True)
def count_order(
    order_id: UUID, country: str, total: Decimal, currency: str, placed_at: dt.datetime
) -> None:
    """An order enters the funnel."""
    services.note_order(order_id, country, total, currency, placed_at)


@consumer("inventory.StockReserved", key="order_id", replayable=True)
def count_reservation(order_id: UUID, envelope: Envelope) -> None:
    """Its goods are there; the news does not say when, so its own time has to do."""
    services.note_reservation(order_id, envelope.recorded_at)


@consumer("orders.OrderPaid", key="order_id", replayable=True)
def count_sale(
    order_id: UUID,
    lines: list[Sold],
    currency: str,
    country: str,
    placed_at: dt.datetime,
    paid_at: dt.datetime,
) -> None:
    """A sale is an order that was paid."""
    services.note_sale(order_id, lines, currency, country, placed_at, paid_at)


@consumer("orders.OrderCancelled", key="order_id", replayable=True)
def count_cancellation(order_id: UUID, code: str, cancelled_at: dt.datetime) -> None:
    """An order leaves the funnel, and we know why."""
    services.note_cancellation(order_id, code, cancelled_at)


@consumer("payments.PaymentRefunded", key="payment_id", replayable=True)
def count_refund(
    payment_id: UUID, order_id: UUID, amount: Decimal, currency: str, refunded_at: dt.datetime
) -> None:
    """Money went back; the sale it belongs to stays a sale."""
    services.note_refund(payment_id, order_id, amount, currency, refunded_at)


@consumer("accounts.CustomerSignedUp", key="customer_id", replayable=True)
def count_sign_up(customer_id: UUID, country: str, signed_up_at: dt.datetime) -> None:
    """Somebody joined."""
    services.note_sign_up(customer_id, country, signed_up_at)
