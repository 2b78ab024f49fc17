"""Consumers and producers of the queues, when Redis goes away in the middle of what they do."""

from __future__ import annotations

from pathlib import Path

import pytest
from leaky_proxy import LeakyProxy
from redis_server import RedisServer

from hashreel.settings import Settings
from workers.app import make_app


@pytest.mark.parametrize("how", ["ack", "reject"])
def test_lost_acknowledgements_take_no_place_of_the_consumer(private_redis, tmp_path: Path, how: str) -> None:
    server: RedisServer = private_redis()
    with LeakyProxy(str(server.socket)) as proxy:
        app = make_app(Settings(redis_url=proxy.url(0), broker_url=proxy.url(1), data=tmp_path))
        with app.connection_for_read() as connection:
            channel = connection.default_channel
            channel.basic_qos(0, 2, False)
            queue = connection.SimpleQueue("q", channel=channel)
            for number in range(2):
                queue.put({"number": number})
            messages = [queue.get(timeout=10) for _ in range(2)]
            assert not channel.qos.can_consume()
            proxy.go_down()
            for message in messages:
                getattr(message, how)()
            assert channel.qos.can_consume()
            # The messages themselves come back some day, and find that their work is done.
            assert server.client(1).hlen("unacked") == 2
            proxy.come_back()
        app.close()


def test_producer_whose_channel_was_closed_makes_another(private_redis, tmp_path: Path) -> None:
    server: RedisServer = private_redis()
    app = make_app(Settings(redis_url=server.url(0), broker_url=server.url(1), data=tmp_path))
    with app.connection_for_write() as connection, app.amqp.Producer(connection) as producer:
        producer.channel.close()
        producer.publish({"number": 1}, routing_key="q", retry=True)
        assert server.client(1).llen("q") == 1
    app.close()
