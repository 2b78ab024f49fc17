"""Exact top-10 by every method that gives it, one query at a time in one thread, over galleries of many shapes.

    python -m benchmarks.exact_table [--large 100000000] [--small]

FAISS `IndexBinaryFlat` on 6-byte codes and on the same codes padded to 64 bits, numpy, our scan by blocks, and our
`exact` index. Times are medians in ms of five turns, interleaved by method. Every method's distances must be equal.
"""

from __future__ import annotations

import argparse
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass

import faiss
import numpy as np
from numpy.typing import NDArray

from benchmarks.codes import clustered, frame_ids, uniform
from encoder.codes import Codes
from indexer import make_index
from indexer.arguments import pad_codes

TOP, TURNS, TURN_S = 10, 5, 0.2
NUMPY_BLOCK = 1 << 20

Search = Callable[[int], NDArray[np.int32]]


@dataclass(frozen=True)
class Case:
    """A gallery of codes, and queries to it."""

    name: str
    codes: Codes
    queries: Codes
    bits: int = 48


def cases(sizes: list[int], large: int) -> Iterator[Case]:
    """Yield the galleries, one at a time, for they are large."""
    for count in sizes:
        yield Case(f"{count:,}", *clustered(count, 48))
    count = sizes[-1]
    codes, queries = clustered(count, 48)
    yield Case(f"{count:,}, queries far from everything", codes, uniform(256, 48, seed=9))
    codes[np.random.default_rng(2).random(count) < 0.05] = codes[0]
    yield Case(f"{count:,}, 5 % of the codes identical", codes, queries)
    yield Case(f"{count:,} uniform", uniform(count, 48), uniform(256, 48, seed=9))
    yield Case(f"{count:,}, 64 bits", *clustered(count, 64), 64)
    yield Case(f"{count:,} uniform, 64 bits", uniform(count, 64), uniform(256, 64, seed=9), 64)
    if large:
        yield Case(f"{large:,}", *clustered(large, 48))
        yield Case(f"{large:,} uniform", uniform(large, 48), uniform(256, 48, seed=9))


def flat(codes: NDArray[np.uint8], queries: NDArray[np.uint8]) -> Search:
    index = faiss.IndexBinaryFlat(8 * codes.shape[1])
    index.add(codes)
    return lambda i: index.search(queries[i : i + 1], TOP)[0][0]


def numpy_scan(words: NDArray[np.uint64], queries: NDArray[np.uint64]) -> Search:
    def search(i: int) -> NDArray[np.int32]:
        blocks = (words[at : at + NUMPY_BLOCK, 0] for at in range(0, len(words), NUMPY_BLOCK))
        nearest = [np.partition(np.bitwise_count(block ^ queries[i, 0]), TOP)[:TOP] for block in blocks]
        return np.sort(np.concatenate(nearest))[:TOP].astype(np.int32)

    return search


def ours(case: Case, **options: int) -> Search:
    index = make_index("exact", case.bits, background=False, **options)
    index.add(frame_ids(len(case.codes)), case.codes)
    index.compact()
    return lambda i: index.search(case.queries[i : i + 1], TOP)[0][0]


def methods(case: Case) -> dict[str, Search]:
    """Return the methods by name; each holds its own copy of the codes."""
    words, asked = pad_codes(case.codes, 1), pad_codes(case.queries, 1)
    return {
        "FAISS flat": flat(case.codes, case.queries),
        "FAISS flat, padded": flat(words.view(np.uint8), asked.view(np.uint8)),
        "numpy": numpy_scan(words, asked),
        "scan (ours)": ours(case, table_rows=1 << 62),
        "exact (ours)": ours(case),
    }


def turn_ms(search: Search, num_queries: int, first: int) -> float:
    """Return the median time of single queries for a fifth of a second, three at least."""
    times: list[float] = []
    begun = time.perf_counter()
    while len(times) < 3 or time.perf_counter() - begun < TURN_S:
        start = time.perf_counter()
        search((first + len(times)) % num_queries)
        times.append(time.perf_counter() - start)
    return 1e3 * float(np.median(times))


def measured(case: Case) -> dict[str, float]:
    """Return ms a query by method."""
    searches = methods(case)
    for i in range(3):
        answers = [search(i) for search in searches.values()]
        if not all(np.array_equal(answers[0], answer) for answer in answers):
            raise SystemExit(f"{case.name}: the methods do not agree")
    turns = [[turn_ms(search, len(case.queries), 37 * turn) for search in searches.values()] for turn in range(TURNS)]
    return dict(zip(searches, np.median(turns, axis=0).tolist(), strict=True))


def main() -> int:
    """Measure and print a table, a row a gallery as soon as it is known."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--large", type=int, default=0, help="size of two further galleries, such as 100000000")
    parser.add_argument("--small", action="store_true", help="galleries of at most 300,000 codes")
    options = parser.parse_args()
    faiss.omp_set_num_threads(1)
    sizes = [27_000, 300_000] if options.small else [27_000, 1_000_000, 10_000_000]
    names: list[str] = []
    for case in cases(sizes, options.large):
        times = measured(case)
        if not names:
            names = list(times)
            print(f"| gallery, ms a query | {' | '.join(names)} |\n|{' --- |' * (1 + len(names))}")
        print(f"| {case.name} | {' | '.join(f'{times[name]:.3g}' for name in names)} |", flush=True)
    return 0


if __name__ == "__main__":
    sys.exit(main())
