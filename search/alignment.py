"""Which stretch of which video a clip matches: votes for (video, rate, offset), then proof along the aligned path.

A clip is sampled densely and a gallery coarsely, so every gallery frame of a true stretch has a clip frame close to its
own moment. Each near pair (clip frame, gallery frame) votes for the lines ``video time = rate * clip time + offset``
that pass through it, a rare one more than a common one [0]. The lines with most votes are fitted to their pairs, then
judged by the Hamming distance of every gallery frame along them, also of those that no search returned: a frame below
a bar speaks for the line, one above it against, and the best run of frames is the stretch.

Numpy only. [0] Video copy detection by spatio-temporal voting: Douze et al., An image-based approach to video copy
detection with spatio-temporal post-filtering, 2010, https://hal.inria.fr/inria-00514760
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from encoder.codes import Codes

__all__ = [
    "MAX_RATE",
    "MIN_RATE",
    "Clip",
    "Line",
    "Match",
    "Pairs",
    "align",
    "bars_of",
    "find_lines",
    "judge",
    "pair_weights",
]

MIN_RATE = 0.87
MAX_RATE = 1.15
RATE_STEP = 0.01
TOLERANCE_MS = 500.0
DRIFT = 0.005  # of a clip's length: what half a step of rates moves its ends by
FITS = 3
OFFSETS = np.arange(-30, 31) / 30.0
TURNS = np.arange(-6, 7) / 6.0
BAR_SHARE = 1 / 3
LEAST_BAR_SHARE = 1 / 5
"""A pair is evidence for a match while it differs in less than such a share of its bits; chosen on other cuts than the
benchmark's."""

Times = NDArray[np.float64]
FramesOf = Callable[[int, float, float], tuple[Times, Codes]]
"""Takes a video and a range in ms; returns its gallery frames there: times in ms, float64 [m], and codes."""


@dataclass(frozen=True)
class Clip:
    """A clip's frames.

    Attributes:
        times_ms: float64 [n], ascending.
        codes: uint8 [n, ceil(bits / 8)].
        duration_ms: Its length.
        bars: float64 [n], the distance from which on a pair speaks against a match, for each frame.
    """

    times_ms: Times
    codes: Codes
    duration_ms: float
    bars: NDArray[np.float64]


@dataclass(frozen=True)
class Pairs:
    """Near pairs of a clip frame and a gallery frame.

    Attributes:
        clip_ms: float64 [p].
        video: int64 [p], the gallery frame's video.
        video_ms: float64 [p], and its time.
        weights: float64 [p], at least 0.
    """

    clip_ms: Times
    video: NDArray[np.int64]
    video_ms: Times
    weights: NDArray[np.float64]


@dataclass(frozen=True)
class Line:
    """``video time = rate * clip time + offset_ms`` in one video, and the weight of the pairs on it."""

    video: int
    rate: float
    offset_ms: float
    votes: float = 0.0


@dataclass(frozen=True)
class Match:
    """A stretch of a video that a stretch of the clip matches.

    Attributes:
        line: How times correspond.
        score: 0 to 1: how far below the bar the distances are, over all gallery frames that the clip spans.
        mean_distance: Mean Hamming distance of the matched gallery frames.
        frames: How many gallery frames matched.
    """

    line: Line
    clip_start_ms: float
    clip_end_ms: float
    start_ms: float
    end_ms: float
    score: float
    mean_distance: float
    frames: int


def pair_weights(distances: NDArray[np.int32], gallery: int) -> NDArray[np.float64]:
    """Return how telling each pair of one clip frame is: the logarithm of how rare so near a frame is.

    Args:
        distances: int32 [k], ascending: a clip frame's nearest gallery frames.
        gallery: Number of frames in the gallery.
    """
    as_near = np.searchsorted(distances, distances, side="right")
    return np.log1p(max(gallery, len(distances)) / np.maximum(as_near, 1))


