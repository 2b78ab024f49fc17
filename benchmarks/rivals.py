"""Top-10 of one query at a time: our kinds, FAISS's, usearch and numpy, with what each finds.

    python -m benchmarks.rivals [--codes 1000000] [--bits 48] [--plot docs/images/gallery.svg] [--skip hnsw,usearch]

Searches run in one thread, builds of graphs and lists in all. Times are medians over single queries in ms,
interleaved by method; recall is by distance: a result counts if it is as near as the tenth nearest code. The graphs
take minutes to build; usearch is left out where it is not installed.
"""

from __future__ import annotations

import argparse
import importlib.util
import os
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import faiss
import numpy as np
from numpy.typing import NDArray

from benchmarks.codes import clustered, frame_ids, uniform
from encoder.codes import Codes
from indexer import make_index
from indexer.arguments import pad_codes

TOP, QUERIES, ROUNDS = 10, 100, 3

Search = Callable[[int], NDArray[Any]]
"""Returns the distances of the hits of query number i."""


@dataclass(frozen=True)
class Method:
    """A way to search, and what it cost to get there."""

    name: str
    search: Search
    build_s: float
    bytes_a_code: float


@dataclass(frozen=True)
class Result:
    """A row of the table."""

    shape: str
    method: Method
    ms: float
    recall: float


@contextmanager
def all_cores() -> Iterator[None]:
    """Let FAISS build with every core."""
    faiss.omp_set_num_threads(os.cpu_count() or 1)
    yield
    faiss.omp_set_num_threads(1)


def built(name: str, make: Callable[[], tuple[Search, float]]) -> Method:
    start = time.perf_counter()
    search, bytes_a_code = make()
    return Method(name, search, time.perf_counter() - start, bytes_a_code)


def ours(kind: str, codes: Codes, queries: Codes, bits: int) -> tuple[Search, float]:
    index = make_index(kind, bits, **({"background": False} if kind == "exact" else {}))
    index.add(frame_ids(len(codes)), codes)
    index.compact()
    index.search(queries[:1], TOP)
    return lambda i: index.search(queries[i : i + 1], TOP)[0][0], index.status()["bytes"] / len(codes)


def of_faiss(index: Any, codes: NDArray[np.uint8], queries: NDArray[np.uint8], size: float) -> tuple[Search, float]:
    with all_cores():
        index.train(codes)
        index.add(codes)
    return lambda i: index.search(queries[i : i + 1], TOP)[0][0], size


def ivf(codes: NDArray[np.uint8]) -> Any:
    bits = 8 * codes.shape[1]
    quantizer = faiss.IndexBinaryFlat(bits)
    index = faiss.IndexBinaryIVF(quantizer, bits, int(4 * np.sqrt(len(codes))))
    with all_cores():
        index.train(codes)
        index.add(codes)
    return index


def with_probes(index: Any, queries: NDArray[np.uint8], probes: int) -> Search:
    def search(i: int) -> NDArray[Any]:
        index.nprobe = probes
        return index.search(queries[i : i + 1], TOP)[0][0]

    return search


def graph(codes: NDArray[np.uint8], breadth: int) -> Any:
    index = faiss.IndexBinaryHNSW(8 * codes.shape[1], 32)
    index.hnsw.efSearch = breadth
    return index


def usearch(codes: NDArray[np.uint8], queries: NDArray[np.uint8]) -> tuple[Search, float]:
    from usearch.index import Index, MetricKind, ScalarKind

    index = Index(ndim=8 * codes.shape[1], metric=MetricKind.Hamming, dtype=ScalarKind.B1, expansion_search=256)
    index.add(np.arange(len(codes), dtype=np.uint64), codes)
    return lambda i: index.search(queries[i], TOP, threads=1).distances, index.memory_usage / len(codes)


def numpy_scan(words: NDArray[np.uint64], queries: NDArray[np.uint64]) -> tuple[Search, float]:
    def search(i: int) -> NDArray[Any]:
        distances = np.bitwise_count(words ^ queries[i]).sum(axis=1, dtype=np.int16)
        return np.sort(np.partition(distances, TOP - 1)[:TOP])

    return search, float(words.itemsize * words.shape[1])


