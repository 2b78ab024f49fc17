"""Bars: real video end to end through Celery against the bare network; Celery and Redis; two processes against one.

    python -m benchmarks.encoding [--frames 240] [--videos 8] [--seconds 60] [--runs 5]

Films are made by command. In turn with a load of films whose codec key-frames keep the network busy, the same network
runs alone, in this process, on frames that are decoded already; workers have one network thread and one decoder a
process. The cost of Celery and Redis is that of units with next to no work (folders of one small picture), in
processor seconds of workers and Redis, against the processor seconds of the load. A load of 1080p films is limited by
decoding: a hundred frames are decoded for each that the network sees; one process is compared with two. Rates are
medians. `--only` measures one of the two; `--sizes` measures which processes, network threads and decoders suit this
machine instead. A small run shows that all works:
--frames 30 --videos 2 --seconds 4 --runs 1. Exits 1 on a miss. Measure on an idle machine.
"""

from __future__ import annotations

import argparse
import statistics
import sys
import tempfile
import time
from pathlib import Path

import numpy as np

from benchmarks.encoding.clips import copies, decode_bound_clip, network_bound_clip
from benchmarks.encoding.small import small_pictures
from benchmarks.encoding.stack import Load, Stack, open_stack
from encoder.model import Model, load_model
from encoder.policies import CodecKeyFrames
from encoder.video import iter_key_frames

LEAST_SHARE, MOST_OVERHEAD, LEAST_SCALING = 0.85, 0.02, 1.7
CODEC, EVERY, SPARSE = {"kind": "codec"}, {"kind": "every", "seconds": 1.0}, {"kind": "every", "seconds": 4.0}
SHORT = 15
"""Key-frames of a short clip, whose opening, planning and committing count."""
SIZES = [(1, 1, 1), (1, 2, 1), (1, 1, 2), (1, 2, 2), (1, 2, 3), (2, 1, 1), (2, 1, 2), (2, 2, 2)]
"""(processes, network threads, decoders) that are tried."""


