"""Searching over HTTP while a large gallery grows (exit code 1 on a miss).

    python -m benchmarks.freshness [--videos 10000] [--grow 1000]

A real Redis holds VIDEOS x 1,000 frames; `hashreel serve` follows its log. One connection asks for the 10 nearest
frames of random codes, in turns while nothing happens and while another process commits a fifth of GROW x 1,000
frames at the pace of a fleet of encoders (--rate frames a second), which takes the index through at least one merge.
The ratio of the 99th percentiles is the median of the five turns. Meanwhile frames with known codes are committed
now and then, and looked for until they are found.
"""

from __future__ import annotations

import argparse
import json
import multiprocessing
import os
import signal
import statistics
import subprocess
import sys
import tempfile
import time
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any

import httpx
import numpy as np

from benchmarks.codes import clustered
from encoder.model_files import read_manifest, resolve_model
from hashreel.processes import python_command
from hashreel.stack import free_port, redis_program
from indexer.chunks import Chunk
from indexer.records import NewVideo
from indexer.store import Store, connect

FRAMES, CHUNK = 1000, 500
TURNS, IDLE_QUERIES, BUSY_QUERIES = 5, 1500, 100
BAR_RATIO, BAR_SEEN_S = 3.0, 1.0


def commit_video(store: Store, generation: str, codes: np.ndarray, fingerprint: str, bits: int) -> int:
    """Store one video of ``len(codes)`` frames, a second apart."""
    new = NewVideo(source="archive/clip.mp4", path="/srv/archive/clip.mp4")
    video = store.register(generation, "bench", [new])[0]
    starts = range(0, len(codes), CHUNK)
    store.plan(video, {"chunks": len(starts), "bounds": json.dumps([1000 * start for start in starts])})
    for place, start in enumerate(starts):
        part = np.ascontiguousarray(codes[start : start + CHUNK])
        times = (1000 * np.arange(start, start + len(part))).astype(np.uint32)
        store.commit(video, place, Chunk(times, part, None, bits, fingerprint))
    return video


@dataclass(frozen=True)
class Target:
    """Where videos are committed to."""

    url: str
    generation: str
    fingerprint: str
    bits: int

    def commit(self, store: Store, codes: np.ndarray) -> int:
        return commit_video(store, self.generation, codes, self.fingerprint, self.bits)


def grow(target: Target, turns: int, videos: int, rate: float, pipe: Connection) -> None:
    """Commit videos at a pace of ``rate`` frames a second each time that the other end asks for it."""
    store = Store(connect(target.url))
    codes, _ = clustered(turns * videos * FRAMES, target.bits, seed=1)
    for turn in np.split(codes, turns):
        pipe.send("ready")
        pipe.recv()
        begun = time.monotonic()
        for number, part in enumerate(np.split(turn, videos)):
            target.commit(store, part)
            time.sleep(max(0.0, begun + (number + 1) * FRAMES / rate - time.monotonic()))
    pipe.send("over")


def ask(client: httpx.Client, code: str, **options: object) -> tuple[float, dict[str, object]]:
    """Return the seconds that one search took, and its answer."""
    body = {"query": {"code": code}, "top": 10, **options}
    begun = time.perf_counter()
    reply = client.post("/v1/search", json=body)
    seconds = time.perf_counter() - begun
    reply.raise_for_status()
    return seconds, reply.json()


def latencies_ms(client: httpx.Client, queries: np.ndarray) -> np.ndarray:
    """Return the latency of each query."""
    return np.array([1000 * ask(client, query.tobytes().hex())[0] for query in queries])


