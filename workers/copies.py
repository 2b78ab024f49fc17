"""Local copies of sources that lie elsewhere: fetched within bounds, gone on with after a break, removed after use.

One folder a source: the copy, and ``state.json``, which says which version of the source it is and whether it is whole.
A lock keeps the processes of a machine from fetching the same source twice at once. The folder as a whole is bounded:
what was used longest ago makes room.
"""

from __future__ import annotations

import fcntl
import hashlib
import json
import os
import re
import shutil
import time
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING
from urllib.parse import unquote, urlsplit

from hashreel.errors import ForbiddenError, HashreelError, UnavailableError
from workers.remote import Remote, open_remote

if TYPE_CHECKING:
    from hashreel.settings import Settings

__all__ = ["Copy", "LocalCopies"]

KEEP_S = 86400.0
"""A copy that nobody used for so long is left over from work that ended elsewhere."""
MEASURE_EVERY = 64 * 2**20
STATE = "state.json"


@dataclass(frozen=True)
class Copy:
    """A whole local copy.

    Attributes:
        path: The file.
        version: What tells this state of the source from others.
    """

    path: Path
    version: str


class LocalCopies:
    """The local copies in a data folder.

    Args:
        settings: The folder, the allowed hosts, and the bounds.
    """

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self._folder = settings.data / "cache" / "sources"

    @property
    def scratch(self) -> Path:
        """A folder on the disk of the copies, for files without a name."""
        self._folder.mkdir(parents=True, exist_ok=True)
        return self._folder

    def fetch(self, url: str, version: str = "", go_on: Callable[[], None] = lambda: None) -> Copy:
        """Return a whole copy of a source; what is there already of this version is not fetched again.

        Args:
            url: Where it is.
            version: Of which version a copy is good; empty asks the source which one it has now.
            go_on: Called now and then; what it raises ends the work, and what was fetched stays for the next time.

        Raises:
            NotFoundError, ForbiddenError: If it cannot be had, and will not be a little later.
            UnavailableError: If it may be had later.
        """
        place = self.scratch / _key(url)
        try:
            with _locked(place):
                state = _read_state(place)
                target = place / _file_name(url)
                if not (version and state.get("version") == version and state.get("is_whole")):
                    self._sweep(place.name)
                    state = self._download(url, place, target, state, go_on)
                os.utime(place)
                return Copy(target, str(state["version"]))
        except HashreelError:
            if not _read_state(place):
                _remove(place)  # nothing came: nothing to go on with
            raise

    def remove(self, url: str) -> None:
        """Remove a copy, if there is one and nobody is just fetching it."""
        if (self._folder / _key(url)).exists():
            _remove(self._folder / _key(url))

    def _download(
        self, url: str, place: Path, target: Path, state: dict[str, object], go_on: Callable[[], None]
    ) -> dict[str, object]:
        have = target.stat().st_size if target.exists() else 0
        with open_remote(url, self._settings, have, str(state.get("version", ""))) as remote:
            self._check_size(remote)
            state = {"url": url, "version": remote.version, "is_whole": False}
            _write_state(place, state)
            self._make_room(max(0, (remote.size or 0) - remote.start), place.name)
            with target.open("r+b" if remote.start else "wb") as file:
                file.truncate(remote.start)
                file.seek(remote.start)
                self._write(remote, file, place.name, go_on)
                size = file.tell()
        if remote.size is not None and size != remote.size:
            raise UnavailableError(f"{url} ended after {size} of {remote.size} bytes")
        state["is_whole"] = True
        _write_state(place, state)
        return state

    def _write(self, remote: Remote, file: object, own: str, go_on: Callable[[], None]) -> None:
        unmeasured = 0
        for block in remote.blocks:
            go_on()
            file.write(block)  # type: ignore[attr-defined]
            unmeasured += len(block)
            if remote.size is None and unmeasured >= MEASURE_EVERY:
                self._make_room(MEASURE_EVERY, own)
                unmeasured = 0

    def _check_size(self, remote: Remote) -> None:
        limit = min(self._settings.max_source_bytes, self._settings.source_cache_bytes)
        if remote.size is not None and remote.size > limit:
            raise ForbiddenError(
                f"it has {remote.size} bytes; at most {limit} are fetched (max_source_bytes, source_cache_bytes)"
            )

    def _make_room(self, wanted: int, own: str) -> None:
        """Remove the copies that were used longest ago until there is room.

        Raises:
            UnavailableError: If what is left is being fetched by others.
        """
        places = sorted(self._places(), key=lambda place: place.stat().st_mtime)
        sizes = {place.name: sum(file.stat().st_size for file in place.iterdir()) for place in places}
        room = self._settings.source_cache_bytes - sum(sizes.values())
        for place in places:
            if room >= wanted:
                return
            if place.name != own and _remove(place):
                room += sizes[place.name]
        if room < wanted:
            raise UnavailableError(
                f"the folder of local copies is full of sources that are in use; wait, or raise source_cache_bytes "
                f"({self._settings.source_cache_bytes})"
            )

    def _sweep(self, own: str) -> None:
        """Remove what nobody has used for long."""
        for place in list(self._places()):
            with suppress(OSError):
                if place.name != own and time.time() - place.stat().st_mtime > KEEP_S:
                    _remove(place)

    def _places(self) -> Iterable[Path]:
        return [place for place in self._folder.iterdir() if place.is_dir()]


def _remove(place: Path) -> bool:
    """Remove a copy unless somebody is fetching it; readers that have it open read on."""
    with suppress(OSError), _locked(place, wait=False):
        shutil.rmtree(place, ignore_errors=True)
        os.unlink(f"{place}.lock")
        return True
    return False


@contextmanager
def _locked(place: Path, *, wait: bool = True) -> Iterator[None]:
    """Hold a copy's lock; BlockingIOError if another process does and this one is not to wait."""
    # Beside the folder, which comes and goes; the file goes with it, so whoever waited for that one tries again.
    lock = f"{place}.lock"
    while True:
        with open(lock, "a") as file:
            fcntl.flock(file, fcntl.LOCK_EX | (0 if wait else fcntl.LOCK_NB))
            if not os.path.exists(lock) or os.stat(lock).st_ino != os.fstat(file.fileno()).st_ino:
                continue
            if wait:
                place.mkdir(parents=True, exist_ok=True)
            yield
            return


def _read_state(place: Path) -> dict[str, object]:
    try:
        state = json.loads((place / STATE).read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return {}
    return state if isinstance(state, dict) else {}


def _write_state(place: Path, state: dict[str, object]) -> None:
    (place / "state.new").write_text(json.dumps(state), encoding="utf-8")
    os.replace(place / "state.new", place / STATE)


def _key(url: str) -> str:
    return hashlib.sha256(url.encode("utf-8", "replace")).hexdigest()[:32]


def _file_name(url: str) -> str:
    """Return the name of the copy: that of the source, as far as it is harmless, since errors name files."""
    last = unquote(urlsplit(url).path).rstrip("/").rpartition("/")[2]
    plain = re.sub(r"[^\w.() -]", "_", last)[-80:].lstrip(".")
    return f"of {plain}" if plain in {"", STATE, "state.new"} else plain
