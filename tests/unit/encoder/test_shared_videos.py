"""The same promises on real films; each has a twin on generated clips in the other files of this folder."""

from __future__ import annotations

import csv
from itertools import pairwise

import av
import numpy as np
import pytest

from encoder.pictures import encode_jpeg, load_picture, scale_short_side
from encoder.video import CodecKeyFrames, Every, Scenes, grab_frame, iter_key_frames, probe
from hashreel.errors import DecodeError

pytestmark = pytest.mark.shared

POLICIES = [Every(1.0), CodecKeyFrames(), Scenes()]
BROKEN = {"empty.mp4", "random_bytes.mp4"}


def key_frames(path, policy, borders=(0, None), **options):
    return [
        frame
        for start, end in pairwise(borders)
        for frame in iter_key_frames(path, policy, start_ms=start, end_ms=end, short_side=64, **options)
    ]


def test_every_file_ends_with_frames_or_a_decode_error(shared):
    files = sorted([*(shared / "videos" / "real").iterdir(), *(shared / "videos" / "odd").iterdir()])
    assert len(files) >= 29
    failed = set()
    for path in files:
        try:
            info = probe(path)
        except DecodeError as error:
            failed.add((path.name, str(error).split(":")[0]))
            continue
        # Looking for shots costs most: the smaller files, which hold every oddity, are enough.
        for policy in POLICIES[: 3 if path.stat().st_size < 600_000 else 2]:
            warnings = []
            frames = key_frames(path, policy, warnings=warnings)
            assert frames
            assert not warnings or path.name == "corrupted.mp4"
            assert all(0 <= frame.time_ms <= info.duration_ms for frame in frames)
            ratio = frames[0].image.shape[1] / frames[0].image.shape[0]
            assert ratio == pytest.approx(info.width / info.height, rel=0.02)
    assert failed == {(name, name) for name in BROKEN}


@pytest.mark.parametrize("name", ["real/bikes.mp4", "real/big_buck_bunny_0_30.webm", "real/asl_milk.mkv",
                                  "real/classroom.gif", "real/skyline_v2.m4v", "odd/corrupted.mp4"])  # fmt: skip
def test_pieces_give_together_what_the_whole_gives(shared, name):
    path = shared / "videos" / name
    for policy in (Every(0.5), CodecKeyFrames()):
        whole = key_frames(path, policy)
        pieces = key_frames(path, policy, [*range(0, probe(path).duration_ms, 7500), None])
        assert [frame.time_ms for frame in pieces] == [frame.time_ms for frame in whole]
        assert all(np.array_equal(a.image, b.image) for a, b in zip(pieces, whole, strict=True))


@pytest.mark.parametrize(("degrees", "quarter_turns"), [(0, 0), (90, -1), (180, 2)])
def test_films_of_a_turned_camera_are_upright(shared, degrees, quarter_turns):
    # Three views of a keyboard; that its letters stand upright after these turns was seen by eye.
    path = shared / "videos" / "odd" / f"video_{degrees}.mov"
    with av.open(str(path)) as container:
        stored = next(container.decode(video=0)).to_ndarray(format="rgb24")
    upright = grab_frame(path, 0).image
    assert np.abs(upright.astype(int) - np.rot90(stored, quarter_turns)).mean() < 3
    assert probe(path).rotation == degrees


def test_the_damaged_film_gives_its_28_good_frames_and_a_warning(shared):
    warnings = []
    frames = key_frames(shared / "videos" / "odd" / "corrupted.mp4", Every(0.04), warnings=warnings)
    assert [frame.time_ms for frame in frames] == [100 * index for index in range(28)]
    assert [(warning.stage, warning.at_ms) for warning in warnings] == [("decode", 2700)]
    assert "invalid data" in warnings[0].reason


def test_the_film_with_a_cover_gives_the_film(shared):
    path = shared / "videos" / "odd" / "extra_channel_attached_pic.mp4"
    assert (probe(path).width, probe(path).height) == (640, 360)


def test_every_cut_of_the_compiled_films_is_found(shared):
    shots = {}
    with (shared / "videos" / "compiled" / "shots.csv").open(newline="") as file:
        for row in csv.DictReader(file):
            shots.setdefault(row["video"], []).append((int(row["first_frame"]), int(row["frames"])))
    for name, spans in shots.items():
        path = shared / "videos" / "compiled" / name
        frame_ms = 1000 / probe(path).frame_rate
        times = [frame.time_ms for frame in key_frames(path, Scenes())]
        assert len(times) == len(spans)
        for (first, length), time in zip(spans, times, strict=True):
            assert (first + length / 4) * frame_ms < time < (first + 3 * length / 4) * frame_ms


def test_a_picture_cut_from_a_film_looks_like_its_frame(shared):
    path = shared / "videos" / "real" / "bikes.mp4"
    for frame in key_frames(path, Every(3.0)):
        picture = load_picture(encode_jpeg(grab_frame(path, frame.time_ms).image, 95))
        assert np.abs(scale_short_side(picture, 64).astype(int) - frame.image).mean() < 1
