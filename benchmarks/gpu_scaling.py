"""A simulation of 1 to 64 GPUs from measured stage times: how fast an archive is encoded, and where the line bends.

    python -m benchmarks.gpu_scaling [--cores 16] [--gpu-rate 1500] [--hours 1000]
    python -m benchmarks.gpu_scaling --measure      measures the stage times of this machine anew

Stage times lie in benchmarks/stage_times.json, which --measure writes. The same arguments and times give the same
figures, everywhere: sizes of films are drawn with a fixed seed, and time is simulated. A table goes to standard output,
a plot to docs/images/gpu-scaling.svg (`pip install 'hashreel[bench]'`).

The model: a chunk goes to whichever decoder is free. Chunks in work advance together, as fast as what they share
allows: a decoder is one core; a GPU takes so many pictures a second; storage gives so many bytes a second to all; Redis
does one thing at a time, at the end of each chunk. What it leaves out: start-up, failures, differences between films
other than length, networks' latency, and Celery's messages, whose cost is in the stage times of a unit.
"""

from __future__ import annotations

import argparse
import json
import sys
from dataclasses import dataclass
from pathlib import Path

import numpy as np

TIMES = Path(__file__).with_name("stage_times.json")
PLOT = Path(__file__).parents[1] / "docs/images/gpu-scaling.svg"
GPUS = (1, 2, 4, 8, 16, 32, 64)
BENT = 0.9
"""Where a GPU more brings less than this share of what the first brings, the line is said to bend."""


@dataclass(frozen=True)
class Machine:
    """What is assumed of the machines.

    Attributes:
        cores: Decoders a GPU.
        gpu_rate: Pictures a second that a GPU computes; assumed, not measured.
        bit_rate: Bytes of a second of film.
        redis_s: Seconds of Redis a unit of work; measured.
        unit_s: Processor seconds of a worker a unit of work, beside its work; measured.
    """

    cores: int
    gpu_rate: float
    bit_rate: float
    redis_s: float
    unit_s: float


@dataclass(frozen=True)
class Load:
    """A kind of archive.

    Attributes:
        name: For people.
        decode_rate: Seconds of film that a core decodes in a second; measured.
        frames_rate: Key-frames a second of film.
        median_s: Length of the median film.
        storage: Gigabits a second that all sources together are read with; assumed.
        chunk_s: Longest chunk.
    """

    name: str
    decode_rate: float
    frames_rate: float
    median_s: float
    storage: float
    chunk_s: float = 600.0

    @property
    def storage_bytes(self) -> float:
        """Bytes a second of all storage."""
        return self.storage * 1e9 / 8

    def chunks(self, hours: float) -> np.ndarray:
        """Return the lengths in seconds of an archive's chunks, in the order of work, float64 [n]."""
        rng = np.random.default_rng(0)
        lengths: list[float] = []
        while sum(lengths) < hours * 3600:
            lengths += rng.lognormal(np.log(self.median_s), 0.6, 1000).tolist()
        count = int(np.searchsorted(np.cumsum(lengths), hours * 3600)) + 1
        parts = [min(self.chunk_s, length - start) for length in lengths[:count] for start in _starts(length, self)]
        return np.array(parts)


def _starts(length: float, load: Load) -> np.ndarray:
    return np.arange(0.0, length, load.chunk_s)


@dataclass(frozen=True)
class Outcome:
    """What a simulated run came to: film seconds a second, and how busy each resource was, 0 to 1."""

    rate: float
    busy: dict[str, float]


def simulate(chunks: np.ndarray, gpus: int, machine: Machine, load: Load) -> Outcome:
    """Run an archive through so many GPUs.

    Args:
        chunks: Seconds of film of each chunk, in the order in which they are taken.
        gpus: How many.
        machine: What each has, and what they share.
        load: Of which kind the archive is.
    """
    run = _Run(chunks, gpus, machine, load)
    while run.take() or run.is_working():
        run.advance()
    total, film_s = float(run.free_at.max()), float(chunks.sum())
    busy = {
        "decoders": film_s / load.decode_rate / (gpus * machine.cores * total),
        "GPUs": film_s * load.frames_rate / machine.gpu_rate / (gpus * total),
        "storage": film_s * machine.bit_rate / (load.storage_bytes * total),
        "Redis": len(chunks) * machine.redis_s / total,
    }
    return Outcome(film_s / total, busy)


