"""From the key-frames of a chunk to the value that is committed."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from encoder.analysis import concept_bits
from encoder.codes import num_code_bytes
from encoder.damage import DecodeWarning
from encoder.picture_stream import EncodedPictures
from encoder.pictures import encode_jpeg
from encoder.scaling import scale_short_side
from hashreel.errors import DecodeError
from indexer.areas import area_levels
from indexer.chunks import MAX_FRAMES, Chunk
from indexer.store import printable

if TYPE_CHECKING:
    from encoder.batching import Batcher
    from encoder.model import Model
    from encoder.video import KeyFrame
    from indexer.thumbnail_store import ChunkThumbnails

__all__ = ["StageSeconds", "empty_chunk", "encode_frames", "warning_note", "with_thumbnails"]

THUMBNAIL_SIDE = 90
"""Height of 160-pixel thumbnails of wide pictures; the shorter side of others."""


@dataclass(frozen=True)
class StageSeconds:
    """What a chunk took. Its decoder's time and its share of the network's go on side by side.

    Attributes:
        decode_s: Its thread's work: decoding, scaling, and reading the network's answers.
        encode_s: Its share of the network's time.
        waited_s: How long its thread waited for the network.
    """

    decode_s: float = 0.0
    encode_s: float = 0.0
    waited_s: float = 0.0


def encode_frames(
    frames: Iterable[KeyFrame], batcher: Batcher, before_each: Callable[[], None]
) -> tuple[Chunk, StageSeconds]:
    """Return the chunk that the key-frames make; this thread decodes, the batcher's threads compute.

    Args:
        frames: In order of time; decoded as they are asked for.
        batcher: Shared with the chunks that are encoded beside this one.
        before_each: Called before each frame; what it raises ends the work.

    Raises:
        DecodeError: If there are more frames than a chunk holds.
        Exception: What decoding, ``before_each`` or the network raises.
    """
    begun = time.perf_counter()
    times: list[int] = []
    with batcher.open() as stream:
        for frame in frames:
            before_each()
            if len(times) == MAX_FRAMES:
                raise DecodeError(f"a chunk has more than {MAX_FRAMES} key-frames; use a longer step or shorter chunks")
            times.append(frame.time_ms)
            stream.put(frame.image)
        pictures = stream.finish()
    own_s = time.perf_counter() - begun - stream.waited_s
    return _chunk(batcher.model, times, pictures), StageSeconds(own_s, stream.network_s, stream.waited_s)


def with_thumbnails(frames: Iterable[KeyFrame], pictures: ChunkThumbnails) -> Iterator[KeyFrame]:
    """Yield the frames, and keep a small picture of each."""
    for frame in frames:
        if pictures.is_wanted:
            pictures.add(encode_jpeg(scale_short_side(frame.image, THUMBNAIL_SIDE)))
        yield frame


def empty_chunk(model: Model) -> Chunk:
    """Return what takes the place of a chunk that was given up."""
    return _chunk(model, [], EncodedPictures(np.empty((0, num_code_bytes(model.bits)), np.uint8), None))


def _chunk(model: Model, times: Sequence[int], pictures: EncodedPictures) -> Chunk:
    # An empty chunk says nothing of concepts, whatever the model.
    areas = pictures.areas
    return Chunk(
        times_ms=np.array(times, np.uint32),
        codes=pictures.codes,
        concepts=None if areas is None else concept_bits(areas),
        bits=model.bits,
        fingerprint=model.fingerprint,
        areas=None if areas is None else area_levels(areas),
    )


def warning_note(warning: DecodeWarning) -> dict[str, Any]:
    """Return a warning as it is stored."""
    times = f" ({warning.count} times)" if warning.count > 1 else ""
    return {"stage": warning.stage, "reason": printable(warning.reason) + times, "at_ms": warning.at_ms}
