"""Per-video columns, against a plain list of frames."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from hashreel.errors import NotFoundError
from indexer.chunks import MAX_VIDEO, frame_id, split_frame_id
from indexer.columns import Columns, Filter, Stretch
from indexer.records import VideoRecord


def record(video: int, tags: dict[str, str] | None = None) -> VideoRecord:
    raw = {b"source": b"archive/%d.mp4" % video, b"state": b"indexed"}
    made = VideoRecord.from_redis(video, raw)
    made.tags.update(tags or {})
    return made


TIMES = st.lists(st.integers(0, 20), max_size=6).map(sorted)
TAGS = st.dictionaries(st.sampled_from("ab"), st.sampled_from("xy"), max_size=2)
VIDEOS = st.dictionaries(st.integers(1, 6), st.tuples(TAGS, st.dictionaries(st.integers(0, 3), TIMES, max_size=3)))
BETWEEN = st.tuples(st.integers(-3, 25), st.integers(-3, 25))
FILTERS = st.builds(
    Filter,
    videos=st.none() | st.sets(st.integers(1, 8), max_size=4),
    tags=st.none() | TAGS,
    between_ms=st.none() | BETWEEN | st.just((0, 2**53)),
    exclude_video=st.none() | st.integers(1, 6),
)


def fill(videos: dict[int, tuple[dict[str, str], dict[int, list[int]]]]) -> Columns:
    columns = Columns()
    for video, (tags, chunks) in videos.items():
        for chunk, times in chunks.items():
            columns.add(record(video, tags), chunk, Stretch(np.array(times, np.uint32)))
    return columns


@given(videos=VIDEOS, wanted=FILTERS)
@settings(max_examples=300, deadline=None)
def test_allowed_ranges_hold_exactly_the_frames_that_pass(
    videos: dict[int, tuple[dict[str, str], dict[int, list[int]]]], wanted: Filter
) -> None:
    allowed = fill(videos).allowed(wanted)
    for video, (tags, chunks) in videos.items():
        for chunk, times in chunks.items():
            for index, time_ms in enumerate(times):
                passes = (
                    (wanted.videos is None or video in wanted.videos)
                    and all(tags.get(name) == value for name, value in (wanted.tags or {}).items())
                    and (wanted.between_ms is None or wanted.between_ms[0] <= time_ms < wanted.between_ms[1])
                    and video != wanted.exclude_video
                )
                frame = frame_id(video, chunk, index)
                is_in = allowed is None or any(first <= frame < end for first, end in allowed.tolist())
                assert is_in == passes, (video, chunk, index)


def test_only_a_filter_of_nothing_is_empty() -> None:
    assert Filter().is_empty
    assert not Filter(videos=[]).is_empty
    assert not Filter(between_ms=(0, 0)).is_empty
    assert Columns().allowed(Filter()) is None


def test_filter_by_no_video_allows_nothing() -> None:
    allowed = fill({1: ({}, {0: [0]})}).allowed(Filter(videos=[]))
    assert allowed is not None
    assert allowed.shape == (0, 2)
    assert allowed.dtype == np.int64


def test_last_possible_video_can_be_filtered() -> None:
    allowed = fill({MAX_VIDEO: ({}, {0: [0]})}).allowed(Filter(videos=[MAX_VIDEO]))
    assert allowed is not None
    assert allowed[0, 0] <= frame_id(MAX_VIDEO, 0, 0) < allowed[0, 1]


def test_time_of_a_frame_and_of_none() -> None:
    columns = fill({3: ({}, {0: [10, 20], 2: [700]})})
    assert columns.time_ms(frame_id(3, 0, 1)) == 20
    assert columns.time_ms(frame_id(3, 2, 0)) == 700
    for missing in (frame_id(3, 0, 2), frame_id(3, 1, 0), frame_id(4, 0, 0), 0, 2**63 - 1):
        with pytest.raises(NotFoundError, match=str(missing)):
            columns.time_ms(missing)
    assert split_frame_id(frame_id(3, 2, 0)) == (3, 2, 0)


def test_dropped_video_is_gone_once() -> None:
    columns = fill({3: ({}, {0: [1]})})
    assert columns.has_chunk(3, 0)
    assert not columns.has_chunk(3, 1)
    assert columns.drop(3)
    assert not columns.drop(3)
    assert not columns.has_chunk(3, 0)
