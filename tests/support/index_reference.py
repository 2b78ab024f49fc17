"""The slow, obvious index that every kind is compared with, and codes with many ties."""

import os
import secrets
from pathlib import Path
from typing import Any

import faiss
import numpy as np
from numpy.typing import NDArray

from encoder.codes import hamming_distances, num_code_bytes, unpack_codes
from indexer import make_index
from indexer.engine import EngineIndex
from indexer.index import Index, load_index

# Tables from the first row on, folded all the time and probed whatever it costs: small galleries test them too.
TABLES: dict[str, Any] = {
    "delta_rows": 50,
    "delta_share": 0.0,
    "table_rows": 1,
    "probe_effort": 1e9,
    "dead_share": 0.05,
}
EXACT_KINDS: dict[str, dict[str, Any]] = {
    "flat": {},
    "exact": {},
    "exact with tables": TABLES,
    "auto": {"upgrade_frames": 60, "exact": TABLES},
    "engine": {"engine_rows": 20, "late_share": 0.5},
}

# Milvus has an environment of its own (scripts/test_milvus), in which its kind is tested alone.
MILVUS_URI = os.environ.get("HASHREEL_TEST_MILVUS", "")
if MILVUS_URI:
    # Shorter lists than Milvus's own 16,384 rows: what it would cut is put together from parts in small galleries, too.
    EXACT_KINDS = {"milvus": {"uri": MILVUS_URI, "most_fetched": 1500, "most_calls": 1024}}


class BoundedEngineIndex(EngineIndex):
    """What the GPU kind does, with an engine that is here: FAISS flat, asked for a bounded number of rows."""

    kind = "engine"
    stored_kind = "engine"
    exact = True
    most_fetched = 50
    _is_kept = False

    def _build(self, codes):
        index = faiss.IndexBinaryFlat(64 * codes.shape[1])
        index.add(codes.view(np.uint8))
        return index, {}


def make_exact(name: str, bits: int) -> Index:
    if name == "engine":
        return BoundedEngineIndex(bits, **EXACT_KINDS[name])
    if MILVUS_URI:
        # With a name it stays when it is closed, to be opened again.
        return make_index("milvus", bits, collection=f"life_{secrets.token_hex(8)}", **EXACT_KINDS[name])
    return make_index(name.split()[0], bits, **EXACT_KINDS[name])


def load_exact(name: str, folder: str | Path, mapped: bool) -> Index:
    if name == "engine":
        return BoundedEngineIndex.load(folder, mapped, **EXACT_KINDS[name])
    return load_index(folder, name.split()[0], mapped, **EXACT_KINDS[name])


def random_codes(rng: np.random.Generator, count: int, bits: int, spread: int | None = None) -> NDArray[np.uint8]:
    """Codes with many ties: at most ``spread`` different ones, if given."""
    codes = rng.integers(0, 256, (count if spread is None else spread, num_code_bytes(bits)), dtype=np.uint8)
    if bits % 8:
        codes[:, -1] &= (1 << bits % 8) - 1
    return codes if spread is None else codes[rng.integers(0, spread, count)]


class Reference:
    """Frame ids and codes in two arrays; every answer is a full sort."""

    def __init__(self, bits: int) -> None:
        self.bits = bits
        self.ids = np.empty(0, np.int64)
        self.codes = np.empty((0, num_code_bytes(bits)), np.uint8)

    def add(self, ids, codes):
        self.ids, self.codes = np.concatenate((self.ids, ids)), np.concatenate((self.codes, codes))

    def _keep(self, mask):
        self.ids, self.codes = self.ids[mask], self.codes[mask]

    def delete(self, ids):
        self._keep(~np.isin(self.ids, ids))

    def delete_range(self, first, end):
        self._keep((self.ids < first) | (self.ids >= end))

    def admitted(self, allowed):
        if allowed is None:
            return np.ones(len(self.ids), bool)
        mask = np.zeros(len(self.ids), bool)
        for first, end in allowed:
            mask |= (self.ids >= first) & (self.ids < end)
        return mask

    def pairs(self, query, allowed=None, radius=1 << 30):
        """All (distance, id) pairs within the radius, in order."""
        mask = self.admitted(allowed)
        distances = hamming_distances(query[None], self.codes[mask])[0]
        return self._ordered(distances, self.ids[mask], radius)

    def weighted_pairs(self, query, weights, allowed=None):
        """The same by weighted distance; weights are small whole numbers, so that sums are exact."""
        mask = self.admitted(allowed)
        differs = unpack_codes(query[None], self.bits) ^ unpack_codes(self.codes[mask], self.bits)
        return self._ordered((differs * weights).sum(axis=1), self.ids[mask], np.inf)

    def group_pairs(self, query, top, allowed=None, shift=32):
        """The first pair of each of the ``top`` nearest groups."""
        distances, ids = self.pairs(query, allowed)
        first = np.sort(np.unique(ids >> shift, return_index=True)[1])[:top]
        return distances[first], ids[first]

    @staticmethod
    def _ordered(distances, ids, radius):
        order = np.lexsort((ids, distances))
        order = order[distances[order] <= radius]
        return distances[order], ids[order]


def assert_pairs_equal(found, expected):
    np.testing.assert_array_equal(found[0], expected[0])
    np.testing.assert_array_equal(found[1], expected[1])


def assert_equals_reference(index, reference, queries, tops=(1, 10), radii=(2,), allowed=None):
    """Compare every answer of the plain query forms."""
    for top in tops:
        distances, ids = index.search(queries, top, allowed)
        assert distances.dtype == np.int32
        assert ids.dtype == np.int64
        for i, query in enumerate(queries):
            expected = reference.pairs(query, allowed)
            assert_pairs_equal((distances[i], ids[i]), (expected[0][:top], expected[1][:top]))
    for radius in radii:
        counts = index.count_within(queries, radius, allowed)
        everything = index.within(queries, radius, allowed)
        limited = index.within(queries, radius, allowed, limit=3)
        for i, query in enumerate(queries):
            expected = reference.pairs(query, allowed, radius)
            assert everything[i][0].dtype == np.int32
            assert everything[i][1].dtype == np.int64
            assert_pairs_equal(everything[i], expected)
            assert_pairs_equal(limited[i], (expected[0][:3], expected[1][:3]))
            assert counts[i] == len(expected[0])
