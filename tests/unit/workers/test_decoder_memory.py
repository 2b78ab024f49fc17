"""That a decoder takes no more memory than the room that is kept for it, whatever the resolution."""

from __future__ import annotations

import subprocess
import sys
from fractions import Fraction
from pathlib import Path

import av
import numpy as np
import pytest

from workers.room import decoder_bytes

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="reads /proc")

# A process of its own, whose peak is its own: ru_maxrss would be that of the process it was forked from.
MEASURE = """
import sys
from pathlib import Path
from encoder.video import iter_key_frames, parse_policy
import encoder.scenes
path, kind = sys.argv[1:]
policy = parse_policy({"every": {"kind": "every", "seconds": 0.04}}.get(kind, {"kind": kind}))
def peak():
    lines = Path("/proc/self/status").read_text().splitlines()
    return next(1024 * int(line.split()[1]) for line in lines if line.startswith("VmHWM"))
before = peak()
count = sum(1 for _ in iter_key_frames(path, policy, short_side=224))
print(count, peak() - before)
"""


def write_film(path: Path, width: int, height: int, frames: int = 30) -> None:
    """Write moving stripes in H.264, four reference frames, a codec key-frame in ten."""
    with av.open(str(path), "w") as container:
        stream = container.add_stream("libx264", rate=25)
        stream.width, stream.height, stream.pix_fmt = width, height, "yuv420p"
        stream.codec_context.thread_count = 1
        stream.options = {"preset": "ultrafast", "g": "10", "bf": "2", "refs": "4"}
        stripes = np.linspace(0, 255, width, dtype=np.uint8)[None].repeat(height * 3 // 2, 0)
        for index in range(frames):
            frame = av.VideoFrame.from_ndarray(np.roll(stripes, 8 * index, 1), format="yuv420p")
            frame.pts, frame.time_base = index, Fraction(1, 25)
            container.mux(stream.encode(frame))
        container.mux(stream.encode())


@pytest.mark.parametrize(
    ("width", "height"), [(1920, 1080), pytest.param(7680, 4320, marks=pytest.mark.full)], ids=["1080p", "8K"]
)
def test_a_decoder_stays_inside_its_room(tmp_path: Path, width: int, height: int) -> None:
    film = tmp_path / "film.mp4"
    write_film(film, width, height)
    for kind, count in (("every", 30), ("codec", 3), ("scenes", 1)):
        command = [sys.executable, "-c", MEASURE, str(film), kind]
        found, grown = map(int, subprocess.run(command, capture_output=True, text=True, check=True).stdout.split())
        assert found == count
        # The heap of a process that has just begun grows by some tens of megabytes, whatever it does.
        assert grown < decoder_bytes(width, height) + 50 * 2**20
