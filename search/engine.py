"""The query engine: a picture, a frame or a code in; ranked hits out."""

from __future__ import annotations

import base64
import binascii
import logging
import threading
import time
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import redis
from numpy.typing import NDArray

import hashreel
from encoder.codes import Codes, binarise, code_from_hex, code_to_hex
from encoder.folders import load_folder_frame
from encoder.model_files import DEFAULT_MODEL
from encoder.pictures import crop_box, encode_jpeg, load_picture
from encoder.scaling import scale_short_side
from encoder.video import grab_frame
from hashreel.errors import (
    BadInputError,
    BehindError,
    ConflictError,
    DecodeError,
    FingerprintMismatchError,
    NotFoundError,
    TooLargeError,
    UnavailableError,
)
from hashreel.schemas import (
    Answer,
    Collection,
    Collections,
    ConceptArea,
    GenerationModel,
    Health,
    HitModel,
    IndexStatus,
    IndexVerification,
    Policy,
    Position,
    Query,
    SearchRequest,
    Tags,
    VideoModel,
    Videos,
    Warn,
)
from indexer.areas import area_levels
from indexer.columns import Filter
from indexer.exchange import export_gallery, import_gallery
from indexer.gallery import Found, FoundFrame, Gallery
from indexer.generations import Generations
from indexer.records import Generation, VideoRecord
from indexer.snapshots import Snapshots
from search.thumbnails import ThumbnailCache

if TYPE_CHECKING:
    from encoder.model import Model
    from hashreel.settings import Settings
    from indexer.store import Store

__all__ = ["SearchEngine", "video_model"]

logger = logging.getLogger(__name__)

OPEN_WAIT_S = 30.0
REBUILD_WAIT_S = 600.0


@dataclass(frozen=True)
class _Encoded:
    """A query as the gallery takes it, and what that took."""

    code: Codes
    outputs: NDArray[np.float32] | None = None
    decode_ms: float = 0.0
    encode_ms: float = 0.0


