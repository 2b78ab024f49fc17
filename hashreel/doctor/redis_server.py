"""Checks of the Redis that holds the data, and of the one that holds the queues."""

from __future__ import annotations

import re
import time
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any, cast

from hashreel.doctor.findings import Finding, error, ok, skipped, warning
from hashreel.errors import HashreelError
from hashreel.settings import Settings

if TYPE_CHECKING:
    import redis

__all__ = ["check_redis"]

OLDEST = (7, 0)  # SET with NX and GET together
SKEW_WARNING_S = 1.0
FULL_WARNING, FULL_ERROR = 0.8, 0.95
HEALTHY = "check its address and that it runs: redis-cli -u URL ping"


def check_redis(settings: Settings) -> Iterator[Finding]:
    """Yield findings about both servers; nothing but ``redis`` if the first cannot be reached."""
    import redis

    if settings.redis_url is None:
        yield _embedded()
        return
    from indexer.store import connect

    client = connect(settings.redis_url, timeout_s=5.0)
    try:
        client.ping()
        yield from _server(client, settings)
    except (redis.RedisError, ValueError) as exc:
        yield error("redis", f"the data's Redis does not answer: {exc}", HEALTHY)
        return
    finally:
        client.close()
    yield _broker(settings)


def _embedded() -> Finding:
    from hashreel.stack import redis_program

    try:
        return ok("redis", f"an embedded server is started by `hashreel up` ({redis_program()})")
    except HashreelError as exc:
        return error("redis", str(exc), "pip install 'hashreel[cpu]', or name a server with HASHREEL_REDIS_URL")


def _server(client: redis.Redis, settings: Settings) -> Iterator[Finding]:
    info = _info(client)
    yield _version(info)
    yield _role(info)
    yield _eviction(client)
    yield from _persistence(client, info)
    yield _memory(info)
    yield _clock(client, settings)


def _info(client: redis.Redis) -> dict[str, Any]:
    """Return what the server tells; nothing where INFO is forbidden."""
    import redis

    try:
        return client.info()
    except redis.ResponseError:
        return {}


def _config(client: redis.Redis, name: str) -> str | None:
    """Return a setting of the server; None where CONFIG is forbidden, as managed servers do."""
    import redis

    try:
        found = cast("dict[Any, Any]", client.config_get(name))
    except redis.ResponseError:
        return None
    value = next(iter(found.values()), None)
    return value.decode() if isinstance(value, bytes) else value


def _version(info: dict[str, Any]) -> Finding:
    text = str(info.get("redis_version", ""))
    name = f"Valkey {info['valkey_version']}" if "valkey_version" in info else f"Redis {text}"
    numbers = tuple(int(part) for part in re.findall(r"\d+", text)[:2])
    if not numbers:
        return skipped("redis-version", "the server does not tell its version")
    if numbers < OLDEST:
        return error("redis-version", f"{name} is too old", "use Redis 7.0 or newer, or Valkey")
    return ok("redis-version", name)


def _role(info: dict[str, Any]) -> Finding:
    if info.get("role") == "slave":
        return error(
            "redis-role", "this server is a replica and takes no writes", "name the primary in HASHREEL_REDIS_URL"
        )
    return ok("redis-role", "primary") if "role" in info else skipped("redis-role", "the server does not tell")


def _eviction(client: redis.Redis) -> Finding:
    policy = _config(client, "maxmemory-policy")
    if policy is None:
        return skipped("redis-eviction", "the server does not show its settings; make sure that it evicts nothing")
    if policy != "noeviction":
        return error(
            "redis-eviction",
            f"maxmemory-policy is {policy}: Redis may drop stored codes",
            "redis-cli config set maxmemory-policy noeviction, and the same in redis.conf",
        )
    return ok("redis-eviction", "noeviction")


def _persistence(client: redis.Redis, info: dict[str, Any]) -> Iterator[Finding]:
    if "aof_enabled" not in info:
        yield skipped("redis-persistence", "the server does not tell whether it keeps its data")
        return
    if not info["aof_enabled"]:
        yield warning(
            "redis-persistence",
            "no append-only file: what was committed since the last RDB file is lost in a crash",
            "redis-cli config set appendonly yes, and the same in redis.conf",
        )
    elif info.get("aof_last_write_status", "ok") != "ok":
        yield error("redis-persistence", "the append-only file cannot be written", "look for a full disk at the server")
    elif _config(client, "appendfsync") == "no":
        yield warning(
            "redis-persistence",
            "appendfsync is no: a power failure loses up to half a minute",
            "redis-cli config set appendfsync everysec, and the same in redis.conf",
        )
    else:
        yield ok("redis-persistence", "append-only file, last write ok")
    for name in ("aof_last_bgrewrite_status", "rdb_last_bgsave_status"):
        if info.get(name, "ok") != "ok":
            advice = "see the server's log; often a full disk, or vm.overcommit_memory=0 on a machine short of memory"
            yield warning("redis-saves", f"{name} is {info[name]}", advice)


def _memory(info: dict[str, Any]) -> Finding:
    used, limit = int(info.get("used_memory", 0)), int(info.get("maxmemory", 0))
    if not limit:
        return ok("redis-memory", f"{used / 2**20:.0f} MiB used, no limit")
    said = f"{used / 2**20:.0f} of {limit / 2**20:.0f} MiB used"
    advice = "raise maxmemory, or delete videos and wait for the grace period; workers pause when it is full"
    if used > FULL_ERROR * limit:
        return error("redis-memory", said, advice)
    return warning("redis-memory", said, advice) if used > FULL_WARNING * limit else ok("redis-memory", said)


def _clock(client: redis.Redis, settings: Settings) -> Finding:
    before = time.time()
    seconds, micros = client.time()
    skew = seconds + micros / 1e6 - (before + time.time()) / 2
    said = f"Redis's clock is {abs(skew):.2f} s {'ahead of' if skew > 0 else 'behind'} this machine's"
    advice = "run a time service (chrony, systemd-timesyncd) on both"
    if abs(skew) > settings.worker_lease_s:
        return error("clock", f"{said}, more than a worker's lease of {settings.worker_lease_s:g} s", advice)
    return warning("clock", said, advice) if abs(skew) > SKEW_WARNING_S else ok("clock", said)


def _broker(settings: Settings) -> Finding:
    from workers.app import make_app

    try:
        with make_app(settings).connection_for_read() as connection:
            connection.ensure_connection(max_retries=1, timeout=5)
            connection.default_channel.client.ping()
    except Exception as exc:  # noqa: BLE001 (kombu raises whatever its transport does)
        return error("queues", f"the Redis of the queues does not answer: {exc}", "correct HASHREEL_BROKER_URL")
    return ok("queues", "the Redis of the queues answers")
