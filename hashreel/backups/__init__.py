"""Backups: everything that cannot be made again, in one file, and back from it into an empty folder."""

from __future__ import annotations

from hashreel.backups.backup import Backup, write_backup
from hashreel.backups.restore import Restored, restore_backup

__all__ = ["Backup", "Restored", "restore_backup", "write_backup"]
