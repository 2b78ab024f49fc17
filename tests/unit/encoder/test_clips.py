from __future__ import annotations

from itertools import pairwise

import av
import numpy as np
import pytest

from encoder.clips import Shot, generate_clip
from encoder.scenery import SCENES
from encoder.video import CodecKeyFrames, Every, iter_key_frames, probe
from hashreel.errors import BadInputError


def test_the_same_seed_gives_the_same_bytes_and_another_seed_others(tmp_path):
    contents = []
    for name, seed in (("a.mp4", 5), ("b.mp4", 5), ("c.mp4", 6)):
        generate_clip(tmp_path / name, seed, seconds=4, size=(160, 96), shots=2)
        contents.append((tmp_path / name).read_bytes())
    assert contents[0] == contents[1]
    assert contents[0] != contents[2]


def test_a_clip_is_as_long_and_as_large_as_asked(tmp_path):
    shots = generate_clip(tmp_path / "clip.mp4", 3, seconds=5, size=(128, 64), fps=10, shots=4, gop=10)
    info = probe(tmp_path / "clip.mp4")
    assert (info.duration_ms, info.width, info.height, info.frame_rate) == (5000, 128, 64, 10.0)
    assert [(shot.start_ms, shot.end_ms) for shot in shots] == [(0, 1200), (1200, 2500), (2500, 3700), (3700, 5000)]
    keys = [frame.time_ms for frame in iter_key_frames(tmp_path / "clip.mp4", CodecKeyFrames())]
    assert keys == [0, 1000, 2000, 3000, 4000]


def test_shots_begin_where_they_are_said_to_begin(tmp_path):
    shots = generate_clip(tmp_path / "clip.mp4", 11, seconds=6, size=(160, 96), shots=5)
    frames = {f.time_ms: f.image.astype(int) for f in iter_key_frames(tmp_path / "clip.mp4", Every(0.04))}
    times = list(frames)
    jumps = {t: np.abs(frames[t] - frames[s]).mean() for s, t in pairwise(times)}
    greatest = sorted(sorted(jumps, key=jumps.get)[-4:])
    assert greatest == [shot.start_ms for shot in shots[1:]]


def test_the_shots_of_a_clip_are_of_different_kinds(tmp_path):
    shots = generate_clip(tmp_path / "clip.mp4", 0, seconds=12, size=(64, 48), fps=2, shots=12)
    assert {shot.description for shot in shots} == {kind.name for kind in SCENES}
    assert generate_clip(tmp_path / "one.mp4", 0, seconds=1, size=(64, 48), fps=1, shots=1) == [
        Shot(0, 1000, shots[0].description)
    ]


@pytest.mark.parametrize("kind", SCENES, ids=lambda kind: kind.name)
def test_every_kind_of_scene_moves_has_colour_and_differs_from_seed_to_seed(kind):
    def paint(seed, t):
        return kind(np.random.default_rng(seed), 160, 96).paint(t).astype(int)

    first = paint(1, 0.0)
    assert first.shape == (96, 160, 3)
    assert np.array_equal(first, paint(1, 0.0))
    assert 0.1 < np.abs(first - paint(1, 0.5)).mean() < np.abs(first - paint(2, 0.0)).mean()
    assert first.std(axis=(0, 1)).min() > 4
    assert np.ptp(first, axis=2).mean() > 8


@pytest.mark.parametrize("kind", SCENES, ids=lambda kind: kind.name)
@pytest.mark.parametrize("size", [(16, 16), (48, 200), (400, 16)])
def test_every_kind_of_scene_can_be_painted_at_any_size_and_time(kind, size):
    scene = kind(np.random.default_rng(0), *size)
    for t in (0.0, 7.3, 500.0):
        assert scene.paint(t).shape == (size[1], size[0], 3)


@pytest.mark.parametrize(("name", "codec"), [("a.mkv", "libx264"), ("a.webm", "libvpx"), ("a.avi", "mpeg4")])
def test_other_containers_and_codecs_can_be_written(tmp_path, name, codec):
    generate_clip(tmp_path / name, 1, seconds=2, size=(64, 48), shots=2, codec=codec)
    with av.open(str(tmp_path / name)) as container:
        assert sum(1 for _ in container.decode(video=0)) == 24


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ({"seed": -1}, "seed is -1"),
        ({"fps": 0}, "fps is 0"),
        ({"size": (321, 180)}, "even sides"),
        ({"size": (8, 8)}, "even sides"),
        ({"seconds": 0}, "0 s at 12"),
        ({"seconds": 9999}, "3600 s or less"),
        ({"shots": 0}, "0 shots"),
        ({"seconds": 1, "shots": 13}, "13 shots"),
        ({"codec": "nonsense"}, "with nonsense"),
        ({"codec": "aac"}, "aac"),
    ],
)
def test_arguments_out_of_range_are_refused(tmp_path, options, said):
    with pytest.raises(BadInputError, match=said):
        generate_clip(tmp_path / "clip.mp4", **{"seed": 0, **options})
    with pytest.raises(BadInputError, match="no clip can be written"):
        generate_clip(tmp_path / "clip.nonsense", 0)
