"""Fixtures over a real Redis: one server a session, emptied for each test, and private ones for crashes."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
import redis
from farm import Codes, Farm
from faults import CHUNK_S, CHUNKS, make_load
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


@pytest.fixture(scope="session")
def fault_load(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return the folder of a load of thirty chunks and two files that are no videos."""
    return make_load(tmp_path_factory.mktemp("faults"))


@pytest.fixture(scope="session")
def undisturbed_load(fault_load: Path, session_redis: RedisServer, model: Model) -> Codes:
    """Return the codes of that load after a run in which nothing happens."""
    session_redis.client().flushall()
    farm = Farm(session_redis, fault_load.parent, model, chunk_s=CHUNK_S)
    farm.enqueue("clips")
    farm.run_all()
    codes = farm.codes()
    farm.close()
    assert len(codes) == CHUNKS
    return codes
