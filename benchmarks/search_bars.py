"""Exact search against FAISS flat on the same padded codes, in the same run (exit code 1 on a miss).

    python -m benchmarks.search_bars [--codes 10000000] [--large 100000000] [--skip single,batch,growth]

Everything goes through the project's own index class, in one thread. ``single``: one query a call for the 10
nearest frames, with 50,000 rows in the delta and 1 % of the rows deleted. ``batch``: 256 queries a call over a
million codes, and by the scan alone. ``growth``: the latency of single queries while a million codes are appended
to the live gallery. A ratio is the median of five interleaved runs. Measure on an idle machine.
"""

from __future__ import annotations

import argparse
import json
import statistics
import sys
import threading
import time
from collections.abc import Callable
from dataclasses import asdict, dataclass

import faiss
import numpy as np
from numpy.typing import NDArray

from benchmarks.codes import clustered, frame_ids, uniform
from encoder.codes import Codes, hamming_distances
from indexer import make_index
from indexer.arguments import pad_codes
from indexer.index import Index

BITS, TOP = 48, 10
DELTA_ROWS, DEAD_SHARE = 50_000, 0.01
RUNS, BATCH, QUERIES = 5, 256, 8192
SINGLE_BARS = {"clustered": 300.0, "uniform": 20.0}
LARGE_BAR, BATCH_BARS, SCAN_BAR = 60.0, {"clustered": 40.0, "uniform": 8.0}, 4.0
BYTES_BARS = {48: 36.0, 64: 48.0}


@dataclass(frozen=True)
class Figure:
    """One measured number and what it has to reach."""

    name: str
    value: float
    unit: str
    bar: float
    is_minimum: bool = True
    note: str = ""

    @property
    def is_met(self) -> bool:
        return self.value >= self.bar if self.is_minimum else self.value <= self.bar


def gallery(shape: str, count: int, bits: int = BITS) -> tuple[Codes, Codes]:
    """Return codes, and so many queries that none finds its own pages in the cache."""
    if shape == "uniform":
        return uniform(count, bits), uniform(QUERIES, bits, seed=9)
    return clustered(count, bits, queries=QUERIES)


