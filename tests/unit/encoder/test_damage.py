"""Damaged files: what is good is kept, what is not is told, and pieces still fit together."""

from __future__ import annotations

import random
from itertools import pairwise

import av
import numpy as np
import pytest

from encoder.damage import MAX_WARNINGS, DecodeWarning, note
from encoder.video import CodecKeyFrames, Every, Scenes, iter_key_frames, probe
from hashreel.errors import DecodeError

FRAME_MS = 40


@pytest.fixture(scope="module")
def whole(write_video):
    """A film of 100 frames with a key-frame each 20, no reordering: frame i is packet i."""
    return write_video("whole.mp4", g="20", bf="0", sc_threshold="0")


def packets_of(path):
    with av.open(str(path)) as container:
        return [(packet.pos, packet.size) for packet in container.demux(video=0) if packet.size]


def damaged(whole, tmp_path, first, last, how="zero", name="damaged.mp4"):
    """Write a copy whose packets first to last are overwritten."""
    content = bytearray(whole.read_bytes())
    chance = random.Random(first)
    for pos, size in packets_of(whole)[first : last + 1]:
        if how == "zero":
            content[pos + 5 : pos + size] = bytes(size - 5)
        elif how == "noise":
            middle = pos + size // 2
            content[middle : pos + size] = bytes(chance.randrange(256) for _ in range(pos + size - middle))
        else:
            content[pos + 1] ^= 0x40
    path = tmp_path / name
    path.write_bytes(content)
    return path


EACH = Every(FRAME_MS / 1000)


def frames_of(path, policy=EACH, borders=(0, None), warnings=None):
    return {
        frame.time_ms: frame.image
        for start, end in pairwise(borders)
        for frame in iter_key_frames(path, policy, start_ms=start, end_ms=end, warnings=warnings)
    }


