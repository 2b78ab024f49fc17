"""Fixtures over a real Redis: one server a session, emptied for each test, and private ones for crashes."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
import redis
from farm import Farm
from redis_server import RedisServer

from encoder.model import Model, load_model
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


@pytest.fixture(scope="session")
def model() -> Model:
    """Return the model that comes with the project."""
    return load_model("default", device="cpu", threads=1)


@pytest.fixture
def farm(redis_server: RedisServer, tmp_path: Path, model: Model) -> Iterator[Farm]:
    """Return records, queue and a runner over the session's server; ``clips`` in its folder is a source root."""
    (tmp_path / "clips").mkdir()
    made = Farm(redis_server, tmp_path, model)
    yield made
    made.close()