class _Run:
    """The decoders of all GPUs at one moment: what each has left to decode, or when it is free again."""

    def __init__(self, chunks: np.ndarray, gpus: int, machine: Machine, load: Load) -> None:
        self.chunks, self.gpus, self.machine, self.load = chunks, gpus, machine, load
        slots = gpus * machine.cores
        self.owner = np.repeat(np.arange(gpus), machine.cores)
        self.left, self.free_at, self.working = np.zeros(slots), np.zeros(slots), np.zeros(slots, bool)
        self.now = self.redis_free_at = 0.0
        self.taken = 0

    def is_working(self) -> bool:
        """Return whether a chunk is in work."""
        return bool(self.working.any())

    def take(self) -> bool:
        """Give chunks to the decoders that are free; return whether some are left for those that will be."""
        free = np.flatnonzero(~self.working & (self.free_at <= self.now))[: len(self.chunks) - self.taken]
        self.left[free] = self.chunks[self.taken : self.taken + len(free)]
        self.working[free] = True
        self.taken += len(free)
        return self.taken < len(self.chunks)

    def advance(self) -> None:
        """Go on to the next moment at which a chunk is decoded or a decoder is free."""
        speed = _speeds(self.working, self.owner, self.gpus, self.machine, self.load)
        with np.errstate(divide="ignore", invalid="ignore"):
            ends = self.now + np.where(self.working, self.left / speed, np.inf).min()
        waits = self.free_at[~self.working & (self.free_at > self.now)]
        has_more = self.taken < len(self.chunks)
        until = min(ends, waits.min()) if len(waits) and has_more else ends
        self.left -= speed * (until - self.now)
        self.now = until
        for slot in np.flatnonzero(self.working & (self.left <= 1e-6)):
            # Redis does one thing after the other; the rest of a unit's bookkeeping is the worker's own.
            self.redis_free_at = max(self.redis_free_at, self.now) + self.machine.redis_s
            self.free_at[slot] = self.redis_free_at + self.machine.unit_s
            self.working[slot] = False


def _speeds(working: np.ndarray, owner: np.ndarray, gpus: int, machine: Machine, load: Load) -> np.ndarray:
    """Return how many seconds of film each decoder gets through in a second, float64 [slots]."""
    per_gpu = np.bincount(owner, weights=working, minlength=gpus)
    wanted = per_gpu * load.decode_rate * load.frames_rate
    by_gpu = np.minimum(1.0, machine.gpu_rate / np.maximum(wanted, 1e-12))
    speed = working * load.decode_rate * by_gpu[owner]
    read = float(speed.sum()) * machine.bit_rate
    return speed * min(1.0, load.storage_bytes / read) if read else speed


