"""Memory while a video is decoded: a few frames, however long it is."""

from __future__ import annotations

import subprocess
import sys

import numpy as np
import pytest

MEASURE = """
import gc, resource, sys
from encoder.video import iter_key_frames, parse_policy
import encoder.scenes
gc.disable()  # frames must go with their last use, not when the collector comes by
path, kind = sys.argv[1:]
policy = parse_policy({"every": {"kind": "every", "seconds": 0.04}}.get(kind, {"kind": kind}))
before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
count = sum(1 for _ in iter_key_frames(path, policy))
grown = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before
print(count, grown * (1 if sys.platform == "darwin" else 1024))
"""


@pytest.fixture(scope="module")
def large_video(write_video):
    images = [np.full((720, 1280, 3), 60 + i, np.uint8) for i in range(3)]
    return write_video("large.mp4", [images[i // 60 % 3] for i in range(180)], g="20", bf="2")


@pytest.mark.parametrize(("kind", "count"), [("every", 180), ("codec", 9), ("scenes", 1)])
def test_no_more_than_a_few_frames_are_in_memory_at_a_time(large_video, kind, count):
    done = subprocess.run(
        [sys.executable, "-c", MEASURE, str(large_video), kind], capture_output=True, text=True, check=True
    )
    found, grown = map(int, done.stdout.split())
    assert found == count
    frame_bytes = 1280 * 720 * 3
    assert grown < 40 * frame_bytes
