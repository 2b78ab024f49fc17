"""Writing a backup."""

from __future__ import annotations

import time
from collections.abc import Sequence
from contextlib import ExitStack, closing
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from hashreel import __version__
from hashreel.backups.archive import ArchiveWriter, new_archive
from hashreel.backups.replica import rdb_stream
from hashreel.errors import HashreelError, NotFoundError
from hashreel.settings import Settings
from hashreel.stack import Stack, running_redis

if TYPE_CHECKING:
    from indexer.records import Generation
    from indexer.store import Store

__all__ = ["Backup", "write_backup"]

UPLOADS = "uploads"
THUMBNAILS = "thumbnails"
# What the restored installation decides anew; addresses may hold passwords.
NOT_KEPT = {"data", "redis_url", "broker_url", "instance", "local_key", "host", "port"}


@dataclass(frozen=True)
class Backup:
    """What was written.

    Attributes:
        file: Where.
        bytes: Its size.
        generations: How many galleries it holds.
        uploads: How many uploaded files.
        models: How many models.
        missing_models: Models whose files were not found: name and fingerprint.
    """

    file: str
    bytes: int
    generations: int
    uploads: int
    models: int
    missing_models: tuple[str, ...]


def write_backup(settings: Settings, path: Path, models: Sequence[str] = ()) -> Backup:
    """Write a backup of a running or stopped installation; nothing stops meanwhile.

    Args:
        settings: ``redis_url`` or ``data`` say which one.
        path: The new file.
        models: Folders of models beside the one that the settings name.

    Raises:
        NotFoundError: If there is nothing to back up.
        ConflictError: If the file exists.
        UnavailableError: If Redis does not answer or does not hand out its data.
    """
    from indexer.store import Store, connect

    with ExitStack() as stack:
        url = settings.redis_url or _joined(settings) or _started(settings, stack)
        client = stack.enter_context(closing(connect(url)))
        store = Store(client)
        store.check_server()
        generations = _generations(store)
        folders = _model_folders(generations, [*models, *([settings.model] if settings.model else [])])
        header = _header(settings, generations, folders)
        archive = stack.enter_context(new_archive(path, header))
        with rdb_stream(client) as rdb:
            archive.add("redis.rdb", rdb, rdb.size)
        # After Redis: whatever the records name was there when they were taken.
        uploads = _add_folder(archive, UPLOADS, settings.data.expanduser() / UPLOADS)
        if settings.thumbnail_store is not None:
            _add_folder(archive, THUMBNAILS, settings.thumbnail_store.expanduser())
        for fingerprint, folder in folders.items():
            _add_folder(archive, f"models/{fingerprint[:12]}", folder)
        kept = settings.model_dump(mode="json", exclude_unset=True, exclude=NOT_KEPT)
        archive.add_json("settings.json", kept)
    missing = sorted({f"{g.model} ({g.fingerprint[:12]})" for g in generations if g.fingerprint not in folders})
    return Backup(str(path), path.stat().st_size, len(generations), uploads, len(folders), tuple(missing))


def _joined(settings: Settings) -> str | None:
    return running_redis(settings.data).get("redis_url")


def _started(settings: Settings, stack: ExitStack) -> str:
    """Start the Redis of a folder over which nothing runs, until the stack of contexts is left."""
    if not (settings.data / "format.json").exists():
        raise NotFoundError(
            f"{settings.data} holds no Hashreel; name its folder with --data, or its server with --redis-url"
        )
    server = Stack(settings, lambda line: None)
    stack.callback(server.stop)
    return server.start_redis()


def _generations(store: Store) -> list[Generation]:
    raw = store.redis.get(store.keys.next_generation)
    found = []
    for number in range(1, int(raw or 0) + 1):
        try:
            found.append(store.generation(str(number)))
        except NotFoundError:
            continue  # dropped
    return found


def _model_folders(generations: Sequence[Generation], named: Sequence[str]) -> dict[str, Path]:
    """Return the folder of each generation's model, by fingerprint, as far as it is found."""
    from encoder.model_files import read_manifest, resolve_model, shipped_models

    wanted = {generation.fingerprint for generation in generations}
    found: dict[str, Path] = {}
    for name in [*named, *shipped_models(), *sorted({generation.model for generation in generations})]:
        try:
            folder = resolve_model(name)
            fingerprint = read_manifest(folder).fingerprint
        except HashreelError:
            if name in named:
                raise
            continue
        if fingerprint in wanted:
            found.setdefault(fingerprint, folder)
    return found


def _header(settings: Settings, generations: Sequence[Generation], folders: dict[str, Path]) -> dict[str, Any]:
    return {
        "hashreel": __version__,
        "created_at": round(time.time(), 3),
        "data": str(settings.data.expanduser().absolute()),
        "models": {
            generation.fingerprint: {
                "name": generation.model,
                "folder": f"models/{generation.fingerprint[:12]}" if generation.fingerprint in folders else None,
            }
            for generation in generations
        },
    }


def _add_folder(archive: ArchiveWriter, name: str, folder: Path) -> int:
    """Add the files of a folder, those of unfinished uploads left out; return how many."""
    added = 0
    for path in sorted(folder.rglob("*")):
        if path.is_file() and not path.is_symlink() and not path.name.startswith("."):
            added += archive.add_file(f"{name}/{path.relative_to(folder).as_posix()}", path)
    return added
