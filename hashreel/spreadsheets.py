"""Cells of CSV files that people open in a spreadsheet."""

from __future__ import annotations

__all__ = ["harmless_cell"]

FORMULA = ("=", "+", "-", "@", "\t", "\r")


def harmless_cell(value: object) -> object:
    """Return a cell; a text that a spreadsheet would take for a formula gets an apostrophe before it.

    Names of files, tags and notes come from others, and a formula can send away what stands beside it.

    Example:
        >>> harmless_cell("=WEBSERVICE(A1)"), harmless_cell(-1), harmless_cell("clip.mp4")
        ("'=WEBSERVICE(A1)", -1, 'clip.mp4')
    """
    return f"'{value}" if isinstance(value, str) and value.startswith(FORMULA) else value
