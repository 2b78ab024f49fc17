"""What watch-lists cost a worker: comparing a chunk with all watches of its collection.

    python -m benchmarks.watches [--frames 600] [--bits 48] [--repeats 20]

A chunk of ten minutes at a frame a second has 600 frames. The radius is so small that few frames match, as is usual.
"""

from __future__ import annotations

import argparse
import time

import numpy as np

from encoder.codes import num_code_bytes
from indexer.chunks import Chunk
from indexer.watch_table import WatchEntry, WatchTable

FINGERPRINT = "ab" * 32


def median_ms(watches: int, frames: int, bits: int, repeats: int) -> float:
    """Return the median time of a comparison, in ms."""
    rng = np.random.default_rng(0)

    def codes(count: int) -> np.ndarray:
        return rng.integers(0, 256, (count, num_code_bytes(bits)), dtype=np.uint8)

    chunk = Chunk(np.arange(frames, dtype=np.uint32), codes(frames), None, bits, FINGERPRINT)
    table = WatchTable("t", tuple(WatchEntry(f"{number:012x}", codes(1), bits // 8) for number in range(watches)))
    seconds = []
    for _ in range(repeats):
        begun = time.perf_counter()
        table.match(chunk)
        seconds.append(time.perf_counter() - begun)
    return 1000 * float(np.median(seconds))


def main() -> None:
    """Print a line for each number of watches."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else "")
    parser.add_argument("--frames", type=int, default=600)
    parser.add_argument("--bits", type=int, default=48, choices=range(8, 257, 8), metavar="BITS")
    parser.add_argument("--repeats", type=int, default=20)
    arguments = parser.parse_args()
    print(f"{'watches':>8} {'ms a chunk':>11}   ({arguments.frames} frames of {arguments.bits} bits)")
    for watches in (1, 10, 100, 500):
        spent = median_ms(watches, arguments.frames, arguments.bits, arguments.repeats)
        print(f"{watches:>8} {spent:>11.2f}")


if __name__ == "__main__":
    main()