def faiss_flat(codes: Codes) -> faiss.IndexBinaryFlat:
    words = pad_codes(codes, (8 * codes.shape[1] + 63) // 64)
    index = faiss.IndexBinaryFlat(64 * words.shape[1])
    index.add(words.view(np.uint8))
    return index


def seconds_of(action: Callable[[], object]) -> float:
    start = time.perf_counter()
    action()
    return time.perf_counter() - start


def live_index(codes: Codes, count: int, bits: int = BITS) -> tuple[Index, NDArray[np.bool_], float]:
    """Return an index with a delta and tombstones, which rows are alive, and how long the build took."""
    ids = frame_ids(len(codes))
    index = make_index("exact", bits, background=False)
    index.add(ids[:count], codes[:count])
    built = seconds_of(index.compact)
    index.add(ids[count:], codes[count:])
    gone = np.random.default_rng(1).choice(count, int(DEAD_SHARE * count), replace=False)
    index.delete(ids[gone])
    alive = np.ones(len(codes), np.bool_)
    alive[gone] = False
    return index, alive, built


def check(index: Index, codes: Codes, alive: NDArray[np.bool_], queries: Codes) -> None:
    """Compare a few answers with brute force before anything is timed."""
    ids = frame_ids(len(codes))
    found_distances, found_ids = index.search(queries, TOP)
    for i, query in enumerate(queries):
        blocks = [
            hamming_distances(query[None], part)[0] for part in np.array_split(codes, len(codes) // 1_000_000 + 1)
        ]
        distances = np.where(alive, np.concatenate(blocks), 1 << 20)
        near = np.flatnonzero(distances <= np.partition(distances, TOP - 1)[TOP - 1])
        order = near[np.lexsort((ids[near], distances[near]))][:TOP]
        if not (np.array_equal(distances[order], found_distances[i]) and np.array_equal(ids[order], found_ids[i])):
            raise SystemExit(f"query {i} is answered wrongly")


def single_queries(shape: str, count: int, bar: float, bits: int = BITS) -> list[Figure]:
    codes, queries = gallery(shape, count + DELTA_ROWS, bits)
    index, alive, built = live_index(codes, count, bits)
    check(index, codes, alive, queries[:4])
    flat = faiss_flat(codes)
    padded = pad_codes(queries, 1).view(np.uint8)
    asked_flat = max(5, 300_000_000 // count)
    ratios, ours, theirs = [], [], []
    for run in range(RUNS):
        theirs.append(seconds_of(lambda: [flat.search(padded[i : i + 1], TOP) for i in range(asked_flat)]) / asked_flat)
        order = np.random.default_rng(run).permutation(len(queries))
        ours.append(seconds_of(lambda o=order: [index.search(queries[i : i + 1], TOP) for i in o]) / len(queries))
        ratios.append(theirs[-1] / ours[-1])
    status = index.status()
    name = f"top-10 of {count:,} {shape} codes of {bits} bits"
    mine, other = 1e6 * statistics.median(ours), 1e3 * statistics.median(theirs)
    note = f"{mine:.1f} us against {other:.2f} ms; built in {built:.1f} s"
    return [
        Figure(name, statistics.median(ratios), "x", bar, note=note),
        Figure(f"memory, {name}", status["bytes"] / status["rows"], "bytes a code", BYTES_BARS[bits], False),
    ]


def folding_memory(count: int) -> Figure:
    """Return the largest memory a code while a full gallery is folded again, read from the kernel."""
    codes, _ = gallery("uniform", count + DELTA_ROWS)
    baseline = resident_bytes()
    index, _, _ = live_index(codes, count)
    peak, is_over = [0], threading.Event()

    def watch() -> None:
        while not is_over.wait(0.005):
            peak[0] = max(peak[0], resident_bytes())

    watcher = threading.Thread(target=watch)
    watcher.start()
    index.compact()
    is_over.set()
    watcher.join()
    return Figure("memory while folding", (peak[0] - baseline) / count, "bytes a code", 2 * BYTES_BARS[BITS], False)


def resident_bytes() -> int:
    with open("/proc/self/statm") as file:
        return int(file.read().split()[1]) * 4096


def batches(shape: str, count: int = 1_000_000) -> list[Figure]:
    codes, queries = gallery(shape, count)
    ids = frame_ids(count)
    tables = make_index("exact", BITS, background=False)
    tables.add(ids, codes)
    scan = make_index("exact", BITS, background=False)
    scan.add(ids, codes)
    tables.compact()
    flat = faiss_flat(codes)
    everything = np.ones(count, np.bool_)
    check(tables, codes, everything, queries[:4])
    check(scan, codes, everything, queries[:4])
    by_tables, by_scan, theirs = [], [], []
    for run in range(RUNS):
        asked = queries[run * BATCH : (run + 1) * BATCH]
        padded = pad_codes(asked, 1).view(np.uint8)
        theirs.append(seconds_of(lambda p=padded: flat.search(p, TOP)))
        by_tables.append(theirs[-1] / seconds_of(lambda a=asked: tables.search(a, TOP)))
        by_scan.append(theirs[-1] / seconds_of(lambda a=asked: scan.search(a, TOP)))
    note = f"FAISS {1e3 * statistics.median(theirs):.0f} ms"
    name = f"batch of 256 over {count:,} {shape} codes"
    return [
        Figure(name, statistics.median(by_tables), "x", BATCH_BARS[shape], note=note),
        Figure(f"{name}, scan alone", statistics.median(by_scan), "x", SCAN_BAR, note=note),
    ]


def latencies(index: Index, queries: Codes, is_over: Callable[[], bool]) -> NDArray[np.float64]:
    times = []
    while not is_over():
        for i in range(0, len(queries), 8):
            times.append(seconds_of(lambda i=i: index.search(queries[i : i + 1], TOP)))
    return np.array(times)


def growth(count: int, appended: int, rate: int, chunk: int = 270) -> Figure:
    """Return the 99th percentile of single queries while codes come in, a chunk a call."""
    codes, queries = gallery("clustered", count + appended)
    ids = frame_ids(len(codes))
    index = make_index("exact", BITS)
    index.add(ids[:count], codes[:count])
    index.compact()
    end = time.monotonic() + 3.0
    idle = float(np.percentile(latencies(index, queries, lambda: time.monotonic() > end), 99))

    def append() -> None:
        begun = time.monotonic()
        for start in range(count, len(codes), chunk):
            index.add(ids[start : start + chunk], codes[start : start + chunk])
            time.sleep(max(0.0, begun + (start + chunk - count) / rate - time.monotonic()))

    folds = index.status()["folds"]
    writer = threading.Thread(target=append)
    writer.start()
    times = latencies(index, queries, lambda: not writer.is_alive())
    index.close()
    folds = index.status()["folds"] - folds
    busy = float(np.percentile(times, 99))
    note = f"{1e3 * busy:.3f} ms against {1e3 * idle:.3f} idle; {folds} folds, {rate:,} codes/s"
    note += f"; largest {1e3 * times.max():.1f} ms"
    return Figure("p99 while growing, of max(5 x idle, 2 ms)", busy / max(5 * idle, 0.002), "x", 1.0, False, note)


def measured(options: argparse.Namespace) -> list[Figure]:
    figures = []
    if "single" not in options.skip:
        for shape, bar in SINGLE_BARS.items():
            figures += single_queries(shape, options.codes, bar)
        figures += single_queries("clustered", options.codes, 0.0, bits=64)
        figures.append(folding_memory(options.codes))
        if options.large:
            figures += single_queries("uniform", options.large, LARGE_BAR)
    if "batch" not in options.skip:
        for shape in BATCH_BARS:
            figures += batches(shape)
    if "growth" not in options.skip:
        figures.append(growth(options.codes, options.append, options.rate))
    return figures


def as_table(figures: list[Figure]) -> str:
    lines = ["| what | measured | bar | | |", "| --- | --- | --- | --- | --- |"]
    for figure in figures:
        bar = f"{'>=' if figure.is_minimum else '<='} {figure.bar:g}" if figure.bar else "none"
        met = "met" if figure.is_met else "MISSED"
        lines.append(f"| {figure.name} | {figure.value:.2f} {figure.unit} | {bar} | {met} | {figure.note} |")
    return "\n".join(lines)


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--codes", type=int, default=10_000_000, help="size of the gallery")
    parser.add_argument("--large", type=int, default=0, help="size of a further uniform gallery; 100000000 for the bar")
    parser.add_argument("--append", type=int, default=1_000_000, help="codes appended under `growth`")
    parser.add_argument("--rate", type=int, default=50_000, help="how many of them a second")
    parser.add_argument("--skip", type=lambda text: text.split(","), default=[], help="parts to leave out")
    parser.add_argument("--json", action="store_true", help="print the figures as JSON")
    options = parser.parse_args()
    faiss.omp_set_num_threads(1)
    figures = measured(options)
    print(
        json.dumps([asdict(figure) | {"is_met": figure.is_met} for figure in figures], indent=1)
        if options.json
        else as_table(figures)
    )
    return 0 if all(figure.is_met for figure in figures) else 1


if __name__ == "__main__":
    sys.exit(main())
