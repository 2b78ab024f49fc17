"""From what is found and stored to its form on the wire."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from encoder.codes import Codes, code_to_hex
from hashreel.errors import BadInputError
from hashreel.schemas import (
    Answer,
    ConceptArea,
    FrameModel,
    HitModel,
    IdsAnswer,
    Policy,
    Position,
    SearchRequest,
    VideoModel,
    Warn,
)
from indexer.areas import area_levels
from indexer.columns import Filter
from indexer.gallery import Found, FoundFrame
from indexer.records import Generation, VideoRecord

__all__ = ["EncodedQuery", "Told", "answer_of", "concept_mask", "filter_of", "frame_model", "ids_of", "video_model"]


@dataclass(frozen=True)
class EncodedQuery:
    """A query as the gallery takes it, and what that took.

    Attributes:
        code: uint8 [ceil(bits / 8)].
        outputs: float32 [bits], the network's real-valued outputs, where the tie order asks for them.
        weights: float32 [bits], the weight of each bit, where marked frames have refined the query.
    """

    code: Codes
    outputs: NDArray[np.float32] | None = None
    decode_ms: float = 0.0
    encode_ms: float = 0.0
    weights: NDArray[np.float32] | None = None


def filter_of(request: SearchRequest, generation: Generation) -> Filter | None:
    """Return which frames a request may be answered with; None for all."""
    own = int(request.query.frame) if request.exclude_self and request.query.frame is not None else None
    filter_ = Filter(
        request.videos,
        request.tags or None,
        request.between,
        request.exclude_video,
        own,
        concept_mask(request.concepts or (), generation),
        max(1, int(area_levels(np.array(request.min_area)))) if request.min_area else 1,
    )
    return None if filter_.is_empty else filter_


def concept_mask(names: Sequence[str], generation: Generation) -> int:
    """Return the mask of concepts; BadInputError naming those that there are if one is unknown."""
    known = {name: bit for bit, name in enumerate(generation.concepts)}
    unknown = [name for name in names if name not in known]
    if unknown:
        there = ", ".join(generation.concepts) or "none: it does not segment"
        raise BadInputError(f"model {generation.model} predicts no concept {unknown[0]!r}; it predicts {there}")
    return sum(1 << known[name] for name in set(names))


@dataclass(frozen=True)
class Told:
    """What an answer says beside its hits.

    Attributes:
        scores: What the order goes by, where that is not the distance.
        suppressed: Frames that the suppression list left out.
    """

    behind: bool
    stale: bool
    search_ms: float
    scores: Sequence[float] | None = None
    suppressed: int = 0


def answer_of(found: Found, generation: Generation, query: EncodedQuery, told: Told) -> Answer:
    """Return an answer in its wire form."""
    scores = told.scores if told.scores is not None else [None] * len(found.frames)
    hits = [
        HitModel(**_known(frame, generation.concepts), distance=frame.distance, score=_rounded(score))
        for frame, score in zip(found.frames, scores, strict=True)
    ]
    return Answer(hits=hits, **_facts(found, generation, query, told))


def ids_of(found: Found, generation: Generation, query: EncodedQuery, told: Told) -> IdsAnswer:
    """Return an answer in its wire form, without what is known of each frame."""
    return IdsAnswer(
        frame_ids=list(map(str, found.ids.tolist())),
        distances=found.distances.tolist(),
        scores=None if told.scores is None else [round(score, 4) for score in told.scores],
        **_facts(found, generation, query, told),
    )


def frame_model(frame: FoundFrame, generation: Generation, *, with_distance: bool) -> FrameModel:
    """Return a frame in its wire form."""
    distance = frame.distance if with_distance else None
    return FrameModel(**_known(frame, generation.concepts), distance=distance)


def _facts(found: Found, generation: Generation, query: EncodedQuery, told: Told) -> dict[str, Any]:
    return {
        "code": code_to_hex(query.code),
        "bits": generation.bits,
        "fingerprint": generation.fingerprint,
        "position": Position(generation=generation.id, log_id=found.position.log_id),
        "behind": told.behind,
        "stale": told.stale,
        "tie_band": found.tie_band,
        "tie_band_truncated": found.is_band_cut,
        "suppressed": told.suppressed,
        "gallery": found.size,
        "decode_ms": round(query.decode_ms, 3),
        "encode_ms": round(query.encode_ms, 3),
        "search_ms": round(told.search_ms, 3),
    }


def _known(frame: FoundFrame, names: Sequence[str]) -> dict[str, Any]:
    seen = [ConceptArea(name=n, area=round(float(a), 3)) for n, a in zip(names, frame.areas, strict=False) if a > 0]
    return {
        "video": frame.video,
        "source": frame.source,
        "time_ms": frame.time_ms,
        "frame_id": str(frame.frame_id),
        "code": code_to_hex(frame.code),
        "tags": frame.tags,
        "concepts": sorted(seen, key=lambda concept: -concept.area),
    }


def _rounded(score: float | None) -> float | None:
    return None if score is None else round(score, 4)


def video_model(record: VideoRecord) -> VideoModel:
    """Return a stored record in its wire form."""
    return VideoModel(
        id=record.id,
        source=record.source,
        state="cancelled" if record.state == "deleted" else record.state,  # type: ignore[arg-type]
        kind=record.kind,  # type: ignore[arg-type]
        frames=record.frames,
        duration_s=record.duration_ms / 1000,
        width=record.width,
        height=record.height,
        codec=record.codec,
        sha256=record.sha256,
        runtimes=record.runtimes,
        tags=record.tags,
        policy=Policy(**record.policy),
        found=record.found,  # type: ignore[arg-type]
        chunks=record.chunks,
        chunks_done=record.done,
        job=record.job,
        added_at=record.added_at,
        warnings=[Warn(**warning) for warning in record.warnings],
        reason=record.reason,
        same_as=record.same_as,
    )
