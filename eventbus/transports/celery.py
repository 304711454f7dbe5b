"""Celery carries the messages: over RabbitMQ with confirms, or over Redis."""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from typing import Any

from amqp.exceptions import AMQPError
from celery import current_app
from kombu.exceptions import OperationalError
from redis.exceptions import RedisError

from eventbus.errors import BrokerAway
from eventbus.tasks import deliver, hear_tick
from eventbus.transports import Parcel
from eventbus.transports.confirms import Confirms
from eventbus.transports.pipeline import Pipeline

_TROUBLE = (OperationalError, AMQPError, RedisError, OSError)


class Celery:
    """One task, one queue per context, one connection. Sent is what the broker has confirmed."""

    in_process = False

    def __init__(self) -> None:
        self._connection: Any = None
        self._producer: Any = None
        self._batch: Any = None  # what of the connection's has been sent and not confirmed

    def send(self, parcels: Sequence[Parcel]) -> list[int]:
        """Send all, then wait until the broker has them. Raises BrokerAway where it has none."""
        with self._sending() as producer:
            for parcel in parcels:
                self._publish(parcel, producer)
        return [parcel.flight for parcel in parcels]

    def tick(self, queue: str, sent_at: str) -> None:
        """Send a tick the way the messages go."""
        with self._sending() as producer:
            hear_tick.apply_async((queue, sent_at), queue=queue, retry=False, producer=producer)

    def close(self) -> None:
        """Give the connection back."""
        self._hang_up()

    @contextmanager
    def _sending(self) -> Iterator[Any]:
        try:
            yield self._connected()
            self._batch.wait()
        except _TROUBLE as reason:
            self._hang_up()
            raise BrokerAway(reason=reason) from reason

    def _publish(self, parcel: Parcel, producer: Any) -> None:
        deliver.apply_async(
            (parcel.flight, parcel.consumer, parcel.wire, parcel.suspect),
            queue=parcel.queue,
            shadow=parcel.consumer,
            producer=producer,
            retry=False,
            **_options(parcel),
        )

    def _connected(self) -> Any:
        if self._producer is None:
            options = current_app.conf.broker_transport_options | {"confirm_publish": False}
            connection = current_app.connection_for_write(transport_options=options)
            connection.connect()  # once; `default_channel` would try for ever
            channel = connection.channel()
            over_rabbitmq = connection.transport.driver_type == "amqp"
            self._batch = Confirms(channel) if over_rabbitmq else Pipeline(channel)
            self._connection, self._producer = connection, current_app.amqp.Producer(channel)
        return self._producer

    def _hang_up(self) -> None:
        connection, self._connection, self._producer = self._connection, None, None
        if connection is not None:
            with suppress(Exception):  # it may be broken: that is why we hang up
                connection.release()


def _options(parcel: Parcel) -> dict[str, Any]:
    """Make an unroutable message an error, and keep Celery from printing 50 events for its log."""
    told = f"({parcel.count} events in flight {parcel.flight})"
    return {"mandatory": True, "argsrepr": told}
