"""Celery carries the messages: over RabbitMQ with confirms, or over Redis."""

from collections.abc import Sequence

from celery import current_app
from kombu.exceptions import OperationalError

from eventbus.errors import BrokerAway
from eventbus.tasks import deliver, hear_tick
from eventbus.transports import Parcel


class Celery:
    """One task, one queue per context. A message is confirmed once the broker has it."""

    in_process = False

    def send(self, parcels: Sequence[Parcel]) -> list[int]:
        """Send over one connection, in order, until one is refused."""
        sent: list[int] = []
        try:
            with current_app.producer_or_acquire() as producer:
                for parcel in parcels:
                    deliver.apply_async(
                        (parcel.flight, parcel.consumer, list(parcel.events), parcel.suspect),
                        queue=parcel.queue,
                        shadow=parcel.consumer,
                        producer=producer,
                        retry=False,
                        mandatory=True,  # type: ignore[call-arg]  # goes on to the producer
                    )
                    sent.append(parcel.flight)
        except (OperationalError, OSError) as reason:
            if not sent:
                raise BrokerAway(reason=reason) from reason
        return sent

    def tick(self, queue: str, sent_at: str) -> None:
        """Send a tick the way the messages go."""
        try:
            hear_tick.apply_async((queue, sent_at), queue=queue, retry=False)
        except (OperationalError, OSError) as reason:
            raise BrokerAway(reason=reason) from reason

    def close(self) -> None:
        """Give the connections back."""
        current_app.pool.force_close_all()  # type: ignore[attr-defined]