def main() -> int:
    """Simulate, print, and return the exit code."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--cores", type=int, default=16, help="cores, and decoders, a GPU")
    parser.add_argument("--gpu-rate", type=float, default=1500.0, help="pictures a second that a GPU computes; assumed")
    parser.add_argument("--bit-rate", type=float, default=5.0, help="megabits of a second of film")
    parser.add_argument("--hours", type=float, default=1000.0, help="film in the archive")
    parser.add_argument("--measure", action="store_true", help="measure the stage times of this machine first")
    parser.add_argument("--no-plot", action="store_true")
    options = parser.parse_args()
    if options.measure:
        from benchmarks.encoding.stage_times import measure

        TIMES.write_text(json.dumps(measure(), indent=2) + "\n")
    if not TIMES.exists():
        parser.error(f"there are no stage times yet ({TIMES.name}); measure them with --measure, on an idle machine")
    times = json.loads(TIMES.read_text())
    machine = Machine(
        cores=options.cores,
        gpu_rate=options.gpu_rate,
        bit_rate=options.bit_rate * 1e6 / 8,
        redis_s=times["redis_ms_a_unit"] / 1000,
        unit_s=times["worker_ms_a_unit"] / 1000,
    )
    lines = {load.name: simulate_line(load, machine, options.hours) for load in loads(times)}
    if not options.no_plot:
        draw(lines)
    return 0


def loads(times: dict[str, float]) -> list[Load]:
    """Return the archives that are tried."""
    every, codec = times["every_1s_1080p"], times["codec_1080p"]
    return [
        Load("films, a frame each second, 10 Gbit/s", every, 1.0, 2700.0, 10.0),
        Load("films, a frame each second, 100 Gbit/s", every, 1.0, 2700.0, 100.0),
        Load("clips of 30 s, a frame each second, 100 Gbit/s", every, 1.0, 30.0, 100.0),
        Load("films, codec key-frames, 100 Gbit/s", codec, 0.1, 2700.0, 100.0),
    ]


def simulate_line(load: Load, machine: Machine, hours: float) -> list[Outcome]:
    """Run one archive through every number of GPUs, and print what comes out."""
    chunks = load.chunks(hours)
    outcomes = [simulate(chunks, gpus, machine, load) for gpus in GPUS]
    print(f"{load.name}: {len(chunks)} chunks, {chunks.sum() / 3600:.0f} hours")
    print("   GPUs   hours of film an hour   of the first's share   busy")
    for gpus, outcome in zip(GPUS, outcomes, strict=True):
        share = outcome.rate / (gpus * outcomes[0].rate)
        busy = ", ".join(f"{name} {100 * value:.0f} %" for name, value in outcome.busy.items())
        print(f"  {gpus:5}   {outcome.rate:21.0f}   {100 * share:18.0f} %   {busy}")
    print(f"  {bend(outcomes)}\n", flush=True)
    return outcomes


def bend(outcomes: list[Outcome]) -> str:
    """Say where the line bends, and what is busiest there."""
    for before, gpus, outcome in zip((None, *outcomes), GPUS, outcomes, strict=False):
        if before is not None and outcome.rate / before.rate < 2 * BENT:
            name, value = max(outcome.busy.items(), key=lambda item: item[1])
            cause = f"{name} {100 * value:.0f} % busy" if value >= BENT else "too few chunks for so many decoders"
            return f"bends between {gpus // 2} and {gpus} GPUs: {cause}"
    return f"straight up to {GPUS[-1]} GPUs"


def draw(lines: dict[str, list[Outcome]]) -> None:
    """Write the plot."""
    import matplotlib

    matplotlib.use("svg")
    matplotlib.rcParams.update({"svg.hashsalt": "hashreel", "svg.fonttype": "none", "font.size": 11})
    from matplotlib import pyplot

    figure, axes = pyplot.subplots(figsize=(7, 5.2))
    for (name, outcomes), marker in zip(lines.items(), "os^d", strict=True):
        axes.plot(GPUS, [outcome.rate for outcome in outcomes], marker=marker, label=name)
        ideal = [outcomes[0].rate * gpus for gpus in GPUS]
        axes.plot(GPUS, ideal, color=axes.lines[-1].get_color(), linewidth=0.8, linestyle=":")
    axes.set(xscale="log", yscale="log", xlabel="GPUs", ylabel="hours of film an hour", xticks=GPUS)
    axes.set_xticklabels([str(gpus) for gpus in GPUS])
    axes.minorticks_off()
    axes.grid(alpha=0.3)
    axes.legend(title="dotted: without any bend", loc="upper center", bbox_to_anchor=(0.5, -0.14), ncols=2, fontsize=9)
    figure.tight_layout()
    figure.savefig(PLOT, bbox_inches="tight", metadata={"Date": None})


if __name__ == "__main__":
    sys.exit(main())
