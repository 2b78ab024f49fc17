from __future__ import annotations

import numpy as np
import pytest

from encoder.clips import generate_clip
from encoder.reader import VideoReader
from encoder.scenes import MAX_CANDIDATES, iter_shots
from encoder.video import KeyFrame, Scenes, iter_key_frames


def scenes_of(path, **options):
    return [frame.time_ms for frame in iter_key_frames(path, Scenes(**options))]


@pytest.mark.parametrize("seed", range(6))
def test_each_shot_gives_one_frame_near_its_middle(tmp_path, seed):
    shots = generate_clip(tmp_path / "clip.mp4", seed, seconds=9, size=(160, 96), shots=4)
    times = scenes_of(tmp_path / "clip.mp4")
    assert len(times) == 4
    for shot, time in zip(shots, times, strict=True):
        middle, length = (shot.start_ms + shot.end_ms) / 2, shot.end_ms - shot.start_ms
        assert abs(time - middle) <= length / 6


def test_one_shot_gives_one_frame(tmp_path):
    generate_clip(tmp_path / "clip.mp4", 2, seconds=4, size=(160, 96), shots=1)
    assert len(scenes_of(tmp_path / "clip.mp4")) == 1


def test_a_long_shot_is_divided(write_video):
    path = write_video("still.mp4", [np.full((64, 96, 3), 99, np.uint8)] * 16, times_ms=[500 * i for i in range(16)])
    # 0 to 3 s, 3 to 6 s and the rest to 7.5 s; a frame each half second.
    assert scenes_of(path, longest_s=3) == [1500, 4500, 6500]


def test_a_flash_is_no_shot(write_video):
    images = [np.full((64, 96, 3), 60, np.uint8)] * 60
    images[30] = np.full((64, 96, 3), 250, np.uint8)
    assert len(scenes_of(write_video("flash.mp4", images))) <= 2


def test_the_higher_the_threshold_the_fewer_the_shots(clip):
    assert len(scenes_of(clip, threshold=100)) <= len(scenes_of(clip)) <= len(scenes_of(clip, threshold=1))


def test_few_frames_are_kept_however_long_the_shot(write_video):
    path = write_video("long.mp4", [np.full((64, 96, 3), 99, np.uint8)] * 500)
    alive = set()
    most = 0

    class Counted(KeyFrame):
        def __del__(self):
            alive.discard(id(self))

    def convert(timed):
        nonlocal most
        frame = Counted(timed.time_ms, np.zeros((1, 1, 3), np.uint8))
        alive.add(id(frame))
        most = max(most, len(alive))
        return frame

    with VideoReader(path) as reader:
        (frame,) = iter_shots(reader.frames(), Scenes(), convert)
    assert abs(frame.time_ms - 9980) <= 20_000 / 12
    assert most <= MAX_CANDIDATES + 1


def test_a_frame_that_cannot_be_converted_leaves_the_choice_to_the_others(clip):
    seen = []

    def convert(timed):
        seen.append(timed.time_ms)
        return None if len(seen) % 2 else KeyFrame(timed.time_ms, np.zeros((1, 1, 3), np.uint8))

    with VideoReader(clip) as reader:
        assert len(list(iter_shots(reader.frames(), Scenes(), convert))) == 3
    with VideoReader(clip) as reader:
        assert list(iter_shots(reader.frames(), Scenes(), lambda timed: None)) == []
