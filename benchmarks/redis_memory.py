"""Redis memory a frame: 1,000 videos of 1,000 key-frames with all their records (exit code 1 on a miss).

    python benchmarks/redis_memory.py [--videos 1000] [--frames 1000]

Videos are registered, planned and committed through the same calls as by workers, ten minutes a chunk; then
the log is trimmed and the job's records expire, as they do in service. Codes are of 48 bits, with and without
masks and areas of 11 concepts.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import numpy as np

from hashreel.stack import redis_program
from indexer.chunks import Chunk
from indexer.records import NewVideo
from indexer.store import Store, connect

FINGERPRINT = "ab" * 32
BITS, CHUNK_FRAMES = 48, 600
BARS = {False: 20.0, True: 24.0}


def fill(store: Store, videos: int, frames: int, has_concepts: bool) -> None:
    """Store the videos of one job."""
    rng = np.random.default_rng(0)
    generation = store.ensure_collection("main", model="itq48-lite0", fingerprint=FINGERPRINT, bits=BITS)
    store.redis.hset(store.keys.job("a1b2c3d4e5f6"), mapping={"created_at": 1.0, "finished_at": 1.0})
    store.redis.zadd(store.keys.jobs, {"a1b2c3d4e5f6": 1.0})
    for number in range(videos):
        name = f"archive/2024/channel-{number % 7}/programme-{number:06}.mp4"
        new = NewVideo(
            source=name,
            path=f"/srv/{name}",
            policy={"kind": "every", "seconds": 1.0},
            tags={"case": str(number % 50)},
            size=123_456_789,
            modified_ns=time.time_ns(),
            content=f"{number:032x}",
        )
        video = store.register(generation.id, "a1b2c3d4e5f6", [new])[0]
        starts = list(range(0, frames, CHUNK_FRAMES))
        facts: dict[str, str | int] = {
            "chunks": len(starts),
            "bounds": json.dumps([1000 * start for start in starts]),
            "duration_ms": 1000 * frames,
            "width": 1920,
            "height": 1080,
            "codec": "h264",
            "sha256": f"{number:064x}",
        }
        store.plan(video, facts)
        for place, start in enumerate(starts):
            count = min(CHUNK_FRAMES, frames - start)
            times = (1000 * np.arange(start, start + count)).astype(np.uint32)
            codes = rng.integers(0, 256, (count, BITS // 8), dtype=np.uint8)
            concepts = rng.integers(0, 2**11, count, dtype=np.uint32) if has_concepts else None
            areas = rng.integers(0, 16, (count, 11), dtype=np.uint8) if has_concepts else None
            chunk = Chunk(times, codes, concepts, BITS, FINGERPRINT, areas)
            store.commit(video, place, chunk, seconds=(1.5, 2.5, 0.01))
    store.trim_log(generation.id, 1000)
    store.forget_jobs(60)


def bytes_a_frame(videos: int, frames: int, has_concepts: bool) -> float:
    """Return the growth of used_memory over an empty server, divided by the number of frames."""
    with tempfile.TemporaryDirectory(prefix="hr-") as folder:
        socket = f"{folder}/r.sock"
        command = [redis_program(), "--port", "0", "--unixsocket", socket, "--save", "", "--dir", folder]
        server = subprocess.Popen(command, stdout=subprocess.DEVNULL)
        try:
            while not Path(socket).exists():
                time.sleep(0.01)
            store = Store(connect(f"unix://{socket}?db=0"))
            before = store.redis.info("memory")["used_memory"]
            fill(store, videos, frames, has_concepts)
            after = store.redis.info("memory")["used_memory"]
            store.redis.close()
            return float(after - before) / (videos * frames)
        finally:
            server.terminate()
            server.wait()


def main() -> int:
    """Measure, print a table, and return the exit code."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--videos", type=int, default=1000)
    parser.add_argument("--frames", type=int, default=1000)
    arguments = parser.parse_args()
    missed = 0
    print(f"{arguments.videos} videos of {arguments.frames} key-frames, {BITS} bits\n")
    print("| stored | bytes a frame | bar | |\n| --- | --- | --- | --- |")
    for has_concepts, bar in BARS.items():
        found = bytes_a_frame(arguments.videos, arguments.frames, has_concepts)
        missed += found > bar
        what = "codes, 11 concepts with their areas" if has_concepts else "codes"
        print(f"| {what} | {found:.1f} | ≤ {bar:.0f} | {'met' if found <= bar else 'MISSED'} |")
    return 1 if missed else 0


if __name__ == "__main__":
    sys.exit(main())