def seconds_until_seen(client: httpx.Client, store: Store, target: Target) -> float:
    """Commit a frame with a code of its own and return how long it took until a search showed it."""
    code = np.frombuffer(os.urandom(target.bits // 8), np.uint8)[None]
    begun = time.perf_counter()
    video = target.commit(store, code)
    while True:
        _, answer = ask(client, code.tobytes().hex(), radius=0, consistency="eventual", videos=[video])
        if answer["hits"]:
            return time.perf_counter() - begun


def wait_for(url: str, process: subprocess.Popen[bytes]) -> None:
    """Return when the service is ready and its index has taken its final form."""
    while True:
        if process.poll() is not None:
            raise SystemExit(f"the service ended with {process.returncode}")
        try:
            with urllib.request.urlopen(f"{url}/v1/index", timeout=60) as reply:
                status = json.load(reply)
            details = status["details"]
            if not details.get("folding") and not details.get("upgrading") and not status["lag"]:
                return
        except OSError:
            pass
        time.sleep(0.5)


@contextmanager
def redis_server(folder: str) -> Iterator[str]:
    """Run a Redis without persistence; yield its URL."""
    socket = Path(folder) / "r.sock"
    command = [redis_program(), "--port", "0", "--unixsocket", str(socket), "--save", "", "--dir", folder]
    server = subprocess.Popen(command, stdout=subprocess.DEVNULL)
    try:
        while not socket.exists():
            time.sleep(0.01)
        yield f"unix://{socket}?db=0"
    finally:
        server.terminate()
        server.wait()


@contextmanager
def service(folder: str, redis_url: str) -> Iterator[httpx.Client]:
    """Run `hashreel serve` until its index stands; yield a client of it."""
    port = free_port("127.0.0.1")
    environment = {**os.environ, "HASHREEL_REDIS_URL": redis_url, "HASHREEL_DATA": folder}
    command = python_command("serve", "--port", str(port))
    process = subprocess.Popen(command, env=environment, stderr=subprocess.DEVNULL)
    try:
        wait_for(f"http://127.0.0.1:{port}", process)
        with httpx.Client(base_url=f"http://127.0.0.1:{port}", trust_env=False, timeout=60) as client:
            yield client
    finally:
        process.send_signal(signal.SIGTERM)
        process.wait(30)


def measured(
    client: httpx.Client, target: Target, turns: int, videos: int, rate: float
) -> tuple[list[np.ndarray], list[np.ndarray], list[float]]:
    """Return latencies in ms of each turn, idle and growing, and the seconds until new frames were found."""
    store = Store(connect(target.url))
    _, queries = clustered(27_000, target.bits, queries=IDLE_QUERIES)
    latencies_ms(client, queries[:500])
    ours, theirs = multiprocessing.Pipe()
    writer = multiprocessing.get_context("spawn").Process(target=grow, args=(target, turns, videos, rate, theirs))
    writer.start()
    idle, busy, seen = [], [], []
    while ours.recv() == "ready":
        idle.append(latencies_ms(client, queries))
        ours.send("go")
        batches = []
        while not ours.poll():
            batches.append(latencies_ms(client, np.roll(queries, -len(batches) * BUSY_QUERIES, axis=0)[:BUSY_QUERIES]))
            seen.append(seconds_until_seen(client, store, target))
        busy.append(np.concatenate(batches))
    writer.join()
    return idle, busy, seen


def report(idle: list[np.ndarray], busy: list[np.ndarray], seen: list[float]) -> bool:
    """Print the table; return whether both bars are met."""
    p99 = [(float(np.percentile(a, 99)), float(np.percentile(b, 99))) for a, b in zip(idle, busy, strict=True)]
    ratio = statistics.median(b / a for a, b in p99)
    print("| over HTTP | p50 ms | p99 ms, median of turns |\n| --- | --- | --- |")
    for place, (name, rows) in enumerate((("idle", idle), ("growing", busy))):
        p50 = np.percentile(np.concatenate(rows), 50)
        print(f"| {name} | {p50:.2f} | {statistics.median(pair[place] for pair in p99):.2f} |")
    print("\n| what | measured | bar | |\n| --- | --- | --- | --- |")
    fast, fresh = ratio <= BAR_RATIO, max(seen) <= BAR_SEEN_S
    print(f"| p99 growing over idle | {ratio:.2f} x | <= {BAR_RATIO:g} | {'met' if fast else 'MISSED'} |")
    found = f"| a committed frame is found within ({len(seen)} tries) | {max(seen):.2f} s | <= {BAR_SEEN_S:g} |"
    print(f"{found} {'met' if fresh else 'MISSED'} |")
    return fast and fresh


def main() -> int:
    """Measure, print tables, and return the exit code."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--videos", type=int, default=10_000)
    parser.add_argument("--grow", type=int, default=1000, help="Videos committed meanwhile, in five turns.")
    parser.add_argument("--rate", type=float, default=20_000.0, help="Frames committed a second.")
    arguments = parser.parse_args()
    manifest = read_manifest(resolve_model("default"))
    bits, fingerprint = manifest.bits, manifest.fingerprint
    with tempfile.TemporaryDirectory(prefix="hr-") as folder, redis_server(folder) as url:
        store = Store(connect(url))
        made = store.ensure_collection(
            "main", model=manifest.name, fingerprint=fingerprint, bits=bits, concepts=manifest.concepts
        )
        target = Target(url, made.id, fingerprint, bits)
        codes, _ = clustered(arguments.videos * FRAMES, bits)
        for part in np.split(codes, arguments.videos):
            target.commit(store, part)
        del codes
        with service(folder, url) as client:
            videos = max(1, arguments.grow // TURNS)
            rows: Any = measured(client, target, TURNS, videos, arguments.rate)
    print(f"{arguments.videos * FRAMES:,} frames, {TURNS} times {videos * FRAMES:,} more at {arguments.rate:,.0f}/s\n")
    return 0 if report(*rows) else 1


if __name__ == "__main__":
    sys.exit(main())
