"""One Milvus collection of codes: the calls that Hashreel makes, in numpy arrays and in our own errors."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from typing import Any, TypeVar
from urllib.parse import urlsplit, urlunsplit

import numpy as np
from numpy.typing import NDArray

from encoder.codes import Codes, num_code_bytes
from hashreel.errors import MissingExtraError, UnavailableError
from indexer.milvus.filters import expressions_of
from indexer.ranges import Ranges

__all__ = ["MOST_FETCHED", "Connection", "MilvusCollection"]

T = TypeVar("T")

MOST_FETCHED = 16_384
"""The longest list that Milvus returns."""

_WRITE_ROWS = 10_000
_READ_ROWS = 4_096
# Rows of all answers of one call: their message stays far below gRPC's bound.
_ANSWER_ROWS = 500_000


class Connection:
    """A connection to a Milvus server (or, for tests, a file of Milvus Lite).

    Args:
        uri: ``http://host:19530``, ``https://...``, or a path that ends in ``.db``.
        token: ``user:password`` or an API key; empty for none.
        timeout_s: Longest wait for one call.

    Raises:
        MissingExtraError: If pymilvus is not installed.
        UnavailableError: If the server does not answer.
    """

    def __init__(self, uri: str, token: str = "", timeout_s: float = 30.0) -> None:
        try:
            import pymilvus
        except ImportError as exc:
            raise MissingExtraError("index kind milvus needs pymilvus; install hashreel[milvus]") from exc
        self._milvus: Any = pymilvus
        self.uri = without_secrets(uri)
        self.timeout_s = timeout_s
        self.client: Any = self.call(lambda: pymilvus.MilvusClient(uri, token=token, timeout=timeout_s))

    def call(self, function: Callable[[], T]) -> T:
        """Return what a call returns; UnavailableError if Milvus refuses it or does not answer."""
        try:
            return function()
        except self._milvus.MilvusException as exc:
            text = " ".join(str(exc.message or exc).split())[:300]
            raise UnavailableError(f"Milvus at {self.uri}: {text} (code {exc.code})") from exc

    def collections(self, prefix: str) -> list[str]:
        """Return the names of all collections that begin with a prefix."""
        names: list[str] = self.call(lambda: self.client.list_collections(timeout=self.timeout_s))
        return sorted(name for name in names if name.startswith(prefix))

    def drop(self, name: str) -> None:
        """Remove a collection, if it is there."""
        self.call(lambda: self.client.drop_collection(name, timeout=self.timeout_s))

    def create(self, name: str, bits: int) -> MilvusCollection:
        """Make an empty collection, searched exhaustively (BIN_FLAT); one of that name is kept as it is."""
        types, client = self._milvus.DataType, self.client
        schema = client.create_schema(auto_id=False, enable_dynamic_field=False)
        schema.add_field("id", types.INT64, is_primary=True)
        schema.add_field("code", types.BINARY_VECTOR, dim=8 * num_code_bytes(bits))
        index = client.prepare_index_params()
        index.add_index("code", index_type="BIN_FLAT", metric_type="HAMMING")
        # Strong: a search sees every write that was acknowledged before it.
        self.call(lambda: client.create_collection(name, schema=schema, index_params=index, consistency_level="Strong"))
        return MilvusCollection(self, name, bits)

    def close(self) -> None:
        """End the connection."""
        self.client.close()


class MilvusCollection:
    """Codes of one length under their frame ids.

    Args:
        connection: To the server.
        name: Of the collection, which is there already.
        bits: Length of a code.
    """

    def __init__(self, connection: Connection, name: str, bits: int) -> None:
        self.connection = connection
        self.name = name
        self.num_bytes = num_code_bytes(bits)

    # Writing

    def insert(self, ids: NDArray[np.int64], codes: Codes, guard: Callable[[], None] | None = None) -> None:
        """Add rows whose ids are not there: cheaper than :meth:`upsert`, and not safe to repeat.

        Args:
            ids: int64 [n].
            codes: uint8 [n, w].
            guard: Called before each call to the server; what it raises ends the writing.
        """
        self._write("insert", ids, codes, guard)

    def upsert(self, ids: NDArray[np.int64], codes: Codes, guard: Callable[[], None] | None = None) -> None:
        """Put rows in the place of those with the same ids, or beside the others; safe to repeat."""
        self._write("upsert", ids, codes, guard)

    def _write(self, how: str, ids: NDArray[np.int64], codes: Codes, guard: Callable[[], None] | None) -> None:
        for start in range(0, len(ids), _WRITE_ROWS):
            part = slice(start, start + _WRITE_ROWS)
            pairs = zip(ids[part].tolist(), codes[part], strict=True)
            rows = [{"id": frame, "code": code.tobytes()} for frame, code in pairs]
            if guard is not None:
                guard()
            self._call(how, data=rows)

    def delete(self, ranges: Ranges) -> None:
        """Remove all rows inside ranges."""
        for expression in expressions_of(ranges):
            self._call("delete", filter=expression)

    # Reading

    def count(self, ranges: Ranges | None = None) -> int:
        """Return how many rows there are, in ranges or at all."""
        counts = [
            self._call("query", filter=expression, output_fields=["count(*)"])[0]["count(*)"]
            for expression in expressions_of(ranges)
        ]
        return int(sum(counts))

    def nearest(
        self, queries: Codes, k: int, expression: str = "", between: tuple[int, int] | None = None
    ) -> list[tuple[NDArray[np.int32], NDArray[np.int64]]]:
        """Return the nearest rows of each query, ties cut as Milvus likes; fewer than k only if there are no more.

        Args:
            queries: uint8 [q, w].
            k: At most :data:`MOST_FETCHED`.
            expression: Which rows to consider; empty for all.
            between: Least and largest distance of what is returned, both inclusive.
        """
        params: dict[str, Any] = {"metric_type": "HAMMING"}
        if between is not None:
            # Milvus takes a half-open range: range_filter <= distance < radius.
            params["params"] = {"range_filter": between[0], "radius": between[1] + 1}
        found: list[tuple[NDArray[np.int32], NDArray[np.int64]]] = []
        step = max(1, _ANSWER_ROWS // k)
        for start in range(0, len(queries), step):
            data = [query.tobytes() for query in queries[start : start + step]]
            hits = self._call("search", data=data, anns_field="code", limit=k, filter=expression, search_params=params)
            found.extend(map(_arrays, hits))
        return found

    def codes_of(self, ids: NDArray[np.int64]) -> dict[int, bytes]:
        """Return the codes of those ids that are there."""
        found: dict[int, bytes] = {}
        for start in range(0, len(ids), _READ_ROWS):
            wanted = ids[start : start + _READ_ROWS].tolist()
            rows = self._call("query", filter=f"id in {wanted}", output_fields=["id", "code"])
            found.update((int(row["id"]), _bytes(row["code"])) for row in rows)
        return found

    def present(self, ids: NDArray[np.int64]) -> list[int]:
        """Return those ids that are there, ascending."""
        found: list[int] = []
        for start in range(0, len(ids), _READ_ROWS):
            wanted = ids[start : start + _READ_ROWS].tolist()
            found.extend(int(row["id"]) for row in self._call("query", filter=f"id in {wanted}", output_fields=["id"]))
        return sorted(found)

    def items(self, ranges: Ranges | None, block: int) -> Iterator[tuple[NDArray[np.int64], Codes]]:
        """Yield all rows in the order of their ids, as blocks of (int64 [b], uint8 [b, w])."""
        for expression in expressions_of(ranges):
            rows = self._call(
                "query_iterator", batch_size=min(block, _READ_ROWS), filter=expression, output_fields=["id", "code"]
            )
            while page := self.connection.call(rows.next):
                ids = np.array([row["id"] for row in page], np.int64)
                codes = np.frombuffer(b"".join(_bytes(row["code"]) for row in page), np.uint8)
                yield ids, codes.reshape(len(ids), self.num_bytes)

    def _call(self, name: str, **arguments: Any) -> Any:
        method, timeout_s = getattr(self.connection.client, name), self.connection.timeout_s
        return self.connection.call(lambda: method(self.name, timeout=timeout_s, **arguments))


def _arrays(hits: Sequence[Any]) -> tuple[NDArray[np.int32], NDArray[np.int64]]:
    distances = np.array([hit["distance"] for hit in hits], np.float64)
    return distances.astype(np.int32), np.array([hit["id"] for hit in hits], np.int64)


def _bytes(code: Any) -> bytes:
    """Return a code as bytes; pymilvus wraps it into a list."""
    return bytes(code[0]) if isinstance(code, list) else bytes(code)


def without_secrets(uri: str) -> str:
    """Return an address without the user and password that may stand in it."""
    parts = urlsplit(uri)
    host = parts.netloc.rpartition("@")[2]
    return urlunsplit((parts.scheme, host, parts.path, "", ""))