def align(
    clip: Clip, pairs: Pairs, frames_of: FramesOf, *, top: int = 10, candidates: int = 100, least_score: float = 0.0
) -> list[Match]:
    """Return the stretches that a clip matches, best first; several a video where they do not overlap.

    Args:
        clip: Its frames.
        pairs: Near pairs, from a search for every frame of the clip.
        frames_of: Gives all gallery frames of a stretch.
        top: Number of stretches at most.
        candidates: Number of lines that are looked at more closely.
        least_score: Leave out stretches with a lower score.
    """
    # A look along each line is cheap, the search for the best line near it is not.
    looked = [(judge(line, clip, frames_of), line) for line in find_lines(pairs, clip.duration_ms, candidates)]
    looked.sort(key=lambda row: (-row[0].score if row[0] else 0.0, row[1].video, row[1].offset_ms))
    found: list[Match] = []
    for _, line in looked[: 3 * top + 5]:
        match = improve(fit(line, pairs, clip.duration_ms), clip, frames_of)
        if match is not None and match.score > least_score:
            found.append(match)
    return _distinct(found)[:top]


def find_lines(pairs: Pairs, duration_ms: float, count: int) -> list[Line]:
    """Return the lines with the greatest votes, greatest first: a Hough transform over (video, rate, offset).

    Lines of a video whose middles lie closer together than the tolerance are one line.
    """
    if not len(pairs.clip_ms):
        return []
    tolerance = max(TOLERANCE_MS, DRIFT * duration_ms)
    middle = duration_ms / 2
    rows = [_peaks(pairs, rate, middle, tolerance, count) for rate in _rates()]
    video, at_ms, rate, votes = (np.concatenate(parts) for parts in zip(*rows, strict=True))
    # Of equal votes the rate nearest to 1.
    order = np.lexsort((at_ms, video, np.abs(np.log(rate)), -votes))
    lines: list[Line] = []
    taken: dict[int, list[float]] = {}
    for i in order:
        others = taken.setdefault(int(video[i]), [])
        if all(abs(at_ms[i] - other) > 2 * tolerance for other in others):
            others.append(float(at_ms[i]))
            lines.append(Line(int(video[i]), float(rate[i]), float(at_ms[i] - rate[i] * middle), float(votes[i])))
            if len(lines) == count:
                break
    return lines


def _rates() -> NDArray[np.float64]:
    steps = np.arange(round((MIN_RATE - 1) / RATE_STEP), round((MAX_RATE - 1) / RATE_STEP) + 1)
    return np.asarray(1 + RATE_STEP * steps, np.float64)


def _peaks(
    pairs: Pairs, rate: float, middle: float, tolerance: float, count: int
) -> tuple[NDArray[np.int64], Times, Times, NDArray[np.float64]]:
    """Return (video, time in it at the clip's middle, rate, votes) of the fullest bins at a rate."""
    at_ms = pairs.video_ms - rate * (pairs.clip_ms - middle)
    # Two bins side by side are summed, so that a line on a border between them loses nothing.
    bins = np.floor(at_ms / tolerance).astype(np.int64)
    keys = np.stack([np.tile(pairs.video, 2), np.concatenate([bins, bins + 1])], axis=1)
    _, first, which = np.unique(keys, axis=0, return_index=True, return_inverse=True)
    weights = np.tile(pairs.weights, 2)
    votes: NDArray[np.float64] = np.asarray(np.bincount(which.ravel(), weights), np.float64)
    centres = np.bincount(which.ravel(), weights * np.tile(at_ms, 2)) / np.maximum(votes, 1e-12)
    best = np.argsort(-votes, kind="stable")[:count]
    videos: NDArray[np.int64] = keys[first[best], 0]
    return videos, centres[best], np.full(len(best), rate), votes[best]


def fit(line: Line, pairs: Pairs, duration_ms: float) -> Line:
    """Return the line through the pairs near it: weighted least squares, again and again with less tolerance."""
    tolerance = 2 * max(TOLERANCE_MS, DRIFT * duration_ms)
    of_video = pairs.video == line.video
    x, y, w = pairs.clip_ms[of_video], pairs.video_ms[of_video], pairs.weights[of_video]
    for _ in range(FITS):
        near = np.abs(y - line.rate * x - line.offset_ms) <= tolerance
        if not near.any():
            break
        line = _least_squares(line, x[near], y[near], w[near])
        tolerance = max(TOLERANCE_MS, tolerance / 2)
    return line


