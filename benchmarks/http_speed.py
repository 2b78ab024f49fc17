"""The whole HTTP query, loaded by wrk: with codes and with pictures (exit code 1 on a miss).

    python -m benchmarks.http_speed [--videos 10000] [--seconds 5] [--runs 5]

A real Redis holds VIDEOS x 1,000 frames; `hashreel serve` follows its log. wrk asks for the 10 nearest frames of
codes over one connection and over 16, and of a 640x480 JPEG over one; load, service and Redis share the machine's
cores. In turn with the pictures the bare network is timed on one picture of its own size, in this process, with as
many threads as the service gives it. Figures are medians of the runs. A small gallery shows that all works:
--videos 100 --seconds 1 --runs 1. wrk is Debian's and Ubuntu's package `wrk` (apt-get install wrk).
"""

from __future__ import annotations

import argparse
import io
import json
import os
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path

import httpx
import numpy as np
from PIL import Image

from benchmarks.codes import clustered
from benchmarks.freshness import FRAMES, Target, redis_server, service
from encoder.clips import generate_clip
from encoder.model import Model, load_model
from encoder.video import grab_frame
from hashreel.schemas import Answer
from indexer.store import Store, connect

SCRIPT = Path(__file__).with_name("http_speed.lua")
QUERIES, BOUNDARY, CONNECTIONS = 2000, "hashreel-benchmark", 16
BAR_CODE_MS, BAR_RATE, BAR_PICTURE, BAR_PICTURE_MS = 3.0, 300.0, 1.3, 5.0


@dataclass(frozen=True)
class Load:
    """What wrk sends.

    Attributes:
        path: Of the service.
        content_type: Of every body.
        bodies: File of the bodies: one a line for JSON, else a single one.
    """

    path: str
    content_type: str
    bodies: Path

    def run(self, base: str, connections: int, seconds: int) -> tuple[float, float, float]:
        """Load the service; return p50 and p99 in ms, and queries a second. SystemExit if one was refused."""
        command = ["wrk", "-t1", f"-c{connections}", f"-d{seconds}s", "--timeout", "60s", "-s", str(SCRIPT)]
        environment = {**os.environ, "HR_BODIES": str(self.bodies), "HR_TYPE": self.content_type}
        done = subprocess.run([*command, base + self.path], env=environment, capture_output=True, text=True, check=True)
        told = json.loads(done.stdout.splitlines()[-1])
        if told["failed"] or not told["requests"]:
            raise SystemExit(f"{told['failed']} of {told['requests']} queries to {self.path} failed:\n{done.stdout}")
        return told["p50_us"] / 1000, told["p99_us"] / 1000, told["requests"] / (told["us"] / 1e6)


def code_load(folder: Path, queries: np.ndarray) -> Load:
    """Return a load of code queries, uint8 [n, width]."""
    path = folder / "codes.jsonl"
    lines = (json.dumps({"query": {"code": code.tobytes().hex()}, "top": 10}) for code in queries)
    path.write_text("\n".join(lines) + "\n")
    return Load("/v1/search", "application/json", path)


def picture_load(folder: Path, jpeg: bytes) -> Load:
    """Return a load that sends one picture, as `curl -F image=@...` does."""
    head = f'--{BOUNDARY}\r\nContent-Disposition: form-data; name="image"; filename="query.jpg"\r\n'
    path = folder / "picture.form"
    path.write_bytes(f"{head}Content-Type: image/jpeg\r\n\r\n".encode() + jpeg + f"\r\n--{BOUNDARY}--\r\n".encode())
    return Load("/v1/search/image?top=10", f"multipart/form-data; boundary={BOUNDARY}", path)


def picture(folder: Path) -> bytes:
    """Return a frame of a painted clip, 640 x 480, as a JPEG; with noise, which makes it as large as a photo's."""
    buffer, clip = io.BytesIO(), folder / "painted.mp4"
    generate_clip(clip, seed=4, size=(640, 480))
    noise = np.random.default_rng(4).normal(0, 8, (480, 640, 3))
    noisy = np.clip(grab_frame(clip, 2500).image + noise, 0, 255).astype(np.uint8)
    Image.fromarray(noisy).save(buffer, "JPEG", quality=90)
    return buffer.getvalue()


def forward_ms(model: Model, seconds: float) -> float:
    """Return the median time of the bare network on one picture of its own size."""
    size = model.transform.size
    pixels = np.random.default_rng(0).integers(0, 256, (1, size, size, 3), dtype=np.uint8)
    times, until = [], time.perf_counter() + seconds
    while len(times) < 3 or time.perf_counter() < until:
        begun = time.perf_counter()
        model.runtime.run(pixels)
        times.append(time.perf_counter() - begun)
    return 1000 * statistics.median(times)


