"""The broker's address follows from the data's: the same server and secrets, another database."""

from __future__ import annotations

from typing import Any

import pytest
from kombu import Connection

from hashreel.errors import BadInputError, UnavailableError
from hashreel.settings import Settings
from indexer.store import connect
from workers.app import broker_of, make_app


def broker(redis_url: str | None, broker_url: str | None = None) -> str:
    return broker_of(Settings(redis_url=redis_url, broker_url=broker_url))


@pytest.mark.parametrize(
    ("redis_url", "expected"),
    [
        ("redis://host", "redis://host/1"),
        ("redis://host/", "redis://host/1"),
        ("redis://host:6379", "redis://host:6379/1"),
        ("redis://host:6379/", "redis://host:6379/1"),
        ("redis://host/0", "redis://host/1"),
        ("redis://host:6379/7", "redis://host:6379/8"),
        ("redis://host/15", "redis://host/14"),
        ("redis://10", "redis://10/1"),
        ("redis://[::1]:6379/2", "redis://[::1]:6379/3"),
        ("redis://user:p%2Fw@host/2", "redis://user:p%2Fw@host/3"),
        ("redis://host:6379?db=3", "redis://host:6379/4"),
        ("redis://host/1?db=3&socket_timeout=5&protocol=3", "redis://host/4"),
        ("rediss://:pw@host:6379/2", "rediss://:pw@host:6379/3?ssl_cert_reqs=required"),
        ("rediss://:pw@host:6379/2?ssl_cert_reqs=none", "rediss://:pw@host:6379/3?ssl_cert_reqs=none"),
        (
            "rediss://host/0?ssl_ca_certs=%2Fca.pem&health_check_interval=5",
            "rediss://host/1?ssl_ca_certs=%2Fca.pem&ssl_cert_reqs=required",
        ),
        ("unix:///run/r.sock", "redis+socket:///run/r.sock?virtual_host=1"),
        ("unix:///run/r.sock?db=3", "redis+socket:///run/r.sock?virtual_host=4"),
        ("unix:///run/a%20b.sock?db=0", "redis+socket:///run/a%20b.sock?virtual_host=1"),
        ("unix:///run/r.sock?password=p%40w&db=1", "redis+socket://:p%40w@/run/r.sock?virtual_host=2"),
        ("unix://user:pw@/run/r.sock?db=1", "redis+socket://user:pw@/run/r.sock?virtual_host=2"),
    ],
)
def test_broker_is_another_database_of_the_same_server(redis_url: str, expected: str) -> None:
    assert broker(redis_url) == expected
    assert _where_celery_connects(expected) == _where_redis_connects(redis_url)


def _where_redis_connects(url: str) -> dict[str, Any]:
    wanted = {"host", "port", "path", "password", "username"}
    found = connect(url).connection_pool.connection_kwargs
    defaults = {} if "path" in found else {"host": "localhost", "port": 6379}
    return defaults | {name: found[name] for name in wanted & found.keys() if found[name]}


def _where_celery_connects(url: str) -> dict[str, Any]:
    """Return what the broker's transport would connect to; nothing is sent."""
    with Connection(url) as connection:
        channel = object.__new__(connection.transport.Channel)
        channel.connection = type("Transport", (), {"client": connection, "default_port": 6379})
        found = channel._connparams()
        channel.connection = None
    assert found["db"] == int(broker_database(url))
    return {name: found[name] for name in ("host", "port", "path", "password", "username") if found.get(name)}


def broker_database(url: str) -> str:
    return url.partition("?")[0].rpartition("/")[2] if url.startswith("redis") and "socket" not in url else url[-1]


@pytest.mark.parametrize(
    "url",
    [
        "sentinel://h1:26379;sentinel://h2:26379/0",
        "redis://other:6379/0",
        "redis+socket:///run/q.sock?virtual_host=2",
        "rediss://other/0?ssl_cert_reqs=CERT_NONE",
    ],
)
def test_broker_that_is_named_is_taken_as_it_is(url: str) -> None:
    assert broker("redis://host/0", url) == url


def test_named_unix_broker_is_written_as_celery_writes_it() -> None:
    assert broker(None, "unix:///run/q.sock?db=2") == "redis+socket:///run/q.sock?virtual_host=2"


def test_addresses_that_make_no_broker_are_refused() -> None:
    with pytest.raises(UnavailableError, match="HASHREEL_REDIS_URL"):
        broker(None)
    with pytest.raises(BadInputError, match="HASHREEL_BROKER_URL"):
        broker("sentinel://h1:26379/0")
    with pytest.raises(BadInputError, match="'zero'"):
        broker("redis://host/zero")


def test_app_loses_no_message_of_a_dead_worker_and_returns_none_too_early() -> None:
    conf = make_app(Settings(redis_url="redis://host/0", unit_timeout_s=100)).conf
    assert conf.task_acks_late
    assert conf.task_reject_on_worker_lost
    assert conf.worker_prefetch_multiplier == 1
    assert conf.broker_transport_options["visibility_timeout"] == 200
    assert conf.accept_content == ["json"]
