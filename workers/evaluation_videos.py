"""Which videos of a collection a ground truth means, their key-frames as items, and their pictures."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Iterable, Mapping, Sequence
from contextlib import suppress
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from encoder.codes import num_code_bytes
from encoder.folders import load_folder_frame
from encoder.pictures import encode_jpeg
from encoder.scaling import scale_short_side
from encoder.video import grab_frame
from hashreel.errors import BadInputError, HashreelError
from indexer.collecting import Collected
from indexer.records import Generation, VideoRecord
from search.evaluation import Items, Truth, frame_items

__all__ = ["Frames", "cut_pictures", "match_videos"]

SHOWN = 10
SHORT_SIDE = 90
QUALITY = 70

IntArray = NDArray[np.int64]


def match_videos(names: Sequence[str], records: Iterable[VideoRecord], source: str) -> dict[int, str]:
    """Return the number of the video that each name of a ground truth means, number to name.

    A name is a full source name or, where only one video ends in it, the name of its file.

    Raises:
        BadInputError: Naming all that are not there, not unique, or not indexed.
    """
    by_name: dict[str, list[VideoRecord]] = defaultdict(list)
    by_base: dict[str, list[VideoRecord]] = defaultdict(list)
    for record in records:
        by_name[record.source].append(record)
        by_base[Path(record.source).name].append(record)
    problems, found = [], dict[int, str]()
    for name in names:
        matches = by_name.get(name) or by_base.get(name) or []
        indexed = [record for record in matches if record.state == "indexed"]
        if not matches:
            problems.append(f"{name!r} is not in the collection")
        elif not indexed:
            problems.append(f"{name!r} is {matches[0].state}, not indexed")
        elif len(indexed) > 1:
            which = ", ".join(f"{record.id} ({record.source})" for record in indexed[:SHOWN])
            problems.append(f"{name!r} means {len(indexed)} videos: {which}")
        elif indexed[0].id in found:
            problems.append(f"{name!r} is the same video as {found[indexed[0].id]!r}")
        else:
            found[indexed[0].id] = name
    if problems:
        more = f"\n... and {len(problems) - SHOWN} more" if len(problems) > SHOWN else ""
        raise BadInputError(
            f"{source} names videos that cannot be evaluated (by full source name, or by file name where that is "
            "unique):\n" + "\n".join(problems[:SHOWN]) + more
        )
    return found


class Frames:
    """The key-frames of collected videos, in order of their frame ids.

    Args:
        collected: The chunks.
        generation: Whose they are.
        names: Video number to its name in the ground truth.
    """

    def __init__(self, collected: Collected, generation: Generation, names: Mapping[int, str]) -> None:
        chunks = collected.chunks
        sizes = [len(chunk) for chunk in chunks.values()]
        numbers = np.array([video for video, _ in chunks], dtype=np.int64)
        self.videos = np.repeat(numbers, sizes)
        empty = np.empty((0, num_code_bytes(generation.bits)), np.uint8)
        self.times_ms = np.concatenate([np.empty(0, np.int64), *(c.times_ms.astype(np.int64) for c in chunks.values())])
        self.codes = np.concatenate([empty, *(chunk.codes for chunk in chunks.values())])
        self._names = names
        self._records = collected.records

    def __len__(self) -> int:
        return len(self.times_ms)

    def items(self, truth: Truth) -> tuple[Items, IntArray]:
        """Return those that the truth speaks of, and which they are: int64 [m]."""
        names = [self._names[video] for video in self.videos.tolist()]
        return frame_items(truth, names, self.times_ms, self.codes, self.videos)

    def place(self, row: int) -> tuple[VideoRecord, int]:
        """Return the video and the time, in milliseconds, of a frame."""
        return self._records[int(self.videos[row])], int(self.times_ms[row])


def _picture_of(record: VideoRecord, time_ms: int) -> bytes | None:
    """Return a small JPEG of a frame, cut from its source; None if that is gone, changed or damaged."""
    path = Path(record.path)
    with suppress(HashreelError, OSError):
        if record.kind == "pictures":
            return encode_jpeg(scale_short_side(load_folder_frame(path, time_ms), SHORT_SIDE), QUALITY)
        info = path.stat()
        if (info.st_size, info.st_mtime_ns) == (record.size, record.modified_ns):
            return encode_jpeg(grab_frame(path, time_ms, short_side=SHORT_SIDE).image, QUALITY)
    return None


def cut_pictures(places: Mapping[str, tuple[VideoRecord, int]], tell: Callable[[int, int], None]) -> dict[str, bytes]:
    """Return the pictures of frames by key, without those that cannot be cut.

    Args:
        places: Key to video and time in milliseconds.
        tell: Called with (done, all) before each; what it raises ends the work.
    """
    pictures = {}
    for number, (key, (record, time_ms)) in enumerate(places.items()):
        tell(number, len(places))
        picture = _picture_of(record, time_ms)
        if picture is not None:
            pictures[key] = picture
    return pictures