class SearchEngine:
    """Answers queries over the collections of one store.

    Args:
        store: The stored state.
        settings: Limits and defaults.
        load_model: Called with a model name when a picture of that model's collection is to be encoded.
    """

    def __init__(self, store: Store, settings: Settings, load_model: Callable[[str], Model]) -> None:
        self._store = store
        self._settings = settings
        self._load_model = load_model
        self._models: dict[str, Model] = {}
        self._galleries: dict[str, Gallery] = {}
        self._opening = threading.Lock()
        self._encoding = threading.Lock()
        self._thumbnails = ThumbnailCache(settings.data / "cache" / "thumbnails", settings.thumbnail_cache_bytes)

    # Opening and closing

    def open(self) -> None:
        """Make the default collection if it is missing, load its model, and start following its log.

        Raises:
            FingerprintMismatchError: If the collection was made by another model than the settings name.
        """
        name = self._settings.collection
        live = self._store.collections().get(name)
        model = self._model(self._settings.model or (live.model if live else DEFAULT_MODEL))
        self._store.ensure_collection(
            name,
            model=self._settings.model or model.name,
            fingerprint=model.fingerprint,
            bits=model.bits,
            concepts=model.concepts,
        )
        # The first forward pass sets the network up, which takes a while; better now than in somebody's search.
        model.encode([np.zeros((model.transform.size, model.transform.size, 3), np.uint8)])
        self._gallery(name)

    def close(self) -> None:
        """Stop following the logs."""
        for gallery in self._galleries.values():
            gallery.close()

    def _gallery(self, name: str) -> Gallery:
        open_ = next((g for g in list(self._galleries.values()) if g.generation.collection == name), None)
        # Answers go on while Redis is down, from the galleries that are open.
        if open_ is not None and open_.is_cut_off:
            return open_
        try:
            generation = self._store.collection(name)
        except redis.RedisError as exc:
            if open_ is not None:
                return open_
            raise UnavailableError(f"Redis does not answer: {exc}") from exc
        return self._open_gallery(generation)

    def _open_gallery(self, generation: Generation) -> Gallery:
        with self._opening:
            gallery = self._galleries.get(generation.id)
            if gallery is not None and gallery.generation != generation:
                # A restored Redis may give the same number to the generation of another model.
                gallery.close()
                gallery = None
            if gallery is None:
                kind = self._settings.index
                gallery = Gallery(
                    self._store,
                    generation,
                    kind=kind,
                    snapshots=Snapshots(self._settings.data / "snapshots", generation, kind=kind),
                    snapshot_s=self._settings.snapshot_s,
                )
                gallery.start()
                self._galleries[generation.id] = gallery
        return gallery

    def _model(self, name: str) -> Model:
        with self._encoding:
            if name not in self._models:
                self._models[name] = self._load_model(name)
            return self._models[name]

    # Search

    def search(self, request: SearchRequest) -> Answer:
        """Answer one query.

        Raises:
            BadInputError: If the picture, code or an option is not acceptable.
            NotFoundError: If there is no such frame or collection.
            BehindError: If ``min_position`` is not reached in time.
        """
        if request.top > self._settings.max_top:
            raise TooLargeError(f"top is {request.top}; this service answers with at most {self._settings.max_top}")
        gallery = self._gallery(request.collection or self._settings.collection)
        if request.query.frame is not None:
            # A frame that was committed just now is to be found as a query, too.
            self._catch_up(gallery, request)
        query = self._encoded(request, gallery)
        behind, stale = self._catch_up(gallery, request)
        begun = time.perf_counter()
        found = gallery.search(
            query.code,
            request.top,
            radius=request.radius,
            filter_=_filter(request, gallery.generation),
            is_grouped=request.group_by == "video",
            outputs=query.outputs,
        )
        search_ms = 1000 * (time.perf_counter() - begun)
        return _answer(found, gallery.generation, query, behind=behind, stale=stale, search_ms=search_ms)

    def _encoded(self, request: SearchRequest, gallery: Gallery) -> _Encoded:
        query, is_picture = request.query, request.query.image is not None
        if request.ties == "asymmetric" and (not is_picture or request.group_by):
            raise BadInputError("ties=asymmetric needs a query picture (its real-valued outputs) and no grouping")
        if request.exclude_self and query.frame is None:
            raise BadInputError("exclude_self goes with a query frame")
        if query.code is not None:
            return _Encoded(code_from_hex(query.code, gallery.generation.bits))
        if query.frame is not None:
            return _Encoded(gallery.frame(int(query.frame)).code)
        return self._encode_picture(query, gallery.generation, with_outputs=request.ties == "asymmetric")

    def _encode_picture(self, query: Query, generation: Generation, *, with_outputs: bool) -> _Encoded:
        started = time.perf_counter()
        try:
            raw = base64.b64decode(query.image or "", validate=True)
        except binascii.Error as exc:
            raise BadInputError("image is not base64; send the bytes of a picture file, base64-encoded") from exc
        picture = load_picture(raw, max_pixels=self._settings.max_picture_pixels)
        if query.box is not None:
            picture = crop_box(picture, query.box)
        decoded = time.perf_counter()
        model = self._model(generation.model)
        if model.fingerprint != generation.fingerprint:
            raise FingerprintMismatchError(
                f"collection {generation.collection!r} holds codes of {generation.fingerprint[:12]}; "
                f"model {model.name} is {model.fingerprint[:12]} now"
            )
        outputs = model.outputs([picture])
        encoded = time.perf_counter()
        code = binarise(outputs)[0]
        return _Encoded(
            code, outputs[0] if with_outputs else None, 1000 * (decoded - started), 1000 * (encoded - decoded)
        )

    def _catch_up(self, gallery: Gallery, request: SearchRequest) -> tuple[bool, bool]:
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

    def _wait_until_built(self, gallery: Gallery) -> None:
        with suppress(redis.RedisError):
            gallery.catch_up(OPEN_WAIT_S)
        if not gallery.is_ready:
            raise UnavailableError("the gallery is still being built; see /readyz")

    # Videos

    def videos(
        self,
        *,
        limit: int = 100,
        before: int | None = None,
        state: str | None = None,
        tags: Tags | None = None,
        collection: str | None = None,
    ) -> Videos:
        """Return a page of videos, newest first; filters apply before the page is cut."""
        generation = self._store.collection(collection or self._settings.collection)
        kept: list[VideoRecord] = []
        cursor = before
        while len(kept) <= limit:
            page = self._store.video_page(generation.id, max(limit, 100), cursor)
            if not page:
                break
            kept.extend(r for r in page if _passes(r, state, tags))
            cursor = page[-1].id
        more = len(kept) > limit
        kept = kept[:limit]
        return Videos(
            videos=[video_model(record) for record in kept],
            total=self._store.count_videos(generation.id),
            next=kept[-1].id if more and kept else None,
        )

    def video(self, video_id: int) -> VideoModel:
        """Return one video; NotFoundError if there is none."""
        return video_model(self._store.video(video_id))

    def set_tags(self, video_id: int, tags: Tags) -> VideoModel:
        """Set tags (an empty value removes one)."""
        self._store.set_tags(video_id, tags)
        return self.video(video_id)

    def delete_video(self, video_id: int, *, purge: bool = False) -> VideoModel:
        """Delete a video from the gallery.

        Args:
            video_id: Its number.
            purge: Remove its stored values, its thumbnails, and its codes in memory and snapshots now, instead of
                after the grace period, and let Redis rewrite its append-only file without them.
        """
        record = self._store.find_video(video_id) if purge else self._store.video(video_id)
        if record is None:
            raise NotFoundError(f"there is no video {video_id}")
        position = self._store.delete(video_id)
        if purge:
            self._purge(record, position)
        return video_model(record)

    def _purge(self, record: VideoRecord, position: str) -> None:
        gallery = self._open_gallery(self._store.generation(record.generation))
        self._wait_until_built(gallery)
        # "gone" means that it was deleted before, which the index has seen or will have when it has caught up.
        seen = gallery.catch_up(OPEN_WAIT_S) if position == "gone" else gallery.wait_position(position, OPEN_WAIT_S)
        if not seen:
            raise BehindError(
                "the video is deleted; the index has not seen it yet, so its codes are not purged: try again"
            )
        self._store.purge_now(record.id)
        gallery.forget()
        self._thumbnails.drop(record.id)

    # State

    def collections(self) -> Collections:
        """Return all collections and their generations."""
        return Collections(collections=[self._collection(name) for name in self._store.collections()])

    def collection(self, name: str) -> Collection:
        """Return one collection; NotFoundError if there is none of that name."""
        self._store.collection(name)
        return self._collection(name)

    def _collection(self, name: str) -> Collection:
        live = self._store.collection(name)
        gallery = self._open_gallery(live)
        log_id = gallery.position.log_id if gallery.position else "0-0"
        return Collection(
            name=name,
            generation=live.id,
            model=live.model,
            fingerprint=live.fingerprint,
            bits=live.bits,
            concepts=list(live.concepts),
            frames=len(gallery),
            videos=self._store.count_videos(live.id),
            position=Position(generation=live.id, log_id=log_id),
            generations=[
                GenerationModel(
                    id=generation.id,
                    model=generation.model,
                    fingerprint=generation.fingerprint,
                    bits=generation.bits,
                    videos=self._store.count_videos(generation.id),
                    is_live=generation.id == live.id,
                )
                for generation in Generations(self._store).of(name) or [live]
            ],
        )

    def create_collection(self, name: str, model_name: str | None) -> Collection:
        """Make an empty collection; ConflictError if there is one of that name."""
        if name in self._store.collections():
            raise ConflictError(f"there is a collection {name!r} already; choose another name, or re-encode it")
        model = self._model(model_name or DEFAULT_MODEL)
        self._store.ensure_collection(
            name,
            model=model_name or model.name,
            fingerprint=model.fingerprint,
            bits=model.bits,
            concepts=model.concepts,
        )
        return self._collection(name)

    def create_generation(self, name: str, model_name: str) -> str:
        """Make a new generation of a collection for a model, beside the live one; return its number.

        Raises:
            ConflictError: If the live generation is of that very model.
        """
        live = self._store.collection(name)
        model = self._model(model_name)
        if model.fingerprint == live.fingerprint:
            raise ConflictError(f"collection {name!r} holds codes of {model.name} ({model.fingerprint[:12]}) already")
        fresh = self._store.create_generation(name, model=model_name, **_facts(model))
        return fresh.id

    def cut_over(self, name: str, generation: str) -> Collection:
        """Let a collection point at another of its generations; its gallery is built first, so no answer waits."""
        record = self._store.generation(generation)
        self._wait_until_built(self._open_gallery(record))
        Generations(self._store).cut_over(name, generation)
        return self._collection(name)

    def roll_back(self, name: str) -> Collection:
        """Let a collection point at the generation before the last cut-over."""
        Generations(self._store).roll_back(name)
        return self._collection(name)

    def drop_generation(self, name: str, generation: str) -> int:
        """Remove a generation that is not live; return how many videos it had."""
        if self._store.generation(generation).collection != name:
            raise NotFoundError(f"collection {name!r} has no generation {generation}")
        dropped = Generations(self._store).drop(generation)
        self._close_gallery(generation)
        return dropped

    def drop_collection(self, name: str) -> int:
        """Remove a collection with all of its generations; return how many videos it had."""
        if name == self._settings.collection:
            raise ConflictError(f"{name!r} is this service's own collection; it cannot be dropped while it is served")
        numbers = [generation.id for generation in Generations(self._store).of(name)]
        dropped = Generations(self._store).drop_collection(name)
        for number in numbers:
            self._close_gallery(number)
        return dropped

    def _close_gallery(self, generation: str) -> None:
        with self._opening:
            gallery = self._galleries.pop(generation, None)
        if gallery is not None:
            gallery.close()

    def health(self) -> Health:
        """Return whether queries can be answered, and how many log entries are not applied."""
        version = hashreel.__version__
        try:
            gallery = self._gallery(self._settings.collection)
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
        return self._gallery(self._settings.collection).wait_position(position, timeout_s)

    # Upkeep of the index

    def index_status(self, collection: str | None = None) -> IndexStatus:
        """Return how a collection's index stands."""
        gallery = self._built(collection)
        status = gallery.status()
        position = gallery.position
        known = {name: status.pop(name) for name in ("kind", "exact", "bits", "frames", "rows", "tombstones", "bytes")}
        return IndexStatus(
            collection=gallery.generation.collection,
            videos=gallery.videos_with_frames(),
            position=Position(generation=gallery.generation.id, log_id=position.log_id if position else "0-0"),
            lag=gallery.lag(),
            problem=gallery.problem,
            details=status,
            **known,
        )

    def index_verify(self, collection: str | None = None) -> IndexVerification:
        """Compare a collection's index with the stored values, frame by frame."""
        found = self._built(collection).verify()
        return IndexVerification(
            equal=found.is_equal,
            frames=found.frames,
            missing=found.missing,
            surplus=found.surplus,
            differing=found.differing,
        )

    def index_compact(self, collection: str | None = None) -> IndexStatus:
        """Drop the rows of deleted frames."""
        self._built(collection).compact()
        return self.index_status(collection)

    def index_rebuild(self, collection: str | None = None) -> IndexStatus:
        """Build a collection's gallery anew from the stored values; answers go on from the present one."""
        if not self._built(collection).rebuild(REBUILD_WAIT_S):
            raise UnavailableError(f"the gallery was not rebuilt within {REBUILD_WAIT_S:.0f} s; it goes on")
        return self.index_status(collection)

    def index_snapshot(self, collection: str | None = None) -> IndexStatus:
        """Write a snapshot now, if anything has changed since the last one."""
        self._built(collection).snapshot()
        return self.index_status(collection)

    def index_export(self, path: Path, format_: str, collection: str | None = None) -> None:
        """Write a collection's codes and metadata into a file: "npz", "parquet" or "faiss"."""
        gallery = self._built(collection)
        export_gallery(gallery.view(), gallery.generation, path, format_)

    def index_import(self, path: Path, collection: str | None = None) -> list[int]:
        """Add the videos of an exported file; return their numbers."""
        generation = self._built(collection).generation
        return import_gallery(self._store, generation, path)

    def _built(self, collection: str | None) -> Gallery:
        gallery = self._gallery(collection or self._settings.collection)
        self._wait_until_built(gallery)
        return gallery

    # Pictures of frames

    def thumbnail(self, frame_id: int, width: int = 320) -> bytes:
        """Return a JPEG of an indexed frame, cut from its source (cached); NotFoundError if that is gone."""
        record = self._store.video(frame_id >> 32)
        gallery = self._open_gallery(self._store.generation(record.generation))
        self._wait_until_built(gallery)
        time_ms = gallery.frame(frame_id).time_ms
        return self._thumbnails.get(frame_id, width, lambda: _cut(record, time_ms, width))

    def source_path(self, video_id: int) -> Path:
        """Return the local file of a video's source; NotFoundError if it moved or is a folder of pictures."""
        record = self._store.video(video_id)
        path = Path(record.path)
        if record.kind != "video" or not path.is_file():
            raise NotFoundError(f"the source of video {video_id}, {record.source}, is not a file (any more)")
        return path


