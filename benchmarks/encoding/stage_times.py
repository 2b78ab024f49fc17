"""The stage times of this machine from which more machines are simulated."""

from __future__ import annotations

import tempfile
import time
from pathlib import Path

from benchmarks.encoding.clips import decode_bound_clip
from benchmarks.encoding.small import small_pictures
from benchmarks.encoding.stack import Load, open_stack
from encoder.model import load_model
from encoder.policies import parse_policy
from encoder.video import iter_key_frames

__all__ = ["measure"]

SECONDS, RUNS = 40.0, 3
POLICIES = {"every_1s_1080p": {"kind": "every", "seconds": 1.0}, "codec_1080p": {"kind": "codec"}}


def measure() -> dict[str, float]:
    """Return seconds of film that a core decodes in a second, by policy, and the cost of a unit of work in ms."""
    with tempfile.TemporaryDirectory() as name:
        film = decode_bound_clip(Path(name), seconds=SECONDS)
        times = {key: SECONDS / min(_decode_s(film, policy) for _ in range(RUNS)) for key, policy in POLICIES.items()}
    model = load_model("default", device="cpu", threads=1)
    with open_stack(model) as stack, stack.workers() as worker:
        small_pictures(stack.folder / "clips/small")
        stack.run(worker, "small", {"kind": "codec"})
        loads: list[Load] = [stack.run(worker, "small", {"kind": "codec"}) for _ in range(RUNS)]
    # The network's part, a picture a video, is in it: what is simulated is no faster for it.
    times["worker_ms_a_unit"] = 1000 * min(load.workers_cpu_s / load.units for load in loads)
    times["redis_ms_a_unit"] = 1000 * min(load.redis_cpu_s / load.units for load in loads)
    return {key: round(value, 3) for key, value in times.items()}


def _decode_s(film: Path, policy: dict[str, object]) -> float:
    begun = time.process_time()
    for _ in iter_key_frames(film, parse_policy(policy), short_side=224):
        pass
    return time.process_time() - begun
