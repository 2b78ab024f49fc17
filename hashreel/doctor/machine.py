"""Checks of the machine: folder, disk, limits, roots. Nothing of the engine is loaded."""

from __future__ import annotations

import os
import resource
import shutil
import tempfile
from collections.abc import Iterator
from pathlib import Path

from hashreel.doctor.findings import Finding, error, ok, warning
from hashreel.settings import Settings

__all__ = ["check_machine"]

GIB = 2**30
DISK_ERROR_BYTES = 1 * GIB
DISK_WARNING_BYTES = 5 * GIB
OPEN_FILES = 1024


def check_machine(settings: Settings) -> Iterator[Finding]:
    """Yield findings about the data folder, its disk, the limit of open files, and the source roots."""
    folder = settings.data.expanduser().absolute()
    yield _folder(folder)
    yield _disk(folder)
    yield _open_files()
    yield from _roots(settings)


def _existing(folder: Path) -> Path:
    """Return the folder, or the nearest one above it that exists."""
    return next(path for path in (folder, *folder.parents) if path.exists())


def _folder(folder: Path) -> Finding:
    place = _existing(folder)
    try:
        with tempfile.TemporaryFile(dir=place):
            pass
    except OSError as exc:
        return error(
            "data-folder",
            f"{place} is not writable ({exc.strerror})",
            "give the user that runs Hashreel the folder, or name another one with --data or HASHREEL_DATA",
        )
    return ok("data-folder", f"{folder} {'is writable' if place == folder else 'can be made'}")


def _disk(folder: Path) -> Finding:
    free = shutil.disk_usage(_existing(folder)).free
    said = f"{free / GIB:.1f} GiB free for {folder}"
    advice = "free some space, or move the folder to a larger disk (HASHREEL_DATA)"
    if free < DISK_ERROR_BYTES:
        return error("disk", said, advice)
    return warning("disk", said, advice) if free < DISK_WARNING_BYTES else ok("disk", said)


def _open_files() -> Finding:
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    said = f"{soft if soft != resource.RLIM_INFINITY else 'any number of'} open files allowed"
    if soft == resource.RLIM_INFINITY or soft >= OPEN_FILES:
        return ok("open-files", said)
    advice = f"type `ulimit -n {OPEN_FILES}` before the start, or set LimitNOFILE in the service's unit"
    more = "" if hard == resource.RLIM_INFINITY or hard >= OPEN_FILES else f" (the hard limit is {hard}, too)"
    return warning("open-files", said + more, advice)


def _roots(settings: Settings) -> Iterator[Finding]:
    for name, path in settings.roots.items():
        if path.is_dir() and os.access(path, os.R_OK | os.X_OK):
            yield ok("source-root", f"{name} is {path}")
        else:
            what = "cannot be read" if path.exists() else "does not exist"
            yield error(
                "source-root",
                f"root {name!r}: {path} {what}",
                "mount it at the same place on every worker and searcher, or correct HASHREEL_ROOTS",
            )
