"""Albums: folders and archives of key-frames that stand for a video, one a second in natural order of their names."""

from __future__ import annotations

import hashlib
import os
import stat
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, suppress
from dataclasses import dataclass, field
from pathlib import Path

from encoder.archives import opened_archive
from encoder.damage import DecodeWarning
from encoder.pictures import PICTURE_SUFFIXES, load_picture, natural_key
from encoder.scaling import Image, scale_short_side
from encoder.video import KeyFrame
from hashreel.errors import BadInputError, DecodeError, HashreelError, NotFoundError

__all__ = ["PICTURE_SUFFIXES", "STEP_MS", "Album", "iter_folder_frames", "load_folder_frame", "read_album"]

STEP_MS = 1000


@dataclass(frozen=True)
class Album:
    """The pictures of a folder or an archive.

    Attributes:
        names: Their names (paths inside an archive) in natural order; the n-th has the time n seconds.
        sha256: Of the archive's file; of the names and contents of a folder's pictures. Hex.
        notes: What else is to be told.
        modified_ns: When the newest picture of a folder was changed; 0 of an archive.
    """

    names: list[str]
    sha256: str
    notes: list[str] = field(default_factory=list)
    modified_ns: int = 0


def read_album(path: Path, scratch: Path | None = None) -> Album:
    """Return what is in a folder (by suffix) or an archive.

    Args:
        path: The folder or the file.
        scratch: See :func:`encoder.archives.opened_archive`.

    Raises:
        DecodeError: If the file is no archive, or larger than its limits.
        HashreelError, OSError: If it cannot be read.
    """
    if path.is_dir():
        names = _names_in(path)
        newest = _newest_ns(path, names)
        return Album(names, _folder_sha(path, names), modified_ns=newest)
    with opened_archive(path, scratch) as archive, path.open("rb") as file:
        sha = hashlib.file_digest(file, "sha256").hexdigest()
        return Album([member.name for member in archive.members], sha, list(archive.notes))


def iter_folder_frames(
    path: Path,
    *,
    short_side: int,
    warnings: list[DecodeWarning],
    names: Sequence[str] | None = None,
    start: int = 0,
    stop: int | None = None,
    scratch: Path | None = None,
    newest_ns: int = 0,
) -> Iterator[KeyFrame]:
    """Yield the pictures of a folder or an archive, scaled; a damaged one leaves a warning with its name in its place.

    Args:
        path: The folder or the file.
        short_side: Pixels of the shorter side.
        warnings: Receives what was left out.
        names: Their names by the second, as they were when they were listed; None lists them now.
        start: Number of the first one.
        stop: Number after the last one; None for all.
        scratch: See :func:`encoder.archives.opened_archive`.
        newest_ns: Pictures of a folder that were changed after this time are left out; 0 takes them all.
    """
    with ExitStack() as stack:
        told, load, notes = _opened(path, scratch, stack, newest_ns)
        known = told if names is None else names
        warnings += [DecodeWarning("decode", note, None) for note in notes if start == 0]
        for index in range(start, len(known) if stop is None else min(stop, len(known))):
            try:
                yield KeyFrame(STEP_MS * index, scale_short_side(load(known[index]), short_side))
            except HashreelError as exc:
                reason = str(exc).removeprefix(f"{Path(known[index]).name}: ")
                warnings.append(DecodeWarning("decode", f"{known[index]}: {reason}", STEP_MS * index))


def load_folder_frame(path: Path, time_ms: int, name: str | None = None, scratch: Path | None = None) -> Image:
    """Return the picture that stands at a time; NotFoundError if there is none any more.

    Args:
        path: The folder or the archive.
        time_ms: When it stands.
        name: Its name, where that is known: folders change.
        scratch: See :func:`encoder.archives.opened_archive`.
    """
    with ExitStack() as stack:
        names, load, _ = _opened(path, scratch, stack)
        index = time_ms // STEP_MS
        if name is None and index >= len(names):
            raise NotFoundError(f"{path.name} has {len(names)} pictures now; there is none at {time_ms} ms")
        return load(names[index] if name is None else name)


def _opened(
    path: Path, scratch: Path | None, stack: ExitStack, newest_ns: int = 0
) -> tuple[list[str], Callable[[str], Image], list[str]]:
    """Return the names of the pictures, what loads one of them, and what else is to be told."""
    if not path.is_file():
        return _names_in(path), lambda name: _load_unchanged(path / name, newest_ns), []
    archive = stack.enter_context(opened_archive(path, scratch))
    names = [member.name for member in archive.members]
    places = {name: index for index, name in enumerate(names)}
    return names, lambda name: load_picture(archive.read(places.get(name, len(names)))), archive.notes


def _load_unchanged(path: Path, newest_ns: int) -> Image:
    picture = load_picture(path)
    with suppress(OSError):  # it went away when it was read
        if newest_ns and path.stat().st_mtime_ns > newest_ns:
            raise DecodeError("it was changed after it was enqueued; enqueue the folder again")
    return picture


def _names_in(folder: Path) -> list[str]:
    """Return the names of pictures, also of links that lead nowhere and of pipes: those are told of when they are read.

    Raises:
        NotFoundError: If there is no such folder.
        BadInputError: If it is not a folder.
    """
    try:
        names = os.listdir(folder)
    except FileNotFoundError as exc:
        raise NotFoundError(f"{folder.name}: there is no such folder") from exc
    except NotADirectoryError as exc:
        raise BadInputError(f"{folder.name}: this is a file, not a folder of pictures") from exc
    pictures = (name for name in names if Path(name).suffix.lower() in PICTURE_SUFFIXES and not name.startswith("."))
    return sorted((name for name in pictures if not os.path.isdir(folder / name)), key=natural_key)


def _newest_ns(folder: Path, names: Sequence[str]) -> int:
    newest = 0
    for name in names:
        with suppress(OSError):
            newest = max(newest, os.stat(folder / name).st_mtime_ns)
    return newest


def _folder_sha(folder: Path, names: Sequence[str]) -> str:
    whole = hashlib.sha256()
    for name in names:
        with suppress(OSError):  # a broken link is told of when it is read
            if stat.S_ISREG(os.stat(folder / name).st_mode):  # nobody may ever write into a pipe, or end a device
                with (folder / name).open("rb") as file:
                    part = hashlib.file_digest(file, "sha256")
                whole.update(os.fsencode(name) + b"\0" + part.digest())
    return whole.hexdigest()