def _least_squares(line: Line, x: Times, y: Times, w: NDArray[np.float64]) -> Line:
    mean_x, mean_y = np.average(x, weights=w), np.average(y, weights=w)
    spread = float(np.average((x - mean_x) ** 2, weights=w))
    rate = line.rate
    # A rate needs pairs over some length of time; of a shorter one it would be noise.
    if spread > (2 * TOLERANCE_MS) ** 2:
        slope = float(np.average((x - mean_x) * (y - mean_y), weights=w)) / spread
        rate = float(np.clip(slope, MIN_RATE, MAX_RATE))
    return replace(line, rate=rate, offset_ms=float(mean_y - rate * mean_x))


def improve(line: Line, clip: Clip, frames_of: FramesOf) -> Match | None:
    """Return the best stretch along lines near this one; in the middle of those that are equally good."""
    window = _Window.of(line, clip, frames_of)
    if window is None:
        return None
    middle = clip.duration_ms / 2
    reach = 1.5 * max(TOLERANCE_MS, window.gap_ms / 2, DRIFT * clip.duration_ms)
    turn = min(0.13, reach / max(middle, 1.0))
    rates = np.unique(np.clip(np.append(line.rate + turn * TURNS, 1.0), MIN_RATE, MAX_RATE))
    centres = line.offset_ms + line.rate * middle + reach * OFFSETS
    gains = np.stack([window.gains(rate, centres - rate * middle) for rate in rates])
    rate, offset = _centre_of_best(gains, rates, centres, middle)
    return window.match(replace(line, rate=rate, offset_ms=offset))


def _centre_of_best(
    gains: NDArray[np.float64], rates: NDArray[np.float64], centres: Times, middle: float
) -> tuple[float, float]:
    """Return (rate, offset) of the greatest gain: of equal ones the rate nearest to 1, in the middle of its offsets."""
    # Half a bit is less than chance moves the sum by.
    good = gains >= gains.max() - 0.5
    row = min(np.flatnonzero(good.any(axis=1)), key=lambda i: abs(np.log(rates[i])))
    peak = int(np.argmax(gains[row]))
    first = last = peak
    while first > 0 and good[row, first - 1]:
        first -= 1
    while last + 1 < len(centres) and good[row, last + 1]:
        last += 1
    centre = (centres[first] + centres[last]) / 2
    return float(rates[row]), float(centre - rates[row] * middle)


def judge(line: Line, clip: Clip, frames_of: FramesOf) -> Match | None:
    """Return the stretch along exactly this line; None if not one gallery frame speaks for it."""
    window = _Window.of(line, clip, frames_of)
    return window.match(line) if window is not None else None


