"""Bar: codec key-frames against full decoding of a 1080p film; and what every policy takes, by number of processes.

    python -m benchmarks.decoding [--seconds 60] [--runs 5] [--processes 1 2]

The films are made by command: H.264, 25 frames a second, 250 frames from one codec key-frame to the next, 1920 × 1080
and 640 × 360. Full decoding is PyAV's own, one thread, nothing done with the frames; codec key-frames come through the
project's reader, converted and scaled for a network of 224 pixels, in turn with it. Then policies by number of
processes, each of which decodes the film once: seconds of film a second of wall time, all processes together. A small
run shows that all works: --seconds 10 --runs 1. Exits 1 where key-frames are less than 12 times as fast.
"""

from __future__ import annotations

import argparse
import multiprocessing
import statistics
import sys
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import av

from benchmarks.encoding.clips import decode_bound_clip
from encoder.policies import parse_policy
from encoder.video import iter_key_frames

LEAST_RATIO = 12.0
SIZES = ((1920, 1080), (640, 360))
POLICIES: tuple[dict[str, Any], ...] = ({"kind": "every", "seconds": 1.0}, {"kind": "codec"}, {"kind": "scenes"})
SIDE = 224


def main() -> int:
    """Measure, print, and return the exit code."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seconds", type=float, default=60.0, help="length of the films")
    parser.add_argument("--runs", type=int, default=5)
    parser.add_argument("--processes", type=int, nargs="+", default=[1, 2])
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as name:
        films = [decode_bound_clip(Path(name), seconds=options.seconds, size=size) for size in SIZES]
        ratio = key_frame_ratio(films[0], options.runs)
        for film, size in zip(films, SIZES, strict=True):
            by_policy(film, size, options.seconds, options.processes, options.runs)
    is_met = ratio >= LEAST_RATIO
    print(f"codec key-frames / full decoding: {ratio:.1f} (bar: at least {LEAST_RATIO:g}: {told(is_met)})")
    return 0 if is_met else 1


def told(is_met: bool) -> str:
    """Return the words for it."""
    return "met" if is_met else "MISSED"


def key_frame_ratio(film: Path, runs: int) -> float:
    """Return how many times as fast codec key-frames are as decoding every frame, the median over runs."""
    ratios = []
    for _ in range(runs):
        full_s = timed(lambda: decode_fully(film))
        ratios.append(full_s / timed(lambda: key_frames(str(film), {"kind": "codec"})))
    return statistics.median(ratios)


def timed(work: Any) -> float:
    """Return the seconds that a call takes."""
    begun = time.perf_counter()
    work()
    return time.perf_counter() - begun


def decode_fully(film: Path) -> int:
    """Decode every frame with one thread; return their number."""
    with av.open(str(film)) as container:
        stream = container.streams.video[0]
        stream.codec_context.thread_type, stream.codec_context.thread_count = "NONE", 1
        return sum(1 for _ in container.decode(stream))


def key_frames(film: str, policy: dict[str, Any]) -> int:
    """Decode a film by a policy; return the number of key-frames."""
    return sum(1 for _ in iter_key_frames(film, parse_policy(policy), short_side=SIDE))


def by_policy(film: Path, size: tuple[int, int], seconds: float, processes: Sequence[int], runs: int) -> None:
    """Print seconds of film a second of wall time, for every policy and number of processes."""
    print(f"{size[0]} × {size[1]}: seconds of film a second, by processes {', '.join(map(str, processes))}")
    for policy in POLICIES:
        rates = [seconds * count / median_s(film, policy, count, runs) for count in processes]
        scaling = " ".join(f"{rate / rates[0]:.2f}×" for rate in rates[1:])
        print(f"  {policy['kind']:8}" + "".join(f"{rate:10.1f}" for rate in rates) + f"   {scaling}", flush=True)


def median_s(film: Path, policy: dict[str, Any], processes: int, runs: int) -> float:
    """Return the median seconds in which so many processes decode the film once each."""
    # A fork would inherit locks of whatever threads the libraries have.
    with multiprocessing.get_context("spawn").Pool(processes) as pool:
        work = [(str(film), policy)] * processes
        pool.starmap(key_frames, work, chunksize=1)
        return statistics.median(timed(lambda: pool.starmap(key_frames, work, chunksize=1)) for _ in range(runs))


if __name__ == "__main__":
    sys.exit(main())
