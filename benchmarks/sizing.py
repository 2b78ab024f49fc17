"""How much memory, disk and bandwidth a gallery of so many frames takes, worked out from measured figures.

    python -m benchmarks.sizing [FRAMES ...] [--bits 48|64] [--replicas 2] [--frames-a-video 1000]

Prints the table of docs/sizing.md. Nothing is measured here: every constant names the command that measures it.
"""

from __future__ import annotations

import argparse
from dataclasses import dataclass

# Measured: docs/gallery.md, by `python -m benchmarks.gallery`.
INDEX_BYTES = {48: 32.7, 64: 44.7}  # a code in memory, exact kind (search_bars)
FOLD_FACTOR = 2.1  # the same while a fold runs, 68.5 / 32.7 (search_bars)
QUERY_US = {10**7: 68.2, 10**8: 204.1}  # one uniform query of 48 bits, one thread (search_bars)
REDIS_BYTES = {48: 12.0, 64: 14.0}  # a frame with its share of all records (redis_memory; 64: two more a code)
SNAPSHOT_BYTES = {48: 36.1, 64: 48.1}  # a frame, 3.61 GB for 100 M (cold_start; 64: the index's 12 more)
ENCODE_CPU = 221.0  # pictures a second, one thread of onnxruntime (cpu_encoding)

# By arithmetic or allowance: what a record holds, and what is put on top.
TIME_BYTES = 4  # a frame's time in a searcher's columns (u32)
LOG_BYTES = 200  # one entry of the log, a chunk
MILVUS_BYTES = {48: 6 + 8, 64: 8 + 8}  # a row: code and frame id, before Milvus's own share
CHUNK_FRAMES = 600  # 10 minutes at one frame a second, the defaults
HEADROOM = 1.3  # an allowance for what is neither code nor time: the process, videos' records, buffers
SCALES = (10**7, 10**9, 10**11)


@dataclass(frozen=True)
class Need:
    """One line of the table: a name, the rule in words, and the value for each number of frames."""

    name: str
    rule: str
    values: list[str]


def size(count: float) -> str:
    """Return bytes in the unit that reads best.

    Example:
        >>> size(3.5 * 2**30), size(2**41)
        ('3.5 GiB', '2.0 TiB')
    """
    for unit, scale in (("TiB", 2**40), ("GiB", 2**30), ("MiB", 2**20), ("KiB", 2**10)):
        if count >= scale or unit == "KiB":
            amount = count / scale
            return f"{amount:.0f} {unit}" if amount >= 100 else f"{amount:.1f} {unit}"
    raise AssertionError


def needs(scales: list[int], bits: int, replicas: int) -> list[Need]:
    """Return what galleries of so many frames take."""

    def of(name: str, rule: str, bytes_a_frame: float) -> Need:
        return Need(name, rule, [size(bytes_a_frame * frames) for frames in scales])

    index, searcher = INDEX_BYTES[bits], (INDEX_BYTES[bits] + TIME_BYTES) * HEADROOM
    lines = [
        of("codes alone", f"{bits // 8} B", bits / 8),
        of("Redis, memory", f"{REDIS_BYTES[bits]:g} B", REDIS_BYTES[bits]),
        of("one searcher in memory", f"({index:g} + {TIME_BYTES}) B × {HEADROOM:g}", searcher),
        of("the same, peak while folding", f"{index:g} B × {FOLD_FACTOR:g}", index * FOLD_FACTOR),
        of(
            f"{replicas} searchers, disk for two snapshots each",
            f"{SNAPSHOT_BYTES[bits]:g} B × 2 × {replicas}",
            SNAPSHOT_BYTES[bits] * 2 * replicas,
        ),
        of("Milvus, rows", f"{MILVUS_BYTES[bits]} B", MILVUS_BYTES[bits]),
        of("a searcher before Milvus", f"{TIME_BYTES} B × {HEADROOM:g}", TIME_BYTES * HEADROOM),
    ]
    hours = [frames / ENCODE_CPU / 3600 for frames in scales]
    lines.append(
        Need("encoding, core-hours on a CPU", f"frames ÷ {ENCODE_CPU:g} a second", [f"{h:,.0f}" for h in hours])
    )
    days = [frames / (24 * 3600) for frames in scales]
    lines.append(Need("that many frames are", "1 frame a second", [f"{d:,.0f} days of video" for d in days]))
    return lines


def bandwidth(bits: int, frames_a_s: float, replicas: int) -> list[tuple[str, str, str]]:
    """Return what flows while frames are indexed: a name, the arithmetic, bytes a second."""
    record = TIME_BYTES + bits // 8
    log = LOG_BYTES / CHUNK_FRAMES
    into = frames_a_s * (record + log)
    return [
        ("workers → Redis", f"{frames_a_s:,.0f} × ({record} + {LOG_BYTES} ÷ {CHUNK_FRAMES}) B", size(into) + "/s"),
        (f"Redis → {replicas} searchers", "the same to each", size(into * replicas) + "/s"),
    ]


def table(scales: list[int], bits: int, replicas: int) -> str:
    """Return the table as Markdown."""
    head = (
        "| | arithmetic, a frame | "
        + " | ".join(f"{frames:.0e} frames".replace("e+0", "e").replace("e+", "e") for frames in scales)
        + " |"
    )
    rows = [f"| {n.name} | {n.rule} | " + " | ".join(n.values) + " |" for n in needs(scales, bits, replicas)]
    return "\n".join([head, "| --- | --- |" + " ---: |" * len(scales), *rows])


def flows(bits: int, replicas: int) -> str:
    """Return the bandwidths as Markdown: of one CPU core that encodes, and of a hundred GPUs' worth of it."""
    rows = []
    for name, rate in (("one core that encodes", ENCODE_CPU), ("100,000 frames a second", 100_000.0)):
        rows += [f"| {name}: {where} | {rule} | {value} |" for where, rule, value in bandwidth(bits, rate, replicas)]
    return "\n".join(["| | arithmetic | |", "| --- | --- | ---: |", *rows])


def main() -> None:
    """Print both tables."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("frames", nargs="*", type=float, default=SCALES, help="numbers of frames, e.g. 1e7 2.5e9")
    parser.add_argument("--bits", type=int, choices=sorted(INDEX_BYTES), default=48)
    parser.add_argument("--replicas", type=int, default=2)
    given = parser.parse_args()
    if min(given.frames) < 1 or given.replicas < 1:
        parser.error("frames and replicas are at least 1")
    print(table([int(frames) for frames in given.frames], given.bits, given.replicas))
    print()
    print(flows(given.bits, given.replicas))


if __name__ == "__main__":
    main()
