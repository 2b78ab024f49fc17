"""Texts that others chose (names of files, tags, notes), made harmless for a terminal and for a spreadsheet."""

from __future__ import annotations

import csv
import re
import sys
from collections.abc import Iterable, Sequence

from hashreel.spreadsheets import harmless_cell

__all__ = ["print_csv", "visible"]

# Control characters move the cursor, retitle the window or answer in the user's name; the others turn text around.
HIDDEN = re.compile("[\x00-\x1f\x7f-\x9f\u2028\u2029\u202a-\u202e\u2066-\u2069]")


def visible(text: str, keep: str = "") -> str:
    r"""Return text whose control characters are written out, but for those in ``keep``.

    Example:
        >>> print(visible("clip\x1b[2J.mp4"))
        clip\x1b[2J.mp4
    """
    return HIDDEN.sub(lambda found: found[0] if found[0] in keep else ascii(found[0])[1:-1], text)


def print_csv(columns: Sequence[str], rows: Iterable[Sequence[object]]) -> None:
    """Print rows as CSV on stdout, with nothing in it that a spreadsheet would take for a formula."""
    writer = csv.writer(sys.stdout)
    writer.writerow(columns)
    is_shown = sys.stdout.isatty()
    for row in rows:
        cells = map(harmless_cell, row)
        writer.writerow([visible(cell) if is_shown and isinstance(cell, str) else cell for cell in cells])
