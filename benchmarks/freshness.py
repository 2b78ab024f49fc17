"""Searching over HTTP while a large gallery grows (exit code 1 on a miss).

    python -m benchmarks.freshness [--videos 10000] [--grow 1000]

A real Redis holds VIDEOS x 1,000 frames; `hashreel serve` follows its log. One connection asks for the 10 nearest
frames of random codes, first while nothing happens, then while another process commits GROW x 1,000 frames, at the
pace of a fleet of encoders (--rate frames a second). Meanwhile frames with known codes are committed now and then,
and looked for until they are found.
"""

from __future__ import annotations

import argparse
import json
import multiprocessing
import os
import signal
import subprocess
import sys
import tempfile
import time
import urllib.request
from pathlib import Path

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
QUERIES = 3000
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


def grow(url: str, generation: str, fingerprint: str, bits: int, videos: int, rate: float) -> None:
    """Commit videos at a pace of ``rate`` frames a second."""
    store = Store(connect(url))
    codes, _ = clustered(videos * FRAMES, bits, seed=1)
    begun = time.monotonic()
    for number in range(videos):
        commit_video(store, generation, codes[number * FRAMES : (number + 1) * FRAMES], fingerprint, bits)
        time.sleep(max(0.0, begun + (number + 1) * FRAMES / rate - time.monotonic()))


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


def seconds_until_seen(client: httpx.Client, store: Store, generation: str, fingerprint: str, bits: int) -> float:
    """Commit a frame with a code of its own and return how long it took until a search showed it."""
    code = np.frombuffer(os.urandom(bits // 8), np.uint8)[None]
    video = commit_video(store, generation, code, fingerprint, bits)
    begun = time.perf_counter()
    while True:
        _, answer = ask(client, code.tobytes().hex(), radius=0, consistency="eventual", videos=[video])
        if answer["hits"]:
            return time.perf_counter() - begun


def wait_for(url: str) -> None:
    """Return when the service is ready and its index has taken its final form."""
    while True:
        try:
            with urllib.request.urlopen(f"{url}/v1/index", timeout=60) as reply:
                status = json.load(reply)
            details = status["details"]
            if not details.get("folding") and not details.get("upgrading") and not status["lag"]:
                return
        except OSError:
            pass
        time.sleep(0.5)


def main() -> int:
    """Measure, print a table, and return the exit code."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--videos", type=int, default=10_000)
    parser.add_argument("--grow", type=int, default=1000)
    parser.add_argument("--rate", type=float, default=20_000.0, help="Frames committed a second.")
    arguments = parser.parse_args()
    manifest = read_manifest(resolve_model("default"))
    bits, fingerprint = manifest.bits, manifest.fingerprint
    with tempfile.TemporaryDirectory(prefix="hr-") as folder:
        socket, port = f"{folder}/r.sock", free_port("127.0.0.1")
        redis_url, url = f"unix://{socket}?db=0", f"http://127.0.0.1:{port}"
        redis = [redis_program(), "--port", "0", "--unixsocket", socket, "--save", "", "--dir", folder]
        server = subprocess.Popen(redis, stdout=subprocess.DEVNULL)
        environment = {**os.environ, "HASHREEL_REDIS_URL": redis_url, "HASHREEL_DATA": folder}
        service = None
        try:
            while not Path(socket).exists():
                time.sleep(0.01)
            store = Store(connect(redis_url))
            generation = store.ensure_collection("main", model=manifest.name, fingerprint=fingerprint, bits=bits).id
            codes, _ = clustered(arguments.videos * FRAMES, bits)
            for number in range(arguments.videos):
                commit_video(store, generation, codes[number * FRAMES : (number + 1) * FRAMES], fingerprint, bits)
            del codes
            command = python_command("serve", "--port", str(port))
            service = subprocess.Popen(command, env=environment, stderr=subprocess.DEVNULL)
            wait_for(url)
            with httpx.Client(base_url=url, trust_env=False, timeout=60) as client:
                _, queries = clustered(27_000, bits, queries=QUERIES)
                latencies_ms(client, queries[:500])
                idle = latencies_ms(client, queries)
                growing = (redis_url, generation, fingerprint, bits, arguments.grow, arguments.rate)
                writer = multiprocessing.get_context("spawn").Process(target=grow, args=growing)
                writer.start()
                busy, seen = [], []
                while writer.is_alive():
                    busy.append(latencies_ms(client, queries[len(busy) % 15 * 200 :][:200]))
                    seen.append(seconds_until_seen(client, store, generation, fingerprint, bits))
                writer.join()
        finally:
            if service is not None:
                service.send_signal(signal.SIGTERM)
                service.wait(30)
            server.terminate()
            server.wait()
    loaded = np.concatenate(busy)
    ratio = float(np.percentile(loaded, 99) / np.percentile(idle, 99))
    slowest = max(seen)
    print(f"{arguments.videos * FRAMES:,} frames, {arguments.grow * FRAMES:,} more at {arguments.rate:,.0f} a second\n")
    print("| over HTTP | p50 ms | p99 ms |\n| --- | --- | --- |")
    for name, row in (("idle", idle), ("growing", loaded)):
        print(f"| {name} | {np.percentile(row, 50):.2f} | {np.percentile(row, 99):.2f} |")
    met = ratio <= BAR_RATIO and slowest <= BAR_SEEN_S
    print(f"\np99 ratio {ratio:.2f} (bar ≤ {BAR_RATIO:.0f}); a committed frame was found within {slowest:.2f} s")
    print(f"(bar ≤ {BAR_SEEN_S:.0f} s, {len(seen)} tries): {'met' if met else 'MISSED'}")
    return 0 if met else 1


if __name__ == "__main__":
    sys.exit(main())
