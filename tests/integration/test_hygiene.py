"""Black, blank, frozen and near-duplicate key-frames: counted with the video, dropped where the policy says so."""

from __future__ import annotations

import shutil
from pathlib import Path

import av
import numpy as np
import pytest
from farm import Farm
from PIL import Image as PillowImage

from encoder.clips import generate_clip
from encoder.policies import FLAWS
from encoder.video import Every, iter_key_frames


@pytest.fixture(scope="session")
def film(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a film of 12 s: 3 s of black, 2 s of blue, a still of 3 s, and 4 s in which things move."""
    folder = tmp_path_factory.mktemp("film")
    generate_clip(folder / "moving.mp4", seed=5, seconds=4.0, size=(160, 90), fps=4, shots=4)
    moving = [frame.image for frame in iter_key_frames(folder / "moving.mp4", Every(1.0))]
    black, blue = np.zeros_like(moving[0]), np.full_like(moving[0], (10, 40, 200))
    path = folder / "film.mp4"
    with av.open(str(path), "w") as out:
        stream = out.add_stream("libx264", rate=1)
        stream.width, stream.height, stream.pix_fmt = 160, 90, "yuv420p"
        for picture in [black] * 3 + [blue] * 2 + [moving[0]] * 3 + moving:
            out.mux(stream.encode(av.VideoFrame.from_ndarray(picture, format="rgb24")))
        out.mux(stream.encode(None))
    return path


FOUND = {"black": 3, "blank": 2, "frozen": 3}  # the still's first frame is distinct; the moving part begins with it


@pytest.mark.parametrize("drop", [(), ("black",), ("black", "frozen"), FLAWS])
def test_what_is_found_is_counted_and_what_is_to_be_dropped_has_no_code(farm: Farm, film: Path, drop: tuple) -> None:
    shutil.copy(film, farm.folder / "clips")
    policy = {"kind": "every", "seconds": 1.0, "drop": list(drop)}
    for chunk_s in (600.0, 5.0):
        farm.settings.chunk_s = chunk_s
        job = farm.enqueue("clips/film.mp4", policy=policy, again=True)
        farm.run_all()
        record = farm.store.find_video(farm.queue.job(job.id).videos[0])
        assert record is not None
        assert (record.state, record.found) == ("indexed", FOUND)
        assert record.frames == 12 - sum(FOUND.get(kind, 0) for kind in drop)
        assert record.policy == policy if drop else "drop" not in record.policy


def test_a_video_of_which_nothing_is_left_says_why(farm: Farm, film: Path) -> None:
    black = np.zeros((90, 160, 3), np.uint8)
    (farm.folder / "clips" / "dark").mkdir()
    for number in range(3):
        PillowImage.fromarray(black).save(farm.folder / "clips" / "dark" / f"{number}.png")
    job = farm.enqueue("clips/dark", policy={"kind": "every", "drop": ["black"]})
    farm.run_all()
    record = farm.store.find_video(farm.queue.job(job.id).videos[0])
    assert record is not None
    assert (record.state, record.stage, record.retryable) == ("failed", "policy", False)
    assert record.reason == "the policy dropped every key-frame: 3 black; enqueue it without drop"
    job = farm.enqueue("clips/dark", policy={"kind": "every"})
    farm.run_all()
    record = farm.store.find_video(farm.queue.job(job.id).videos[0])
    assert record is not None
    assert (record.state, record.frames, record.found) == ("indexed", 3, {"black": 3})
