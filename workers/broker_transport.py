"""Celery's transport over Redis, whose consumers outlive an acknowledgement that could not be sent."""

from __future__ import annotations

import logging
from typing import Any

import redis
from kombu.transport import TRANSPORT_ALIASES
from kombu.transport import redis as kombu_redis
from kombu.transport.virtual import QoS

__all__ = ["Transport", "use_patient_transport"]

logger = logging.getLogger(__name__)

_LOST = (redis.ConnectionError, redis.TimeoutError)


class _PatientQoS(kombu_redis.QoS):  # type: ignore[misc]
    """Counts a message as done whose acknowledgement was lost.

    kombu leaves it counted as being worked on, so that each one that is lost takes a place of the consumer's, until it
    asks for nothing more and nobody hears of it. The message itself comes back after the visibility timeout and finds
    that its unit is done.
    """

    def ack(self, delivery_tag: str) -> None:
        try:
            super().ack(delivery_tag)
        except _LOST as exc:
            self._forget(delivery_tag, exc)

    def reject(self, delivery_tag: str, requeue: bool = False) -> None:
        try:
            super().reject(delivery_tag, requeue=requeue)
        except _LOST as exc:
            self._forget(delivery_tag, exc)

    def _forget(self, delivery_tag: str, exc: Exception) -> None:
        logger.warning("a message could not be acknowledged: %s", exc, extra={"action": "acknowledge_failed"})
        # The base of all transports' own, which only counts.
        QoS.ack(self, delivery_tag)


class _Channel(kombu_redis.Channel):  # type: ignore[misc]
    QoS: Any = _PatientQoS

    def _connparams(self, *arguments: Any, **options: Any) -> Any:
        if self.connection is None:
            # It was closed under its producer, after a connection was lost: kombu makes another for such an error.
            raise redis.ConnectionError("the channel was closed")
        return super()._connparams(*arguments, **options)


class Transport(kombu_redis.Transport):  # type: ignore[misc]
    """kombu's transport, with the patient count, and channels that say when they were closed."""

    Channel: Any = _Channel


def use_patient_transport() -> None:
    """Have kombu take this transport for Redis from now on.

    Celery's setting ``broker_transport`` would not do: for unix sockets the name in the URL wins.
    """
    TRANSPORT_ALIASES.update(dict.fromkeys(("redis", "rediss"), f"{__name__}:Transport"))
