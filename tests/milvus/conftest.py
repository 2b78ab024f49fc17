"""A Redis and a Milvus Lite of one's own; without pymilvus all of this is skipped."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator

import pytest
from redis_server import RedisServer

from indexer.milvus.collection import Connection
from indexer.milvus.gallery import MilvusGallery, MilvusOptions
from indexer.store import Store

MakeGallery = Callable[..., MilvusGallery]


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    if os.environ.get("HASHREEL_TEST_MILVUS"):
        return
    skip = pytest.mark.skip(reason="Milvus has an environment of its own: scripts/test_milvus")
    for item in items:
        if "/tests/milvus/" in str(item.path):
            item.add_marker(skip)


@pytest.fixture
def server() -> Iterator[RedisServer]:
    with RedisServer() as made:
        yield made


@pytest.fixture
def store(server: RedisServer) -> Store:
    return Store(server.client())


@pytest.fixture
def options(tmp_path_factory: pytest.TempPathFactory) -> MilvusOptions:
    """Return names of this test's own in the session's Milvus, and a lease that outlives a slow machine's pauses."""
    return MilvusOptions(
        os.environ["HASHREEL_TEST_MILVUS"], prefix=tmp_path_factory.mktemp("p").name.replace("-", "_"), lease_s=90.0
    )


@pytest.fixture
def connection(options: MilvusOptions) -> Iterator[Connection]:
    made = Connection(options.uri)
    yield made
    for name in made.collections(options.prefix):
        made.drop(name)
    made.close()


@pytest.fixture
def open_gallery(connection: Connection, options: MilvusOptions) -> Iterator[MakeGallery]:
    galleries: list[MilvusGallery] = []

    def make(store: Store) -> MilvusGallery:
        galleries.append(MilvusGallery(store, store.collection("main"), options))
        galleries[-1].start()
        return galleries[-1]

    yield make
    for gallery in galleries:
        gallery.close()
