"""What is sent for ids alone and for frames by their ids, and what comes back: plain values, no I/O."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import TypeAlias

from hashreel.client.calls import Call, SearchKeywords, reader, request_body, search_fields
from hashreel.client.queries import QueryLike
from hashreel.schemas import FrameModel, Frames, FramesRequest, HitModel, IdsAnswer, SearchRequest, WatchHit

__all__ = ["FrameLike", "KnownFrames"]

FrameLike: TypeAlias = FrameModel | HitModel | WatchHit | str | int
IDS_S = 120.0
PART = 5000  # half of what a service takes at once by default


class KnownFrames(list[FrameModel]):
    """What is known of frames, in the order in which they were asked for.

    Attributes:
        missing: Ids of which the collection holds no frame: deleted, or of another model.
        behind: Whether the service gave up waiting for the newest writes.
        stale: Whether Redis did not answer, so that recent writes may be missing.
    """

    def __init__(self, parts: Iterable[Frames] = ()) -> None:
        super().__init__()
        self.missing: list[str] = []
        self.behind = self.stale = False
        for part in parts:
            self.extend(part.frames)
            self.missing += part.missing
            self.behind, self.stale = self.behind or part.behind, self.stale or part.stale


def search_ids(query: QueryLike, top: int, options: SearchKeywords) -> Call[IdsAnswer]:
    """Return the call of a search for ids and distances."""
    body = request_body(SearchRequest, **search_fields(query, top, options))
    return Call("POST", "/v1/search/ids", reader(IdsAnswer), json=body, repeatable=True, timeout_s=IDS_S)


def frames(wanted: FrameLike | Iterable[FrameLike], code: str | None, collection: str | None) -> Iterator[Call[Frames]]:
    """Yield the calls that look frames up, some thousands at a time."""
    listed = [wanted] if isinstance(wanted, FrameModel | WatchHit | str | int) else wanted
    ids = [_frame_of(frame) for frame in listed]
    code = None if code is None else code.removeprefix("code:")
    for start in range(0, len(ids), PART):
        body = request_body(FramesRequest, frames=ids[start : start + PART], code=code, collection=collection)
        yield Call("POST", "/v1/frames", reader(Frames), json=body, repeatable=True)


def _frame_of(frame: FrameLike) -> str:
    return str(frame).removeprefix("frame:") if isinstance(frame, str | int) else frame.frame_id
