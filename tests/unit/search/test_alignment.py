"""The aligner against a slow, obvious one, and on stretches that are known."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from search.alignment import Clip, Line, Match, Pairs, align, bars_of, find_lines, judge, pair_weights

BITS = 48
Film = tuple[NDArray[np.float64], NDArray[np.uint8]]


def film(rng: np.random.Generator, seconds: float, *, shot_s: float = 2.0) -> NDArray[np.uint8]:
    """Return a code every 10 ms: shots of random codes in which a bit turns now and then."""
    codes = np.empty((round(seconds * 100), BITS // 8), np.uint8)
    for start in range(0, len(codes), round(shot_s * 100)):
        code = rng.integers(0, 256, BITS // 8, dtype=np.uint8)
        for row in range(start, min(start + round(shot_s * 100), len(codes))):
            if row % 10 == 0:
                code = code ^ np.packbits(np.arange(BITS) == rng.integers(BITS))
            codes[row] = code
    return codes


def indexed(codes: NDArray[np.uint8], step_ms: int = 1000) -> Film:
    times = np.arange(0, 10 * len(codes), step_ms)
    return times.astype(np.float64), codes[times // 10]


def clip_of(
    rng: np.random.Generator, codes: NDArray[np.uint8], start_ms: float, length_ms: float, rate: float, flips: int = 3
) -> tuple[NDArray[np.float64], NDArray[np.uint8], float]:
    """Return frames of a cut that runs ``rate`` times faster, each with some bits turned."""
    times = np.arange(0, length_ms / rate, 250.0)
    cut = codes[((start_ms + rate * times) // 10).astype(int).clip(0, len(codes) - 1)]
    noise = np.stack([np.isin(np.arange(BITS), rng.choice(BITS, flips, replace=False)) for _ in times])
    return times, cut ^ np.packbits(noise, axis=1), length_ms / rate


def search(times, codes, duration, films: dict[int, Film], top: int = 256) -> tuple[Clip, Pairs]:  # type: ignore[no-untyped-def]
    gallery = [(v, t, c) for v, (ts, cs) in films.items() for t, c in zip(ts, cs, strict=True)]
    all_codes = np.array([c for _, _, c in gallery])
    distances = np.bitwise_count(codes[:, None] ^ all_codes[None]).sum(axis=2).astype(np.int32)
    order = np.argsort(distances, axis=1, kind="stable")[:, :top]
    nearest = np.take_along_axis(distances, order, 1)
    bars = bars_of(nearest, BITS, top)
    near = nearest < bars[:, None]
    weights = np.array([pair_weights(row, len(gallery)) for row in nearest])
    videos, video_ms = (np.array([row[part] for row in gallery])[order] for part in (0, 1))
    pairs = Pairs(times[np.nonzero(near)[0]], videos[near].astype(np.int64), video_ms[near], weights[near])
    return Clip(times, codes, duration, bars), pairs


def frames_of(films: dict[int, Film]):  # type: ignore[no-untyped-def]
    def between(video: int, start_ms: float, end_ms: float) -> Film:
        times, codes = films[video]
        inside = (times >= start_ms) & (times <= end_ms)
        return times[inside], codes[inside]

    return between


def run(clip_parts, films: dict[int, Film], **options: int) -> list[Match]:  # type: ignore[no-untyped-def]
    clip, pairs = search(*clip_parts, films)
    return align(clip, pairs, frames_of(films), **options)


def overlap(match: Match, start_ms: float, end_ms: float) -> float:
    common = min(match.end_ms, end_ms) - max(match.start_ms, start_ms)
    return max(0.0, common) / (max(match.end_ms, end_ms) - min(match.start_ms, start_ms))


@settings(max_examples=25, deadline=None)
@given(
    seed=st.integers(0, 2**31),
    start_ms=st.integers(0, 20_000),
    length_ms=st.integers(3000, 9000),
    rate=st.floats(0.9, 1.1),
    step_ms=st.sampled_from([500, 1000]),
)
def test_a_cut_is_found_where_it_was_taken(seed: int, start_ms: int, length_ms: int, rate: float, step_ms: int) -> None:
    rng = np.random.default_rng(seed)
    films = {number: film(rng, 30.0) for number in range(4)}
    parts = clip_of(rng, films[2], start_ms, length_ms, rate)
    best = run(parts, {number: indexed(codes, step_ms) for number, codes in films.items()})[0]
    assert best.line.video == 2
    assert overlap(best, start_ms, start_ms + length_ms) >= 0.6
    assert 0 <= best.clip_start_ms < best.clip_end_ms <= parts[2]
    # Both ranges are the same stretch, seen from either side.
    for clip_ms, video_ms in ((best.clip_start_ms, best.start_ms), (best.clip_end_ms, best.end_ms)):
        assert abs(best.line.rate * clip_ms + best.line.offset_ms - video_ms) < step_ms


def slow_best(clip: Clip, films: dict[int, Film]) -> tuple[float, int]:
    """Return (evidence, video) of the best line of a fine grid, by loops: the nearest clip frame in time counts."""
    best = (0.0, -1)
    for video, (times, codes) in films.items():
        for rate in (0.9, 1.0, 1.1):
            for offset in np.arange(-clip.duration_ms, times[-1] + 1, 125.0):
                run_sum = 0.0
                for time_ms, code in zip(times, codes, strict=True):
                    at = (time_ms - offset) / rate
                    if not 0 <= at <= clip.duration_ms:
                        continue
                    row = int(np.argmin(np.abs(clip.times_ms - at)))
                    run_sum = max(0.0, run_sum + clip.bars[row] - int(np.bitwise_count(clip.codes[row] ^ code).sum()))
                    best = max(best, (run_sum, video))
    return best


@pytest.mark.parametrize("seed", range(4))
def test_it_finds_what_trying_every_line_finds(seed: int) -> None:
    rng = np.random.default_rng(seed)
    films = {number: film(rng, 8.0, shot_s=1.5) for number in range(3)}
    stored = {number: indexed(codes) for number, codes in films.items()}
    parts = clip_of(rng, films[seed % 3], 1000, 5000, (0.9, 1.0, 1.1, 1.0)[seed], flips=6)
    clip, pairs = search(*parts, stored)
    evidence, video = slow_best(clip, stored)
    best = align(clip, pairs, frames_of(stored))[0]
    assert best.line.video == video
    found = (float(clip.bars.mean()) - best.mean_distance) * best.frames
    assert found >= 0.8 * evidence


def test_a_clip_that_stands_in_several_places_is_found_in_all() -> None:
    rng = np.random.default_rng(5)
    piece, rest = film(rng, 5.0), film(rng, 40.0)
    first = np.concatenate([rest[:800], piece, rest[800:2000], piece, rest[2000:2600]])
    films = {0: indexed(first), 1: indexed(np.concatenate([rest[2600:3100], piece])), 2: indexed(film(rng, 20.0))}
    found = run(clip_of(rng, piece, 0, 5000, 1.0), films, top=3)
    assert sorted((m.line.video, round(m.start_ms, -3)) for m in found) == [(0, 8000), (0, 25_000), (1, 5000)]
    assert len(run(clip_of(rng, piece, 0, 5000, 1.0), films, top=1)) == 1


def test_only_the_likeness_counts_as_the_stretch() -> None:
    rng = np.random.default_rng(6)
    source, other = film(rng, 30.0), film(rng, 10.0)
    times, codes, _ = clip_of(rng, np.concatenate([other[:300], source[1000:1500], other[300:600]]), 0, 11_000, 1.0)
    best = run((times, codes, 11_000.0), {7: indexed(source)})[0]
    assert overlap(best, 10_000, 15_000) >= 0.7
    assert abs(best.clip_start_ms - 3000) <= 1000
    assert abs(best.clip_end_ms - 8000) <= 1000


def test_a_strange_clip_and_an_empty_gallery_match_nothing() -> None:
    rng = np.random.default_rng(7)
    parts = clip_of(rng, film(rng, 10.0), 0, 5000, 1.0)
    films = {0: indexed(film(rng, 30.0))}
    assert all(match.score < 0.2 for match in run(parts, films))
    clip = Clip(*parts, bars_of(np.empty((len(parts[0]), 0), np.int32), BITS, 256))
    nothing = Pairs(np.empty(0), np.empty(0, np.int64), np.empty(0), np.empty(0))
    assert align(clip, nothing, frames_of(films)) == []
    assert find_lines(nothing, 5000.0, 10) == []


def test_a_clip_of_one_frame_and_a_video_of_one_frame() -> None:
    code = np.full((1, BITS // 8), 0xA5, np.uint8)
    films = {3: (np.array([700.0]), code)}
    best = run((np.zeros(1), code, 40.0), films)[0]
    assert (best.line.video, best.frames, best.mean_distance) == (3, 1, 0.0)
    assert best.start_ms <= 700 <= best.end_ms


def test_a_video_that_was_deleted_meanwhile_is_no_match() -> None:
    clip = Clip(np.zeros(1), np.zeros((1, BITS // 8), np.uint8), 1000.0, np.full(1, 16.0))
    assert judge(Line(1, 1.0, 0.0), clip, lambda *_: (np.empty(0), np.empty((0, BITS // 8), np.uint8))) is None


def test_a_full_gallery_lowers_the_bar() -> None:
    assert bars_of(np.array([[0, 9, 12]], np.int32), BITS, 4).tolist() == [16.0]
    assert bars_of(np.array([[0, 9, 12], [0, 0, 0], [1, 20, 20]], np.int32), BITS, 3).tolist() == pytest.approx(
        [12, 9.6, 16]
    )