def main() -> int:
    """Measure, print, and return the exit code."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--model", default="default")
    parser.add_argument("--frames", type=int, default=240, help="key-frames of a film that keeps the network busy")
    parser.add_argument("--videos", type=int, default=8, help="films of a load")
    parser.add_argument("--seconds", type=float, default=60.0, help="length of a 1080p film")
    parser.add_argument("--runs", type=int, default=5)
    parser.add_argument("--only", choices=["network", "processes"], help="the bars of the network, or of two processes")
    parser.add_argument("--sizes", action="store_true", help="compare processes, threads and decoders instead")
    options = parser.parse_args()
    model = load_model(options.model, device="cpu", threads=1)
    with open_stack(model) as stack, tempfile.TemporaryDirectory() as name:
        clips = [network_bound_clip(Path(name), frames=options.frames, seed=seed) for seed in (0, 1)]
        copies(clips, stack.folder / "clips/light", options.videos)
        heavy = decode_bound_clip(Path(name), seconds=options.seconds)
        copies([heavy], stack.folder / "clips/heavy", max(2, options.videos // 2 * 2))
        if options.sizes:
            short = network_bound_clip(Path(name), frames=SHORT, seed=2)
            copies([short], stack.folder / "clips/short", options.videos * options.frames // SHORT)
            compare_sizes(stack, options.runs)
            return 0
        small_pictures(stack.folder / "clips/small")
        results: list[bool] = []
        if options.only != "processes":
            results += against_the_network(stack, model, clips[0], options.runs)
        if options.only != "network":
            results.append(two_processes(stack, options.runs))
    return 0 if all(results) else 1


def decoded_frames(model: Model, clip: Path) -> np.ndarray:
    """Return the network's inputs of a film's codec key-frames, uint8 [n, s, s, 3]."""
    frames = iter_key_frames(clip, CodecKeyFrames(), short_side=model.transform.size)
    return np.concatenate([model.prepare(frame.image) for frame in frames])


def bare_rate(model: Model, pixels: np.ndarray, frames: int) -> float:
    """Return pictures a second of the network alone, over about as many pictures as a load has."""
    rounds = max(1, frames // len(pixels))
    begun = time.perf_counter()
    for _ in range(rounds):
        model.runtime.run(pixels)
    return rounds * len(pixels) / (time.perf_counter() - begun)


def against_the_network(stack: Stack, model: Model, clip: Path, runs: int) -> list[bool]:
    """Compare a load with the bare network, and with the cost of units without work; return what was met."""
    pixels = decoded_frames(model, clip)
    bare, loads = [], []
    with stack.workers() as worker:
        frames = stack.run(worker, "light", CODEC).frames
        bare_rate(model, pixels, frames)
        for _ in range(runs):
            bare.append(bare_rate(model, pixels, frames))
            loads.append(stack.run(worker, "light", CODEC))
        stack.run(worker, "small", CODEC)
        idle = min((stack.run(worker, "small", CODEC) for _ in range(3)), key=cpu_s)
    share = statistics.median(load.rate / rate for load, rate in zip(loads, bare, strict=True))
    print(
        f"bare network {statistics.median(bare):.1f} frames/s, end to end "
        f"{statistics.median(load.rate for load in loads):.1f}, {loads[0].frames} frames in {loads[0].units} units"
    )
    return [
        told("end to end / bare network", share, share >= LEAST_SHARE, f"at least {LEAST_SHARE}"),
        overhead(loads, idle, statistics.median(bare)),
    ]


def overhead(loads: list[Load], idle: Load, bare: float) -> bool:
    """Print what Celery and Redis cost; return whether that is little enough."""
    # The network's own part of the units without work is taken off; opening their pictures is not.
    per_unit = max(0.0, cpu_s(idle) - idle.frames / bare) / idle.units
    share = statistics.median(per_unit * load.units / cpu_s(load) for load in loads)
    redis_ms = 1000 * idle.redis_cpu_s / idle.units
    print(f"a unit of work costs {1000 * per_unit:.2f} ms of CPU beside its work, {redis_ms:.2f} ms of it in Redis")
    print(f"units without work: {idle.units / idle.wall_s:.0f} a second through one process")
    return told("Celery and Redis", share, share < MOST_OVERHEAD, f"below {MOST_OVERHEAD}")


def cpu_s(load: Load) -> float:
    """Return the processor seconds of workers and Redis."""
    return load.workers_cpu_s + load.redis_cpu_s


def two_processes(stack: Stack, runs: int) -> bool:
    """Compare one worker process with two where decoding is the limit; return whether two are worth it."""
    rates: dict[int, list[float]] = {1: [], 2: []}
    for _ in range(max(1, runs // 2)):
        for processes, found in rates.items():
            with stack.workers(processes=processes) as worker:
                stack.run(worker, "heavy", SPARSE)
                found.append(stack.run(worker, "heavy", SPARSE).rate)
    one, two = (statistics.median(found) for found in rates.values())
    print(f"1080p, a frame each four seconds: one process {one:.2f} frames/s, two {two:.2f}")
    return told("two processes / one", two / one, two / one >= LEAST_SCALING, f"at least {LEAST_SCALING}")


def compare_sizes(stack: Stack, runs: int) -> None:
    """Print rates and memory for ways to share the machine out."""
    print("processes  threads  decoders   network-bound  short clips   decode-bound   memory MiB")
    loads = [("light", CODEC), ("short", CODEC), ("heavy", EVERY)]
    for processes, threads, decoders in SIZES:
        with stack.workers(processes=processes, threads=threads, decoders=decoders) as worker:
            light, short, heavy = (
                statistics.median(stack.run(worker, source, policy).rate for _ in range(runs + 1))
                for source, policy in loads
            )
            memory = stack.memory(worker) / 2**20
        rates = f"{light:12.1f}/s {short:10.1f}/s {heavy:12.2f}/s"
        print(f"{processes:9}  {threads:7}  {decoders:8}  {rates}  {memory:10.0f}", flush=True)


def told(what: str, value: float, is_met: bool, bar: str) -> bool:
    """Print a figure with its bar; return whether it was met."""
    print(f"{what}: {value:.4g} (bar: {bar}: {'met' if is_met else 'MISSED'})", flush=True)
    return is_met


if __name__ == "__main__":
    sys.exit(main())
