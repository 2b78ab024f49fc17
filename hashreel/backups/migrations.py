"""Steps from older backups to the present format.

When the layout of a backup or of the stored state changes: raise ``archive.FORMAT``, and register here under
the *old* number what turns an unpacked backup of that version into one of the next. An installation is upgraded
by `backup` with the old version and `restore` with the new one, which leaves the old folder as the way back.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path

from hashreel.backups import archive
from hashreel.errors import ConflictError

__all__ = ["MIGRATIONS", "migrate"]

Migration = Callable[[Path], None]

MIGRATIONS: dict[int, Migration] = {}
"""Version to what makes the next one of it, in place."""


def migrate(folder: Path, version: int, migrations: Mapping[int, Migration] = MIGRATIONS) -> int:
    """Bring an unpacked backup to the present format; return how many steps that took.

    Raises:
        ConflictError: If a step is missing: the backup is older than what this version can read.
    """
    for step in range(version, archive.FORMAT):
        if step not in migrations:
            raise ConflictError(
                f"the backup has format {version}; this version reads {min([archive.FORMAT, *migrations])} to "
                f"{archive.FORMAT}. Restore it with an older version first, and back up from there"
            )
        migrations[step](folder)
    return archive.FORMAT - version
