"""Fixtures over a real Redis: one server a session, emptied for each test, and private ones for crashes."""

from __future__ import annotations

from collections.abc import Callable, Iterator

import pytest
import redis
from redis_server import RedisServer

from indexer.store import Store


@pytest.fixture(scope="session")
def session_redis() -> Iterator[RedisServer]:
    with RedisServer() as server:
        yield server


@pytest.fixture
def redis_server(session_redis: RedisServer) -> RedisServer:
    """Return the session's server, empty."""
    session_redis.client().flushall()
    return session_redis


@pytest.fixture
def redis_client(redis_server: RedisServer) -> redis.Redis:
    return redis_server.client()


@pytest.fixture
def store(redis_client: redis.Redis) -> Store:
    return Store(redis_client)


@pytest.fixture
def private_redis() -> Iterator[Callable[..., RedisServer]]:
    """Return a maker of servers that a test may kill, restart and roll back."""
    servers: list[RedisServer] = []

    def make(**options: int) -> RedisServer:
        servers.append(RedisServer(**options))
        return servers[-1]

    yield make
    for server in servers:
        server.close()
