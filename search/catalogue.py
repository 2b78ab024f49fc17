"""Videos: listing, tags, deletion, pictures of their frames."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, TypeVar

import redis

from encoder.folders import load_folder_frame
from encoder.pictures import encode_jpeg, encode_png
from encoder.scaling import Image, scale_short_side
from encoder.video import grab_frame
from hashreel.errors import BehindError, DecodeError, NotFoundError
from hashreel.schemas import FrameModel, HitModel, Tags, VideoModel, Videos, WatchHit
from indexer.generations import Generations
from indexer.members import Members, name_at
from indexer.records import VideoRecord
from indexer.store import printable
from indexer.thumbnail_store import ThumbnailStore
from search.galleries import OPEN_WAIT_S, Galleries
from search.replies import video_model
from search.thumbnails import ThumbnailCache

if TYPE_CHECKING:
    from encoder.model import Model
    from hashreel.settings import Settings
    from indexer.store import Store

__all__ = ["Catalogue"]

Frame = TypeVar("Frame", HitModel, FrameModel, WatchHit)


class Catalogue(Galleries):
    """What users do with videos beside searching them."""

    def __init__(self, store: Store, settings: Settings, load_model: Callable[[str], Model]) -> None:
        super().__init__(store, settings, load_model)
        self._members = Members(store)
        self._kept = ThumbnailStore(store, settings.thumbnail_store, settings.thumbnail_store_bytes)
        self._thumbnails = ThumbnailCache(settings.data / "cache" / "thumbnails", settings.thumbnail_cache_bytes)

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

    def collection_of(self, video_id: int) -> str:
        """Return the collection of a video, a deleted one included; NotFoundError if there is none."""
        record = self._store.find_video(video_id)
        if record is None:
            raise NotFoundError(f"there is no video {video_id}")
        return self._store.generation(record.generation).collection

    def set_tags(self, video_id: int, tags: Tags) -> VideoModel:
        """Set tags (an empty value removes one), also of the same source in other generations."""
        self._store.set_tags(video_id, tags)
        for twin in Generations(self._store).twins(video_id):
            self._store.set_tags(twin, tags)
        return self.video(video_id)

    def delete_video(self, video_id: int, *, purge: bool = False) -> VideoModel:
        """Delete a video from the gallery, and the same source from other generations: a cut-over brings nothing back.

        Args:
            video_id: Its number.
            purge: Remove its stored values, its thumbnails, and its codes in memory and snapshots now, instead of
                after the grace period, and let Redis rewrite its append-only file without them.
        """
        record = self._store.find_video(video_id) if purge else self._store.video(video_id)
        if record is None:
            raise NotFoundError(f"there is no video {video_id}")
        twins = self._store.find_videos(Generations(self._store).twins(video_id))
        for one in (record, *(twin for twin in twins if twin is not None)):
            position = self._store.delete(one.id)
            if purge:
                self._purge(one, position)
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
        self._kept.drop(record.id)

    def with_members(self, frames: Sequence[Frame]) -> list[Frame]:
        """Return frames of which those in folders and archives of pictures name the file inside."""
        members = self.members_at([(frame.video, frame.time_ms) for frame in frames])
        return [
            frame if member is None else frame.model_copy(update={"member": member})
            for frame, member in zip(frames, members, strict=True)
        ]

    def members_at(self, places: Sequence[tuple[int, int]]) -> list[str | None]:
        """Return the files inside at some places (video, time in ms); None in videos, and while Redis is away."""
        try:
            names = self._members.names(video for video, _ in places)
        except redis.RedisError:
            return [None] * len(places)  # what was found is right, and lacks the names
        return [_member_of(names[video], time_ms) for video, time_ms in places]

    def _frame_picture(self, record: VideoRecord, time_ms: int, short_side: int | None = None) -> Image:
        """Return a frame of a video, uint8 [h, w, 3]; NotFoundError if its source is gone or was changed."""
        name = self._members.name(record.id, time_ms) if record.kind == "pictures" else None
        scratch = self._settings.data / "cache"
        return _picture(record, time_ms, short_side, name, scratch if scratch.is_dir() else None)

    def _jpeg(self, record: VideoRecord, time_ms: int, width: int) -> bytes:
        return encode_jpeg(self._frame_picture(record, time_ms, width * 9 // 16))

    def thumbnail(self, frame_id: int, width: int = 320) -> bytes:
        """Return a JPEG of an indexed frame, cut from its source (cached).

        Where the source is gone or was changed, it is the thumbnail that was kept when the frame was indexed, 160
        pixels wide.

        Raises:
            NotFoundError: If the source is gone and no thumbnail was kept.
        """
        record = self._store.video(frame_id >> 32)
        gallery = self._open_gallery(self._store.generation(record.generation))
        self._wait_until_built(gallery)
        time_ms = gallery.frame(frame_id).time_ms
        try:
            return self._thumbnails.get(frame_id, width, lambda: self._jpeg(record, time_ms, width))
        except (NotFoundError, DecodeError, OSError):
            # Not cached: the source may come back.
            kept = self._kept.get(frame_id)
            if kept is None:
                raise
            return kept

    def frame_png(self, frame_id: int) -> bytes:
        """Return an indexed frame in full size, as PNG; NotFoundError if its source is gone or was changed."""
        record = self._store.video(frame_id >> 32)
        gallery = self._open_gallery(self._store.generation(record.generation))
        self._wait_until_built(gallery)
        return encode_png(self._frame_picture(record, gallery.frame(frame_id).time_ms))

    def source_path(self, video_id: int) -> Path:
        """Return the local file of an indexed video; NotFoundError if it moved, changed, or is a folder of pictures.

        Only what was decoded as a video is ever served, so that naming a file is no way to read it.
        """
        record = self._store.video(video_id)
        path = Path(record.path)
        if record.kind != "video" or not record.frames or not record.sha256 or not path.is_file():
            raise NotFoundError(f"the source of video {video_id}, {record.source}, is not an indexed file (any more)")
        _check_unchanged(record)
        return path


def _check_unchanged(record: VideoRecord) -> None:
    """Make sure that a file is the one that was indexed; a picture of another one would be false evidence."""
    path = Path(record.path)
    if record.kind != "video" and not path.is_file():
        return
    info = path.stat()
    if (info.st_size, info.st_mtime_ns) != (record.size, record.modified_ns):
        raise NotFoundError(f"the file {record.source} was changed after it was indexed; enqueue it again")


def _member_of(names: Sequence[str], time_ms: int) -> str | None:
    name = name_at(names, time_ms)
    return None if name is None else printable(name)


def _picture(
    record: VideoRecord, time_ms: int, short_side: int | None, name: str | None, scratch: Path | None
) -> Image:
    if "://" in record.path:
        raise NotFoundError(f"the source {record.source} lies elsewhere, and its local copy was removed after use")
    try:
        _check_unchanged(record)
        if record.kind == "pictures":
            picture = load_folder_frame(Path(record.path), time_ms, name, scratch)
            return picture if short_side is None else scale_short_side(picture, short_side)
        return grab_frame(record.path, time_ms, short_side=short_side).image
    except (DecodeError, NotFoundError, OSError) as exc:
        raise NotFoundError(f"the source {record.source} cannot be read for a picture: {exc}") from exc


def _passes(record: VideoRecord, state: str | None, tags: Tags | None) -> bool:
    return (state is None or record.state == state) and (tags or {}).items() <= record.tags.items()