def _facts(model: Model) -> dict[str, Any]:
    """Return what a generation keeps of its model."""
    return {"fingerprint": model.fingerprint, "bits": model.bits, "concepts": model.concepts}


def _cut(record: VideoRecord, time_ms: int, width: int) -> bytes:
    try:
        if record.kind == "pictures":
            picture = load_folder_frame(Path(record.path), time_ms)
            return encode_jpeg(scale_short_side(picture, width * 9 // 16))
        return encode_jpeg(grab_frame(record.path, time_ms, short_side=width * 9 // 16).image)
    except (DecodeError, NotFoundError, OSError) as exc:
        raise NotFoundError(f"the source {record.source} cannot be read for a picture: {exc}") from exc


def _passes(record: VideoRecord, state: str | None, tags: Tags | None) -> bool:
    return (state is None or record.state == state) and (tags or {}).items() <= record.tags.items()


def _filter(request: SearchRequest, generation: Generation) -> Filter | None:
    own = int(request.query.frame) if request.exclude_self and request.query.frame is not None else None
    filter_ = Filter(
        request.videos,
        request.tags or None,
        request.between,
        request.exclude_video,
        own,
        _concept_mask(request.concepts or (), generation),
        max(1, int(area_levels(np.array(request.min_area)))) if request.min_area else 1,
    )
    return None if filter_.is_empty else filter_


def _concept_mask(names: Sequence[str], generation: Generation) -> int:
    """Return the mask of concepts; BadInputError naming those that there are if one is unknown."""
    known = {name: bit for bit, name in enumerate(generation.concepts)}
    unknown = [name for name in names if name not in known]
    if unknown:
        there = ", ".join(generation.concepts) or "none: it does not segment"
        raise BadInputError(f"model {generation.model} predicts no concept {unknown[0]!r}; it predicts {there}")
    return sum(1 << known[name] for name in set(names))


def _answer(
    found: Found, generation: Generation, query: _Encoded, *, behind: bool, stale: bool, search_ms: float
) -> Answer:
    return Answer(
        hits=[_hit(frame, generation.concepts) for frame in found.frames],
        code=code_to_hex(query.code),
        bits=generation.bits,
        fingerprint=generation.fingerprint,
        position=Position(generation=generation.id, log_id=found.position.log_id),
        behind=behind,
        stale=stale,
        tie_band=found.tie_band,
        gallery=found.size,
        decode_ms=round(query.decode_ms, 3),
        encode_ms=round(query.encode_ms, 3),
        search_ms=round(search_ms, 3),
    )


def _hit(frame: FoundFrame, names: Sequence[str]) -> HitModel:
    seen = [ConceptArea(name=n, area=round(float(a), 3)) for n, a in zip(names, frame.areas, strict=False) if a > 0]
    return HitModel(
        video=frame.video,
        source=frame.source,
        time_ms=frame.time_ms,
        distance=frame.distance,
        frame_id=str(frame.frame_id),
        code=code_to_hex(frame.code),
        tags=frame.tags,
        concepts=sorted(seen, key=lambda concept: -concept.area),
    )


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
        tags=record.tags,
        policy=Policy(**record.policy),
        chunks=record.chunks,
        chunks_done=record.done,
        job=record.job,
        added_at=record.added_at,
        warnings=[Warn(**warning) for warning in record.warnings],
        reason=record.reason,
    )