@pytest.mark.parametrize("how", ["zero", "noise", "length"])
@pytest.mark.parametrize(("first", "last"), [(30, 30), (40, 40), (35, 62), (3, 3), (95, 99)])
def test_frames_before_the_damage_and_from_the_next_key_frame_on_are_kept_unchanged(whole, tmp_path, first, last, how):
    good = frames_of(whole)
    warnings = []
    kept = frames_of(damaged(whole, tmp_path, first, last, how), warnings=warnings)
    resumed = -(-(last + 1) // 20) * 20
    expected = [FRAME_MS * index for index in range(100) if index < first or index >= resumed]
    assert set(expected) <= set(kept)
    for time in expected:
        assert np.array_equal(kept[time], good[time])
    # Noise that still spells a valid picture is not to be told from one; everything else is left out.
    if how != "noise":
        assert list(kept) == expected
        assert {warning.stage for warning in warnings} == {"decode"}
        assert min(warning.at_ms for warning in warnings) == FRAME_MS * (first - 1)


@pytest.mark.parametrize("how", ["zero", "noise", "length"])
@pytest.mark.parametrize("policy", [Every(0.2), Every(0.04), CodecKeyFrames()], ids=["0.2", "0.04", "codec"])
def test_pieces_of_a_damaged_film_give_together_what_the_whole_gives(whole, tmp_path, policy, how):
    path = damaged(whole, tmp_path, 38, 45, how)
    expected = frames_of(path, policy)
    for length in (200, 1000, 600):
        pieces = frames_of(path, policy, [*range(0, 4000, length), None])
        assert list(pieces) == list(expected)
        assert all(np.array_equal(pieces[time], expected[time]) for time in expected)


def test_a_damaged_key_frame_costs_only_itself_when_only_key_frames_count(whole, tmp_path):
    path = damaged(whole, tmp_path, 40, 40)
    warnings = []
    assert list(frames_of(path, CodecKeyFrames(), warnings=warnings)) == [0, 800, 2400, 3200]
    assert [(warning.stage, warning.at_ms, warning.count) for warning in warnings] == [("decode", 800, 1)]


def test_a_film_that_begins_with_damage_has_its_other_frames_in_every_policy(whole, tmp_path):
    path = damaged(whole, tmp_path, 0, 5)
    assert list(frames_of(path, Every(1.0))) == [800, 1000, 2000, 3000]
    assert list(frames_of(path, CodecKeyFrames())) == [800, 1600, 2400, 3200]
    assert len(frames_of(path, Scenes())) >= 1
    warnings = []
    assert frames_of(path, Every(1.0), [0, 800], warnings) == {}
    assert warnings


@pytest.mark.parametrize("policy", [Every(1.0), CodecKeyFrames(), Scenes()], ids=["every", "codec", "scenes"])
def test_a_film_without_a_single_good_frame_is_an_error_in_every_policy_and_piece(whole, tmp_path, policy):
    path = damaged(whole, tmp_path, 0, 99)
    for borders in ([0, None], [0, 1000], [2000, 3000]):
        with pytest.raises(DecodeError, match=r"not a single frame could be decoded \(invalid data"):
            frames_of(path, policy, borders)
    with pytest.raises(DecodeError, match="not a single frame"):
        probe(path)


@pytest.mark.parametrize("suffix", ["mkv", "ts", "avi"])
@pytest.mark.parametrize("part", [0.3, 0.8])
def test_a_film_that_was_cut_off_gives_what_is_there(write_video, tmp_path, suffix, part):
    whole = write_video(f"whole.{suffix}", g="20", bf="0", sc_threshold="0")
    content = whole.read_bytes()
    path = tmp_path / f"cut.{suffix}"
    path.write_bytes(content[: int(part * len(content))])
    good = frames_of(whole)
    kept = frames_of(path)
    assert len(kept) >= 10
    assert list(kept) == list(good)[: len(kept)]
    # The very last picture may be half there.
    for time in list(kept)[:-1]:
        assert np.array_equal(kept[time], good[time])


def test_an_mp4_without_its_table_of_contents_is_an_error(whole, tmp_path):
    path = tmp_path / "cut.mp4"
    path.write_bytes(whole.read_bytes()[:5000])
    with pytest.raises(DecodeError, match=r"cut\.mp4: not a video file that can be read"):
        probe(path)


def test_lost_packets_of_a_broadcast_cost_no_more_than_their_group(write_video, tmp_path):
    whole = write_video("broadcast.ts", g="20", bf="0", sc_threshold="0")
    content = bytearray(whole.read_bytes())
    lost = 188 * (len(content) // 188 // 2)
    del content[lost : lost + 188 * 3]
    path = tmp_path / "lossy.ts"
    path.write_bytes(content)
    good, warnings = frames_of(whole), []
    kept = frames_of(path, warnings=warnings)
    assert 70 <= len(kept) < 100
    assert all(np.array_equal(image, good[time]) for time, image in kept.items())
    assert [(warning.stage, warning.reason) for warning in warnings] == [("read", "a packet is damaged or incomplete")]


def damage_at_random(content, chance):
    """Return a copy with bytes overwritten, perhaps a piece repeated, perhaps cut off."""
    content = bytearray(content)
    for _ in range(chance.choice([1, 10, 200])):
        content[chance.randrange(min(len(content), chance.choice([400, 5000, 10**7])))] = chance.randrange(256)
    if chance.random() < 0.2:
        place = chance.randrange(len(content))
        content[place:place] = content[chance.randrange(len(content)) :][: chance.randrange(5000)]
    if chance.random() < 0.3:
        del content[chance.randrange(100, len(content)) :]
    return bytes(content)


def assert_frames_or_decode_error(path):
    for policy in (Every(0.5), CodecKeyFrames(), Scenes()):
        try:
            times = [frame.time_ms for frame in iter_key_frames(path, policy, short_side=32, warnings=[])]
        except DecodeError:
            continue
        assert times
        assert times == sorted(times)


@pytest.mark.parametrize("seed", range(12))
def test_random_damage_never_ends_in_anything_but_frames_or_a_decode_error(clip, tmp_path, seed):
    path = tmp_path / "random.mp4"
    path.write_bytes(damage_at_random(clip.read_bytes(), random.Random(seed)))
    assert_frames_or_decode_error(path)


@pytest.mark.full
@pytest.mark.parametrize("name", ["b_frames.mp4", "open_gop.ts", "b_pyramid.mkv", "old.avi", "vp8.webm", "film.gif"])
def test_much_random_damage_never_ends_in_anything_but_frames_or_a_decode_error(write_video, tmp_path, name):
    options = {
        "old.avi": {"codec": "mjpeg", "pixels": "yuvj420p"},
        "vp8.webm": {"codec": "libvpx", "deadline": "realtime"},
        "film.gif": {"codec": "gif", "pixels": "rgb8"},
    }
    content = write_video(f"full_{name}", **options.get(name, {"g": "25", "bf": "3"})).read_bytes()
    path = tmp_path / name
    for seed in range(150):
        path.write_bytes(damage_at_random(content, random.Random(seed)))
        assert_frames_or_decode_error(path)


def test_equal_warnings_are_merged_and_the_list_is_bounded():
    warnings = []
    note(warnings, [DecodeWarning("decode", "bad", at) for at in (5, 7, 9)])
    assert warnings == [DecodeWarning("decode", "bad", 5, 3)]
    note(warnings, [DecodeWarning("read", f"reason {i}", i) for i in range(100)])
    assert len(warnings) == MAX_WARNINGS
    assert sum(warning.count for warning in warnings) == 103
    assert warnings[-1].reason.startswith("further problems")
    assert warnings[0].to_json() == {"stage": "decode", "reason": "bad", "at_ms": 5, "count": 3}
