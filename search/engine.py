"""The query engine: a picture, a frame or a code in; ranked hits out."""

from __future__ import annotations

import time
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Literal

import numpy as np
import redis

import hashreel
from encoder.codes import binarise, code_from_hex, num_code_bytes
from encoder.scaling import scale_short_side
from hashreel.errors import (
    BadInputError,
    BehindError,
    FingerprintMismatchError,
    NotFoundError,
    TooLargeError,
    UnavailableError,
)
from hashreel.schemas import (
    Answer,
    ClipAnswer,
    ClipOptions,
    FramesRequest,
    Health,
    IdsAnswer,
    Query,
    SearchRequest,
)
from indexer.columns import Columns, Filter
from indexer.gallery import Found, FoundFrame, Gallery
from indexer.index import Index
from indexer.records import Generation
from search.clips import clip_answer, encode_clip
from search.feedback import refine
from search.looking_up import LookingUp
from search.masks import Masks
from search.query_pictures import query_picture
from search.rankings import Ranked, by_areas, by_weights
from search.replies import EncodedQuery, Told, answer_of, concept_mask, filter_of, ids_of
from search.upkeep import IndexUpkeep
from search.watching import Watching

if TYPE_CHECKING:
    from encoder.model import Model

__all__ = ["SearchEngine"]


