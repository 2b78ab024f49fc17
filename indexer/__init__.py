"""Codes to gallery: indexes, snapshots, the log in Redis, top-K and radius search.

``from indexer import make_index`` is the way in. Importing this package loads neither FAISS, numba nor Redis.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from indexer.index import Index, load_index, make_index

__all__ = ["Index", "load_index", "make_index"]


def __getattr__(name: str) -> Any:
    if name in __all__:
        from indexer import index

        return getattr(index, name)
    raise AttributeError(f"module 'indexer' has no attribute {name!r}")