def check_answers(client: httpx.Client, codes: Load, pictures: Load) -> None:
    """Ask once of each kind, so that what is timed is known to answer with ten hits."""
    first = codes.bodies.read_text().splitlines()[0]
    for load, body in ((codes, first.encode()), (pictures, pictures.bodies.read_bytes())):
        reply = client.post(load.path, content=body, headers={"Content-Type": load.content_type})
        reply.raise_for_status()
        if len(Answer.model_validate_json(reply.content).hits) != 10:
            raise SystemExit(f"{load.path} did not answer with ten hits")


@dataclass(frozen=True)
class Figures:
    """Medians of the runs; times in ms."""

    code_p50: float
    code_p99: float
    rate: float
    rate_p50: float
    picture_p50: float
    forward: float

    @property
    def picture_bar(self) -> float:
        """Return what a picture may take at most."""
        return BAR_PICTURE * self.forward + BAR_PICTURE_MS

    def verdicts(self) -> list[tuple[str, str, str, bool]]:
        """Return rows: what, measured, bar, whether it is met."""
        single = f"{self.code_p50:.2f} ms (p99 {self.code_p99:.2f})"
        many = f"{self.rate:.0f} (p50 {self.rate_p50:.1f} ms)"
        bar = f"≤ {self.picture_bar:.1f} ms: {BAR_PICTURE:g} × {self.forward:.2f} ms forward + {BAR_PICTURE_MS:g}"
        return [
            ("code, 1 connection, p50", single, f"≤ {BAR_CODE_MS:g} ms", self.code_p50 <= BAR_CODE_MS),
            (f"codes a second, {CONNECTIONS} connections", many, f"≥ {BAR_RATE:g}", self.rate >= BAR_RATE),
            ("640×480 JPEG, p50", f"{self.picture_p50:.2f} ms", bar, self.picture_p50 <= self.picture_bar),
        ]


def measured(client: httpx.Client, model: Model, codes: Load, pictures: Load, runs: int, seconds: int) -> Figures:
    """Load the service in turns, after one turn that warms everything up."""
    base = str(client.base_url).rstrip("/")
    rows = []
    for _ in range(runs + 1):
        single, many = codes.run(base, 1, seconds), codes.run(base, CONNECTIONS, seconds)
        forward = forward_ms(model, seconds / 2)
        asked = pictures.run(base, 1, seconds)
        rows.append((*single[:2], many[2], many[0], asked[0], forward))
    return Figures(*(statistics.median(column) for column in zip(*rows[1:], strict=True)))


def main() -> int:
    """Measure, print a table, and return the exit code."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--videos", type=int, default=10_000, help="Of 1,000 frames each.  [default: 10000]")
    parser.add_argument("--seconds", type=int, default=5, help="Length of one load.  [default: 5]")
    parser.add_argument("--runs", type=int, default=5, help="Turns that count.  [default: 5]")
    options = parser.parse_args()
    if shutil.which("wrk") is None:
        raise SystemExit("wrk is not installed; it is Debian's and Ubuntu's package of that name: apt-get install wrk")
    model = load_model("default", device="cpu")
    with tempfile.TemporaryDirectory(prefix="hr-") as folder, redis_server(folder) as url:
        store = Store(connect(url))
        facts = {"fingerprint": model.fingerprint, "bits": model.bits, "concepts": model.concepts}
        made = store.ensure_collection("main", model="default", **facts)
        target = Target(url, made.id, model.fingerprint, model.bits)
        gallery, queries = clustered(options.videos * FRAMES, model.bits, queries=QUERIES)
        for part in np.split(gallery, options.videos):
            target.commit(store, part)
        del gallery
        codes, pictures = code_load(Path(folder), queries), picture_load(Path(folder), picture(Path(folder)))
        with service(folder, url) as client:
            check_answers(client, codes, pictures)
            figures = measured(client, model, codes, pictures, options.runs, options.seconds)
    print(f"{options.videos * FRAMES:,} codes of {model.bits} bits, {os.cpu_count()} cores\n")
    print("| HTTP query | measured | bar | |\n| --- | --- | --- | --- |")
    for what, value, bar, is_met in figures.verdicts():
        print(f"| {what} | {value} | {bar} | {'met' if is_met else 'MISSED'} |")
    return 0 if all(is_met for *_, is_met in figures.verdicts()) else 1


if __name__ == "__main__":
    sys.exit(main())