class SearchEngine(Masks, Watching, LookingUp, IndexUpkeep):
    """Answers queries over the collections of one store, and looks after them (``search.ports.EnginePort``).

    Args:
        store: The stored state.
        settings: Limits and defaults.
        load_model: Called with a model's name or folder when it is first needed.
    """

    def search(self, request: SearchRequest) -> Answer:
        """Answer one query; hits in albums of pictures name the file inside.

        Raises:
            BadInputError: If the picture, code or an option is not acceptable.
            TooLargeError: If more hits are asked for than one answer may have.
            NotFoundError: If there is no such frame or collection.
            BehindError: If ``min_position`` is not reached in time.
        """
        self._check_top(request.top, "max_top")
        answer = answer_of(*self._found(request, is_bare=False))
        return answer if answer.stale else answer.model_copy(update={"hits": self.with_members(answer.hits)})

    def search_ids(self, request: SearchRequest) -> IdsAnswer:
        """Answer one query with ids and distances alone; errors as :meth:`search`."""
        self._check_top(request.top, "max_top_ids")
        return ids_of(*self._found(request, is_bare=True))

    def _check_top(self, top: int, setting: Literal["max_top", "max_top_ids"]) -> None:
        limit: int = getattr(self._settings, setting)
        if top <= limit:
            return
        more = f"; /v1/search/ids gives up to {self._settings.max_top_ids} ids and distances"
        raise TooLargeError(
            f"top is {top}; this service answers with at most {limit} hits ({setting}, HASHREEL_{setting.upper()})"
            + (more if setting == "max_top" else "")
        )

    def _found(self, request: SearchRequest, *, is_bare: bool) -> tuple[Found, Generation, EncodedQuery, Told]:
        """Return what a query finds, and all else that its answer says; ``is_bare`` for ids and distances alone."""
        request = request.model_copy(update={"query": self.fetched(request.query)})
        gallery = self._gallery(request.collection)
        if request.query.frame is not None or request.more or request.less:
            # A frame that was committed just now is to be found as a query, too.
            self._catch_up(gallery, request)
        query = self._refined(request, self._encoded(request, gallery), gallery)
        behind, stale = self._catch_up(gallery, request)
        begun = time.perf_counter()
        filter_ = self._filter_without_suppressed(
            filter_of(request, gallery.generation), gallery, request.include_suppressed
        )
        suppressed = self._count_suppressed(filter_, gallery)
        scores: list[float] | None = None
        if query.weights is not None or request.query.is_empty:
            found, scores = self._ranked(request, query, gallery, filter_, is_bare=is_bare)
        else:
            found = gallery.search(
                query.code,
                request.top,
                radius=request.radius,
                filter_=filter_,
                is_grouped=request.group_by == "video",
                outputs=query.outputs,
                is_bare=is_bare,
            )
        told = Told(behind, stale, 1000 * (time.perf_counter() - begun), scores, suppressed)
        return found, gallery.generation, query, told

    def search_clip(self, path: Path, options: ClipOptions) -> ClipAnswer:
        """Return which stretches of which videos a clip's file matches.

        Raises:
            DecodeError: If the file is no video.
            TooLargeError: If the clip is longer than ``max_clip_s``.
            NotFoundError: If there is no such collection.
            BehindError: If ``min_position`` is not reached in time.
        """
        gallery = self._gallery(options.collection)
        model = self._model_of(gallery.generation)
        with self._decoding:
            clip = encode_clip(path, model, self._settings.max_clip_s)
        behind, stale = self._catch_up(gallery, options)
        own = Filter(options.videos, options.tags or None, options.between, options.exclude_video)
        filter_ = self._filter_without_suppressed(own, gallery, options.include_suppressed) or own
        answer = clip_answer(clip, gallery, options, filter_, behind=behind, stale=stale)
        stretches = answer.stretches if stale else self._named(answer.stretches, gallery)
        suppressed = self._count_suppressed(filter_, gallery)
        return answer.model_copy(update={"suppressed": suppressed, "stretches": stretches})

    def _encoded(self, request: SearchRequest, gallery: Gallery) -> EncodedQuery:
        query, is_picture = request.query, request.query.image is not None
        if request.ties == "asymmetric" and (not is_picture or request.group_by):
            raise BadInputError("ties=asymmetric needs a query picture (its real-valued outputs) and no grouping")
        if request.exclude_self and query.frame is None:
            raise BadInputError("exclude_self goes with a query frame")
        if query.is_empty:
            return EncodedQuery(np.zeros(num_code_bytes(gallery.generation.bits), np.uint8))
        if query.code is not None:
            return EncodedQuery(code_from_hex(query.code, gallery.generation.bits))
        if query.frame is not None:
            return EncodedQuery(gallery.frame(int(query.frame)).code)
        return self._encode_picture(query, gallery.generation, with_outputs=request.ties == "asymmetric")

    def _refined(self, request: SearchRequest, query: EncodedQuery, gallery: Gallery) -> EncodedQuery:
        """Return the query as frames that are marked "more" or "less" change it."""
        if not (request.more or request.less):
            return query
        width = num_code_bytes(gallery.generation.bits)
        more, less = (
            np.array([gallery.frame(int(frame)).code for frame in marked or ()], np.uint8).reshape(-1, width)
            for marked in (request.more, request.less)
        )
        own = None if request.query.is_empty else query.code
        code, weights = refine(own, more, less, gallery.generation.bits)
        return replace(query, code=code, weights=weights, outputs=None)

    def _ranked(
        self, request: SearchRequest, query: EncodedQuery, gallery: Gallery, filter_: Filter | None, *, is_bare: bool
    ) -> tuple[Found, list[float]]:
        """Return frames in another order than by distance: by weights, or by the areas of concepts."""
        is_grouped = request.group_by == "video"
        if query.weights is not None:
            ranking = by_weights(query.code, query.weights, request.top, is_grouped=is_grouped)
        else:
            mask = concept_mask(request.concepts or (), gallery.generation)
            ranking = by_areas(mask, request.top, is_grouped=is_grouped)

        def read(index: Index, columns: Columns) -> tuple[Ranked, list[FoundFrame], int]:
            allowed = columns.allowed(filter_) if filter_ else None
            ranked = ranking(index, columns, allowed)
            frames = [] if is_bare else gallery.describe(ranked.frames, ranked.distances)
            return ranked, frames, len(index)

        (ranked, frames, size), position = gallery.look(read)
        return Found(ranked.frames, ranked.distances, frames, 0, position, size), ranked.scores.tolist()

    def _model_of(self, generation: Generation) -> Model:
        """Return the model that made a generation's codes."""
        model = self._model(generation.model)
        if model.fingerprint != generation.fingerprint:
            raise FingerprintMismatchError(
                f"collection {generation.collection!r} holds codes of {generation.fingerprint[:12]}; "
                f"model {model.name} is {model.fingerprint[:12]} now"
            )
        return model

    def _encode_picture(self, query: Query, generation: Generation, *, with_outputs: bool) -> EncodedQuery:
        model = self._model_of(generation)
        started = time.perf_counter()
        # A picture may take most of a gigabyte while it is decoded, so only a few are at a time.
        with self._decoding:
            picture = query_picture(query, self._settings.max_picture_pixels)
            # The first step of every transform, so that what is kept while the network works is small.
            picture = scale_short_side(picture, model.transform.size)
        decoded = time.perf_counter()
        outputs = self._batches_of(generation, model).outputs(picture)
        encoded = time.perf_counter()
        code = binarise(outputs[None])[0]
        return EncodedQuery(
            code, outputs if with_outputs else None, 1000 * (decoded - started), 1000 * (encoded - decoded)
        )

    def _catch_up(self, gallery: Gallery, request: SearchRequest | ClipOptions | FramesRequest) -> tuple[bool, bool]:
        """Wait for the log as asked; return (behind, stale)."""
        wait_s = self._settings.consistency_wait_ms / 1000
        if not gallery.is_ready:
            self._wait_until_built(gallery)
        if request.min_position is not None and not gallery.wait_position(request.min_position, wait_s):
            raise BehindError(f"the index has not reached log position {request.min_position}; try again")
        if request.consistency == "eventual":
            return False, False
        try:
            return not gallery.catch_up(wait_s), False
        except (redis.RedisError, NotFoundError):
            return False, True

    def health(self) -> Health:
        """Return whether queries can be answered, and how many log entries are not applied."""
        version = hashreel.__version__
        try:
            gallery = self._gallery(None)
        except (UnavailableError, NotFoundError) as exc:
            return Health(ready=False, version=version, redis=False, detail=str(exc))
        try:
            lag, is_up = gallery.lag(), True
        except redis.RedisError:
            lag, is_up = 0, False
        return Health(
            ready=gallery.is_ready,
            version=version,
            generation=gallery.generation.id,
            model=gallery.generation.model,
            frames=len(gallery),
            lag=lag,
            redis=is_up,
            detail=gallery.problem,
        )

    def wait_position(self, position: str, timeout_s: float) -> bool:
        """Return whether the default collection's index reached a log id in time."""
        return self._gallery(None).wait_position(position, timeout_s)
