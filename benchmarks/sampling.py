"""When a seek for every step is cheaper than decoding through: the rule of ``encoder.video``, measured.

    python -m benchmarks.sampling [--seconds 120] [--runs 5] [--size 1920x1080]

A film with a codec key-frame every 26 frames of 25 a second, so that steps fall anywhere between two of them, is
sampled at longer and longer steps: decoding through, with a seek for each step, and as the reader does it, which seeks
as soon as a step passes SHORT_GOPS codec key-frames. Medians of processor seconds over interleaved runs. Exits 1 if the
reader takes more than 1.5 times the cheaper of both at some step. A small run shows that all works: --seconds 20
--runs 1 --size 320x180.
"""

from __future__ import annotations

import argparse
import statistics
import sys
import tempfile
import time
from pathlib import Path

from encoder import video
from encoder.clips import generate_clip
from encoder.policies import Every
from encoder.video import iter_key_frames

STEPS_S = (0.5, 1.0, 2.0, 3.0, 4.0, 6.0, 10.0)
FPS, GOP = 25, 26
SIDE = 224
MOST = 1.5
NEVER, ALWAYS = 2**31, 0


def main() -> int:
    """Measure, print, and return the exit code."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seconds", type=float, default=120.0, help="length of the film")
    parser.add_argument("--runs", type=int, default=5)
    parser.add_argument("--size", default="1920x1080")
    options = parser.parse_args()
    width, height = (int(part) for part in options.size.split("x"))
    worst = 0.0
    with tempfile.TemporaryDirectory() as name:
        film = Path(name) / "film.mp4"
        generate_clip(film, seed=1, seconds=options.seconds, size=(width, height), fps=FPS, shots=1, gop=GOP)
        print(f"{options.size}, {options.seconds:g} s; processor seconds, by number of codec key-frames a step")
        print("  step s  key-frames  through    seek  reader")
        for step_s in STEPS_S:
            through, seek, reader = seconds_of_each(film, step_s, options.runs)
            worst = max(worst, reader / min(through, seek))
            print(f"{step_s:8g} {step_s * FPS / GOP:11.1f} {through:8.3f} {seek:7.3f} {reader:7.3f}")
    print(f"the reader takes at most {worst:.2f} times the cheaper (at most {MOST:g}: {told(worst <= MOST)})")
    return 0 if worst <= MOST else 1


def told(is_met: bool) -> str:
    """Return the words for it."""
    return "met" if is_met else "MISSED"


def seconds_of_each(film: Path, step_s: float, runs: int) -> list[float]:
    """Return the processor seconds of decoding through, of seeking, and of the reader."""
    found: dict[int, list[float]] = {NEVER: [], ALWAYS: [], video.SHORT_GOPS: []}
    for _ in range(runs):
        for rule, seconds in found.items():
            seconds.append(seconds_of(film, step_s, rule))
    return [statistics.median(seconds) for seconds in found.values()]


def seconds_of(film: Path, step_s: float, rule: int) -> float:
    """Return the processor seconds of sampling a film, seeking from ``rule`` key-frames a step on."""
    before, video.SHORT_GOPS = video.SHORT_GOPS, rule
    begun = time.process_time()
    try:
        for _ in iter_key_frames(film, Every(step_s), short_side=SIDE):
            pass
    finally:
        video.SHORT_GOPS = before
    return time.process_time() - begun


if __name__ == "__main__":
    sys.exit(main())
