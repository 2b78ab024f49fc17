"""Ground truth: which concepts a picture, or a stretch of a video, contains."""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Literal, get_args

import numpy as np

from hashreel.errors import BadInputError
from search.evaluation.groups import BoolArray, IntArray
from search.evaluation.labels import Labels

__all__ = ["MAX_CONCEPT_LENGTH", "ROLES", "Problems", "Role", "Truth", "TruthRecord"]

Role = Literal["gallery", "query", "both"]
ROLES: tuple[Role, ...] = get_args(Role)

MAX_CONCEPT_LENGTH = 100
MAX_REPORTED_PROBLEMS = 10


@dataclass(frozen=True)
class TruthRecord:
    """The concepts of one picture, or of one video from ``start_s`` up to but not including ``end_s``.

    Attributes:
        row: the line of the file it was read from, for messages.
        concepts: names, each once; may be empty (nothing of interest to be seen).
        picture: the picture's path or name, or None for a stretch of video.
        video: the video's path or name, or None for a picture.
        start_s: first moment, seconds, at least 0.
        end_s: end of the stretch, seconds, more than ``start_s``; infinite for "to the end".
        role: "gallery" (may be returned), "query" (asked, not in the gallery) or "both".
        clip: a name shared by stretches that show the same footage, or None.
    """

    row: int
    concepts: tuple[str, ...]
    picture: str | None = None
    video: str | None = None
    start_s: float = 0.0
    end_s: float = math.inf
    role: Role = "gallery"
    clip: str | None = None

    def problems(self) -> Iterator[str]:
        """Yield what is wrong with the record, in words."""
        if (self.picture is None) == (self.video is None):
            yield "names both a picture and a video" if self.picture else "names neither a picture nor a video"
        if not (self.start_s >= 0 and math.isfinite(self.start_s)):
            yield f"start_s is {self.start_s}; expected a number of seconds, at least 0"
        elif not self.end_s > self.start_s:
            yield f"end_s {self.end_s} is not after start_s {self.start_s}"
        if self.role not in ROLES:
            yield f"role is {self.role!r}; accepted: {', '.join(ROLES)}"
        if len(set(self.concepts)) != len(self.concepts):
            yield "names a concept twice"
        for name in self.concepts:
            if not name.strip() or len(name) > MAX_CONCEPT_LENGTH or not name.isprintable():
                yield f"concept {name[:40]!r} is not a name of 1 to {MAX_CONCEPT_LENGTH} printable characters"


class Problems:
    """Collects problems with their rows and raises one error that names the first of them."""

    def __init__(self, source: str) -> None:
        self._source = source
        self._lines: list[str] = []

    def add(self, row: int, text: str) -> None:
        """Note a problem of a row."""
        self._lines.append(f"row {row}: {text}")

    def raise_any(self) -> None:
        """Raise BadInputError if a problem was noted."""
        if not self._lines:
            return
        shown = self._lines[:MAX_REPORTED_PROBLEMS]
        rest = len(self._lines) - len(shown)
        more = f"\n... and {rest} more" if rest else ""
        raise BadInputError(f"{self._source} is not usable as ground truth:\n" + "\n".join(shown) + more)


class Truth:
    """Checked records, and what they say about pictures and key-frames."""

    def __init__(self, records: Iterable[TruthRecord], source: str = "the ground truth") -> None:
        """Check the records and keep them in order.

        Raises:
            BadInputError: Naming the rows that are wrong: a record's own fields, a picture that stands
                twice, or no record at all.
        """
        self.records = tuple(records)
        problems = Problems(source)
        seen: dict[str, int] = {}
        for record in self.records:
            for text in record.problems():
                problems.add(record.row, text)
            if record.picture is not None:
                first = seen.setdefault(record.picture, record.row)
                if first != record.row:
                    problems.add(record.row, f"picture {record.picture!r} stands in row {first} already")
        problems.raise_any()
        if not self.records:
            raise BadInputError(f"{source} has no rows; expected at least one picture or stretch of video")
        self.concepts: tuple[str, ...] = tuple(sorted({name for r in self.records for name in r.concepts}))
        if not self.concepts:
            raise BadInputError(f"{source} names no concept in any row; there is nothing to evaluate")

    @property
    def pictures(self) -> tuple[TruthRecord, ...]:
        """The records of pictures, in order."""
        return tuple(r for r in self.records if r.picture is not None)

    @property
    def videos(self) -> tuple[str, ...]:
        """The videos that are named, each once, in order."""
        return tuple(dict.fromkeys(r.video for r in self.records if r.video is not None))

    @property
    def has_listed_queries(self) -> bool:
        """Whether the file itself says what the queries are, by the role of at least one row."""
        return any(r.role != "gallery" for r in self.records)

    @property
    def gallery(self) -> tuple[TruthRecord, ...]:
        """The records that may be returned, in order."""
        return tuple(r for r in self.records if r.role != "query")

    @property
    def queries(self) -> tuple[TruthRecord, ...]:
        """The records that the file lists as queries, in order."""
        return tuple(r for r in self.records if r.role != "gallery")

    def labels_of(self, records: Sequence[TruthRecord]) -> Labels:
        """Return the labels of records, columns in the order of ``concepts``."""
        return Labels.from_sets([r.concepts for r in records], self.concepts)

    def label_frames(
        self, videos: Sequence[str], times_ms: IntArray, records: Sequence[TruthRecord] | None = None
    ) -> tuple[Labels, BoolArray]:
        """Return what the truth says of key-frames.

        Where stretches overlap a frame has the concepts of all of them. Times compare in whole milliseconds.

        Args:
            videos: the video of each frame, [n], named as in the truth.
            times_ms: int64 [n], the time of each frame in milliseconds.
            records: which of the records count; all by default.

        Returns:
            The labels of the n frames, and bool [n]: whether a stretch covers the frame at all.
        """
        matrix = np.zeros((len(videos), len(self.concepts)), dtype=np.bool_)
        is_covered = np.zeros(len(videos), dtype=np.bool_)
        column = {name: j for j, name in enumerate(self.concepts)}
        rows_of = _rows_by_name(videos)
        for record in self.records if records is None else records:
            if record.video is None or record.video not in rows_of:
                continue
            rows = rows_of[record.video]
            inside = rows[_is_within(times_ms[rows], record)]
            is_covered[inside] = True
            matrix[inside[:, None], [column[name] for name in record.concepts]] = True
        return Labels(self.concepts, matrix), is_covered


def _rows_by_name(names: Sequence[str]) -> dict[str, IntArray]:
    """Return the rows of each name, ascending, in one pass over them: int64 [m] each."""
    numbers: dict[str, int] = {}
    which = np.fromiter((numbers.setdefault(name, len(numbers)) for name in names), dtype=np.int64, count=len(names))
    order = np.argsort(which, kind="stable")
    ends = np.cumsum(np.bincount(which, minlength=len(numbers)))
    return dict(zip(numbers, np.split(order, ends[:-1]), strict=True)) if numbers else {}


def _is_within(times_ms: IntArray, record: TruthRecord) -> BoolArray:
    is_after_start = times_ms >= round(record.start_s * 1000)
    if math.isinf(record.end_s):
        return np.asarray(is_after_start)
    return np.asarray(is_after_start & (times_ms < round(record.end_s * 1000)))