@dataclass(frozen=True)
class _Window:
    """The gallery frames around a line, and their evidence against every clip frame.

    Attributes:
        times_ms: float64 [m].
        distances: float64 [m, n].
        gap_ms: The usual distance of gallery frames.
    """

    clip: Clip
    times_ms: Times
    distances: NDArray[np.float64]
    gap_ms: float

    @classmethod
    def of(cls, line: Line, clip: Clip, frames_of: FramesOf) -> _Window | None:
        slack = 2 * max(TOLERANCE_MS, DRIFT * clip.duration_ms) + 2000.0
        times, codes = frames_of(
            line.video, line.offset_ms - slack, line.rate * clip.duration_ms + line.offset_ms + slack
        )
        if not len(times):
            return None
        distances = np.bitwise_count(codes[:, None, :] ^ clip.codes[None]).sum(axis=2, dtype=np.float64)
        gap = float(np.median(np.diff(times))) if len(times) > 1 else 1000.0
        return cls(clip, times, distances, gap)

    def gains(self, rate: float, offsets: Times) -> NDArray[np.float64]:
        """Return the evidence of the best run of frames along each of some parallel lines, float64 [o]."""
        sums = np.zeros((len(offsets), len(self.times_ms) + 1))
        evidence, inside, _ = self._along(rate, offsets)
        np.cumsum(np.where(inside, evidence, 0.0), axis=1, out=sums[:, 1:])
        return np.asarray((sums - np.minimum.accumulate(sums, axis=1)).max(axis=1))

    def _along(self, rate: float, offsets: Times) -> tuple[NDArray[np.float64], NDArray[np.bool_], NDArray[np.float64]]:
        """Return evidence, whether a frame lies within the clip, and distances, each [o, m]."""
        clip, n = self.clip, len(self.clip.times_ms)
        at = (self.times_ms[None] - offsets[:, None]) / rate
        right = np.clip(np.searchsorted(clip.times_ms, at), 1, max(n - 1, 1))
        left, right = right - 1, np.minimum(right, n - 1)
        span = np.maximum(clip.times_ms[right] - clip.times_ms[left], 1e-9)
        share = np.clip((at - clip.times_ms[left]) / span, 0.0, 1.0)
        rows = np.arange(len(self.times_ms))[None]
        distances = (1 - share) * self.distances[rows, left] + share * self.distances[rows, right]
        bars = (1 - share) * clip.bars[left] + share * clip.bars[right]
        return bars - distances, (at >= 0) & (at <= clip.duration_ms), distances

    def match(self, line: Line) -> Match | None:
        """Return the best run of frames along a line, its ends extended to where the clip or the likeness ends."""
        evidence, inside, distances = (part[0] for part in self._along(line.rate, np.array([line.offset_ms])))
        rows = np.flatnonzero(inside)
        run = _best_run(evidence[rows])
        if run is None:
            return None
        first, last = int(rows[run[0]]), int(rows[run[1]])
        start, end = self._ends(line, first, last)
        most = float(np.mean(self.clip.bars)) * (max(len(rows), self._expected(line)) + 1)
        return Match(
            line,
            clip_start_ms=float(np.clip((start - line.offset_ms) / line.rate, 0, self.clip.duration_ms)),
            clip_end_ms=float(np.clip((end - line.offset_ms) / line.rate, 0, self.clip.duration_ms)),
            start_ms=start,
            end_ms=end,
            score=min(1.0, float(evidence[first : last + 1].sum()) / most),
            mean_distance=float(distances[first : last + 1].mean()),
            frames=last - first + 1,
        )

    def _expected(self, line: Line) -> float:
        """Return how many gallery frames the whole clip would span, were the video long enough."""
        return line.rate * self.clip.duration_ms / max(self.gap_ms, 1.0)

    def _ends(self, line: Line, first: int, last: int) -> tuple[float, float]:
        times = self.times_ms
        start = max(0.0, line.offset_ms)
        end = min(line.offset_ms + line.rate * self.clip.duration_ms, float(times[-1]) + self.gap_ms)
        if first > 0 and times[first - 1] >= start:
            start = float(times[first - 1] + times[first]) / 2
        if last + 1 < len(times) and times[last + 1] <= end:
            end = float(times[last] + times[last + 1]) / 2
        return min(start, float(times[first])), max(end, float(times[last]))


def _best_run(evidence: NDArray[np.float64]) -> tuple[int, int] | None:
    """Return the first and last row of the run with the greatest sum; None if no sum is above 0."""
    sums = np.concatenate([[0.0], np.cumsum(evidence)])
    lows = np.minimum.accumulate(sums)
    last = int(np.argmax(sums - lows))
    if sums[last] - lows[last] <= 0:
        return None
    return int(np.argmin(sums[: last + 1])), last - 1


def _distinct(found: Sequence[Match]) -> list[Match]:
    """Return matches by falling score, without those that share most of both ranges with a better one."""
    kept: list[Match] = []
    for match in sorted(found, key=lambda m: (-m.score, m.line.video, m.start_ms)):
        if not any(_is_same(match, other) for other in kept):
            kept.append(match)
    return kept


def _is_same(one: Match, other: Match) -> bool:
    if one.line.video != other.line.video:
        return False
    common = min(one.end_ms, other.end_ms) - max(one.start_ms, other.start_ms)
    return common > 0.5 * min(one.end_ms - one.start_ms, other.end_ms - other.start_ms)


def bars_of(nearest: NDArray[np.int32], bits: int, top: int) -> NDArray[np.float64]:
    """Return from which distance on a pair speaks against a match, for each clip frame, float64 [n].

    A third of the bits; less, down to a fifth, where the gallery is full of frames as near, so that it tells little.

    Args:
        nearest: int32 [n, k], ascending: distances of each clip frame's nearest gallery frames.
        bits: Length of a code.
        top: How many were asked for; fewer means that the gallery has no more.
    """
    most = np.full(len(nearest), BAR_SHARE * bits)
    if nearest.shape[1] < top:
        return most
    return np.clip(nearest[:, -1].astype(np.float64), LEAST_BAR_SHARE * bits, most)
