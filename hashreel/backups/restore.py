"""Reading a backup into an empty folder."""

from __future__ import annotations

import json
import os
import secrets
import shlex
import shutil
from collections.abc import Iterator
from contextlib import closing, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast

from hashreel.backups.archive import MANIFEST, read_header, unpack
from hashreel.backups.migrations import migrate
from hashreel.errors import ConflictError, LogCorruptError
from hashreel.settings import ENV_PREFIX, Settings
from hashreel.stack import Stack

if TYPE_CHECKING:
    import redis

    from indexer.store import Store

__all__ = ["Restored", "restore_backup"]

# The names that Redis gives its append-only files, where it takes an RDB file as the base.
AOF_FOLDER, AOF_BASE, AOF_MANIFEST = "appendonlydir", "appendonly.aof.1.base.rdb", "appendonly.aof.manifest"
BATCH = 500


@dataclass(frozen=True)
class Restored:
    """What was restored.

    Attributes:
        data: The folder.
        collections: Their names.
        videos: Videos of all generations.
        migrated: Steps from an older format.
        settings_file: The settings of the backup as variables, to be looked at before they are used.
        models: Model name to its folder, of models that did not come with this installation.
    """

    data: str
    collections: tuple[str, ...]
    videos: int
    migrated: int
    settings_file: str
    models: dict[str, str]


def restore_backup(path: Path, data: Path, redis_url: str | None = None) -> Restored:
    """Restore a backup; the folder appears only when everything is checked.

    Args:
        path: The backup file.
        data: A folder that is empty or does not exist.
        redis_url: A server that holds nothing of Hashreel, to load the data into instead of the folder.

    Raises:
        BadInputError: If the file is not a backup, torn or damaged.
        ConflictError: If the folder or the server is not empty, or the format is newer or too old.
        UnavailableError: If the server program cannot read the data, e.g. because it is older.
    """
    data = data.expanduser().absolute()
    read_header(path)
    _check_empty(data)
    aside = data.with_name(f".{data.name}.restoring-{secrets.token_hex(4)}")
    aside.mkdir(parents=True, mode=0o700)
    try:
        header = unpack(path, aside)
        steps = migrate(aside, int(header["version"]))
        (aside / MANIFEST).unlink()
        _lay_out(aside, data)
        with _served(aside) as client:
            collections, videos = _settle(client, header, data)
            if redis_url:
                _copy_to(client, redis_url)
        if redis_url:
            shutil.rmtree(aside / "redis")
        if data.exists():
            data.rmdir()
        aside.rename(data)
    finally:
        shutil.rmtree(aside, ignore_errors=True)
    return Restored(str(data), collections, videos, steps, str(data / "settings.env"), _foreign_models(header, data))


def _check_empty(data: Path) -> None:
    if data.exists() and (not data.is_dir() or any(data.iterdir())):
        raise ConflictError(f"{data} is not empty; restore into a new folder, then use that one")


def _lay_out(folder: Path, data: Path) -> None:
    """Put Redis's file where it takes it for the base of its append-only file, and write the settings."""
    files = folder / "redis" / AOF_FOLDER
    files.mkdir(parents=True)
    (folder / "redis.rdb").rename(files / AOF_BASE)
    (files / AOF_MANIFEST).write_text(f"file {AOF_BASE} seq 1 type b\n")
    settings = folder / "settings.json"
    values: dict[str, Any] = json.loads(settings.read_text())
    if values.get("thumbnail_store") is not None:
        # Kept thumbnails came with the backup, into the new folder.
        values["thumbnail_store"] = str(data / "thumbnails")
    lines = [
        f"{ENV_PREFIX}{name.upper()}={shlex.quote(value if isinstance(value, str) else json.dumps(value))}"
        for name, value in values.items()
        if value is not None
    ]
    (folder / "settings.env").write_text("\n".join([*lines, ""]))
    settings.unlink()


@contextmanager
def _served(folder: Path) -> Iterator[redis.Redis]:
    """Run the folder's Redis; what is changed is on disk afterwards."""
    from indexer.store import connect

    server = Stack(Settings(data=folder, redis_url=None), lambda line: None)
    try:
        with closing(connect(server.start_redis())) as client:
            yield client
    finally:
        server.stop()


def _settle(client: redis.Redis, header: dict[str, Any], data: Path) -> tuple[tuple[str, ...], int]:
    """Check that the data are ours and whole; let the records of uploads name their new folder."""
    from indexer.log import Log
    from indexer.store import Store

    store = Store(client)
    store.check_server()
    collections, videos = store.collections(), 0
    for name, generation in collections.items():
        tail = Log(client, generation.id).tail()
        last = cast("list[Any]", client.xrevrange(store.keys.log(generation.id), count=1))
        if last and last[0][0].decode() != tail.log_id:
            raise LogCorruptError(f"the log of collection {name!r} ends at {last[0][0].decode()}, not at {tail.log_id}")
    for generation_id in {g.id for g in collections.values()} | _all_generations(store):
        numbers = store.video_numbers(generation_id)
        videos += len(numbers)
        _move_uploads(store, numbers, f"{header['data']}/uploads/", f"{data}/uploads/")
    return tuple(collections), videos


def _all_generations(store: Store) -> set[str]:
    last = int(store.redis.get(store.keys.next_generation) or 0)
    return {str(number) for number in range(1, last + 1)}


def _move_uploads(store: Store, numbers: list[int], before: str, after: str) -> None:
    for start in range(0, len(numbers), BATCH):
        records = store.find_videos(numbers[start : start + BATCH])
        with store.redis.pipeline(transaction=False) as pipe:
            for record in records:
                if record is not None and record.path.startswith(before):
                    pipe.hset(store.keys.video(record.id), "path", after + record.path.removeprefix(before))
            pipe.execute()


def _copy_to(source: redis.Redis, url: str) -> None:
    """Copy every key of Hashreel's into another server, in Redis's own form of each value."""
    from indexer.keys import Keys
    from indexer.store import connect

    prefix = Keys().prefix
    with closing(connect(url)) as target:
        if next(target.scan_iter(f"{prefix}*", count=BATCH), None) is not None:
            raise ConflictError("the Redis that --redis-url names holds a Hashreel already; use an empty database")
        batch: list[bytes] = []
        for key in source.scan_iter(f"{prefix}*", count=BATCH):
            batch.append(key)
            if len(batch) == BATCH:
                _copy_keys(source, target, batch)
                batch = []
        _copy_keys(source, target, batch)


def _copy_keys(source: redis.Redis, target: redis.Redis, keys: list[bytes]) -> None:
    with source.pipeline(transaction=False) as reading:
        for key in keys:
            reading.dump(key)
            reading.pttl(key)
        replies = reading.execute()
    with target.pipeline(transaction=False) as writing:
        for key, value, ttl in zip(keys, replies[::2], replies[1::2], strict=True):
            if value is not None:
                writing.restore(key, max(ttl, 0), value)
        writing.execute()


def _foreign_models(header: dict[str, Any], data: Path) -> dict[str, str]:
    """Return the models of the backup that did not come with this installation."""
    from encoder.model_files import read_manifest, resolve_model, shipped_models

    shipped = {read_manifest(resolve_model(name)).fingerprint for name in shipped_models()}
    return {
        facts["name"]: os.path.join(data, facts["folder"]) if facts["folder"] else ""
        for fingerprint, facts in header["models"].items()
        if fingerprint not in shipped
    }