def methods(codes: Codes, queries: Codes, bits: int, skip: list[str]) -> list[Method]:
    words, asked = pad_codes(codes, (bits + 63) // 64), pad_codes(queries, (bits + 63) // 64)
    padded, padded_queries = words.view(np.uint8), asked.view(np.uint8)
    width, bytes_padded = 8 * codes.shape[1], float(padded.shape[1])
    found = [
        built("exact (ours)", lambda: ours("exact", codes, queries, bits)),
        built("flat (ours, FAISS with ties put right)", lambda: ours("flat", codes, queries, bits)),
        built(
            "FAISS flat, as it comes",
            lambda: of_faiss(faiss.IndexBinaryFlat(width), codes, queries, float(codes.shape[1])),
        ),
        built(
            "FAISS flat, padded to 64 bits",
            lambda: of_faiss(faiss.IndexBinaryFlat(8 * padded.shape[1]), padded, padded_queries, bytes_padded),
        ),
        built("numpy", lambda: numpy_scan(words, asked)),
    ]
    if "ivf" not in skip:
        start = time.perf_counter()
        lists = ivf(padded)
        build_s = time.perf_counter() - start
        for probes in (8, 32, 128):
            search = with_probes(lists, padded_queries, probes)
            found.append(Method(f"FAISS IVF, {probes} lists", search, build_s, bytes_padded + 8))
    if "hnsw" not in skip:
        size = bytes_padded + 4 * 64
        found.append(
            built("FAISS HNSW, breadth 256", lambda: of_faiss(graph(padded, 256), padded, padded_queries, size))
        )
    if "usearch" not in skip and importlib.util.find_spec("usearch"):
        found.append(built("usearch HNSW, breadth 256", lambda: usearch(padded, padded_queries)))
    return found


def measured(shape: str, count: int, bits: int, skip: list[str]) -> list[Result]:
    if shape == "uniform":
        codes, queries = uniform(count, bits), uniform(QUERIES, bits, seed=9)
    else:
        codes, queries = clustered(count, bits, queries=QUERIES)
    rivals = methods(codes, queries, bits, skip)
    times = np.empty((len(rivals), ROUNDS, QUERIES))
    distances = np.full((len(rivals), QUERIES, TOP), 1 << 20)
    for round_ in range(ROUNDS):
        for k, method in enumerate(rivals):
            for i in range(QUERIES):
                start = time.perf_counter()
                hits = method.search(i)
                times[k, round_, i] = time.perf_counter() - start
                distances[k, i, : len(hits)] = hits
    recall = (distances <= distances[0, :, -1:]).mean(axis=(1, 2))
    return [
        Result(shape, method, 1e3 * float(np.median(times[k])), float(recall[k])) for k, method in enumerate(rivals)
    ]


def as_table(results: list[Result]) -> str:
    lines = [
        "| codes | method | ms a query | recall@10 | build s | bytes a code |",
        "| --- | --- | --- | --- | --- | --- |",
    ]
    for result in results:
        method = result.method
        lines.append(
            f"| {result.shape} | {method.name} | {result.ms:.3f} | {result.recall:.3f} "
            f"| {method.build_s:.1f} | {method.bytes_a_code:.0f} |"
        )
    return "\n".join(lines)


def plot(results: list[Result], path: str, count: int, bits: int) -> None:
    import matplotlib

    matplotlib.use("Agg")
    from matplotlib import pyplot

    shapes = list(dict.fromkeys(result.shape for result in results))
    figure, axes = pyplot.subplots(1, len(shapes), figsize=(6 * len(shapes), 4.5), sharey=True, squeeze=False)
    for axis, shape in zip(axes[0], shapes, strict=True):
        for result in (r for r in results if r.shape == shape):
            axis.scatter(result.ms, result.recall, s=30)
            axis.annotate(result.method.name, (result.ms, result.recall), fontsize=7, rotation=20)
        axis.set(xscale="log", xlabel="ms a query", title=f"{count:,} {shape} codes of {bits} bits")
        axis.grid(alpha=0.3)
    axes[0][0].set_ylabel("recall@10 by distance")
    figure.tight_layout()
    figure.savefig(path, dpi=120)
    pyplot.close(figure)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--codes", type=int, default=1_000_000, help="size of the gallery")
    parser.add_argument("--bits", type=int, default=48, help="length of a code")
    parser.add_argument("--plot", metavar="PATH", help="also draw recall against time")
    parser.add_argument("--skip", type=lambda text: text.split(","), default=[], help="ivf, hnsw, usearch")
    options = parser.parse_args()
    faiss.omp_set_num_threads(1)
    results = []
    for shape in ("clustered", "uniform"):
        results += measured(shape, options.codes, options.bits, options.skip)
    print(as_table(results))
    if options.plot:
        plot(results, options.plot, options.codes, options.bits)


if __name__ == "__main__":
    main()
