"""A payment is saved together with its event."""

from eventbus import Event, publish
from payments.models import Payment


def save_and_publish(payment: Payment, event: Event | None) -> None:
    """Save the payment and publish its event; without an event nothing has changed."""
    if event:
        payment.version += 1
        payment.save()
        publish(event, version=payment.version)
