"""Ranges of frame ids as expressions that Milvus reads."""

from __future__ import annotations

from collections.abc import Iterator

from indexer.ranges import Ranges

__all__ = ["MAX_RANGES", "expression_of", "expressions_of"]

MAX_RANGES = 1024
"""Ranges in one expression; a filter of more is asked in parts."""


def expressions_of(ranges: Ranges | None) -> Iterator[str]:
    """Yield expressions that together admit exactly the ids of ``ranges``; one that admits all for None."""
    if ranges is None:
        yield ""
        return
    for start in range(0, len(ranges), MAX_RANGES):
        yield expression_of(ranges[start : start + MAX_RANGES])


def expression_of(ranges: Ranges) -> str:
    """Return the expression of at least one range.

    Example:
        >>> import numpy as np
        >>> expression_of(np.array([[1, 3], [7, 8]]))
        '((1 <= id < 3) or (7 <= id < 8))'
    """
    return _tree([f"({first} <= id < {end})" for first, end in ranges.tolist()])


def _tree(terms: list[str]) -> str:
    # A flat chain of "or" is parsed into a tree as deep as it is long, which the message format refuses at about 50.
    if len(terms) == 1:
        return terms[0]
    middle = len(terms) // 2
    return f"({_tree(terms[:middle])} or {_tree(terms[middle:])})"
