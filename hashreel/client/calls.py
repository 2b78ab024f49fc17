"""What each method sends and how its answer is read: plain values, no I/O."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Generic, Literal, TypedDict, TypeVar, get_args

import httpx
from pydantic import BaseModel, ValidationError

from hashreel.client.queries import QueryLike, query_of
from hashreel.errors import BadInputError
from hashreel.schemas import (
    Answer,
    Batch,
    BatchRequest,
    Box,
    Collection,
    CollectionRequest,
    Collections,
    CutoverRequest,
    Dropped,
    EnqueueRequest,
    Failures,
    Flaw,
    Health,
    HitModel,
    ImportedVideos,
    IndexStatus,
    IndexVerification,
    JobModel,
    Jobs,
    JobVideos,
    Lane,
    NotReady,
    Policy,
    ReencodeRequest,
    SearchRequest,
    TagsRequest,
    Upload,
    VideoModel,
    Videos,
)

__all__ = [
    "Call",
    "EnqueueOptions",
    "SearchKeywords",
    "Sources",
    "VideoFilter",
    "path_part",
    "reader",
    "request_body",
]

T = TypeVar("T")
M = TypeVar("M", bound=BaseModel)
Sources = str | os.PathLike[str] | Upload | Iterable[str | os.PathLike[str] | Upload]

PAGE = 200
JOB_VIDEOS = 10_000
REASONS_TOLD = 5
UPKEEP_S = 900.0  # a large gallery takes minutes to compare, to rebuild or to write
UPLOAD_S = 600.0  # the service puts the file on disk, and may compare it with another, before it answers


class SearchKeywords(TypedDict, total=False):
    """How to search; see ``Client.search``."""

    radius: int | None
    box: Box | None
    tags: Mapping[str, str | list[str]] | None
    videos: Iterable[int] | None
    between: tuple[float, float] | None
    group_by: Literal["video"] | None
    collection: str | None
    exclude_video: int | None
    concepts: list[str] | None
    min_area: float | None
    more: Iterable[HitModel | str] | None
    less: Iterable[HitModel | str] | None
    include_suppressed: bool
    exclude_self: bool
    ties: Literal["id", "asymmetric"]
    min_position: str | None
    consistency: Literal["latest", "eventual"]


class EnqueueOptions(TypedDict, total=False):
    """How to index; see ``Client.enqueue``."""

    every_s: float | None
    keyframes: Literal["codec"] | None
    scenes: bool
    drop: Iterable[Flaw] | None
    tags: Mapping[str, str] | None
    collection: str | None
    again: bool
    lane: Lane | None
    key: str | None


class VideoFilter(TypedDict, total=False):
    """Which videos to list; see ``Client.videos``."""

    state: str | None
    tags: Mapping[str, str] | None
    collection: str | None


@dataclass(frozen=True)
class Call(Generic[T]):
    """One request and the reader of its answer.

    Attributes:
        parse: Turns a response of an accepted status into the result.
        repeatable: Whether sending it twice does no harm, so that a failed try may be repeated.
        timeout_s: Longest wait for the answer, where the client's own would be too short.
        accepted: Statuses beside the successes that ``parse`` understands.
    """

    method: str
    path: str
    parse: Callable[[httpx.Response], T]
    params: list[tuple[str, str | int]] = field(default_factory=list)
    json: bytes | None = None
    repeatable: bool = False
    timeout_s: float | None = None
    accepted: frozenset[int] = frozenset()


def reader(model: type[M]) -> Callable[[httpx.Response], M]:
    """Return a function that reads a response as the model."""
    return lambda response: model.model_validate_json(response.content)


def request_body(model: type[BaseModel], /, **fields: Any) -> bytes:
    """Return the document of a request; BadInputError where the schema forbids a value."""
    try:
        return model.model_validate(fields).model_dump_json(exclude_none=True).encode()
    except ValidationError as exc:
        errors = exc.errors(include_url=False)
        told = [f"{'.'.join(str(part) for part in item['loc'])}: {item['msg']}" for item in errors[:REASONS_TOLD]]
        more = [f"and {len(errors) - REASONS_TOLD} more"] if len(errors) > REASONS_TOLD else []
        reasons = "; ".join(told + more)
        raise BadInputError(f"the request is refused: {reasons}") from exc


def search_fields(query: QueryLike, top: int, options: SearchKeywords) -> dict[str, Any]:
    """Return the fields of a search request; ``between`` turns from seconds into milliseconds."""
    fields: dict[str, Any] = dict(options)
    fields["query"] = query_of(query, fields.pop("box", None))
    fields["top"] = top
    if fields.get("between") is not None:
        fields["between"] = tuple(round(seconds * 1000) for seconds in fields["between"])
    if fields.get("videos") is not None:
        fields["videos"] = list(fields["videos"])
    for name in ("more", "less"):
        if fields.get(name) is not None:
            fields[name] = [_frame_of(mark) for mark in fields[name]]
    return fields


def _frame_of(mark: HitModel | str | int) -> str:
    """Return the frame id of a hit, of "frame:ID" or of the id itself."""
    return mark.frame_id if isinstance(mark, HitModel) else str(mark).removeprefix("frame:")


def search(query: QueryLike, top: int, options: SearchKeywords) -> Call[Answer]:
    """Return the call of a search."""
    body = request_body(SearchRequest, **search_fields(query, top, options))
    return Call("POST", "/v1/search", reader(Answer), json=body, repeatable=True)


def search_many(queries: Iterable[QueryLike], top: int, options: SearchKeywords) -> Call[Batch]:
    """Return the call of several searches with the same options."""
    body = request_body(BatchRequest, requests=[search_fields(query, top, options) for query in queries])
    return Call("POST", "/v1/search/batch", reader(Batch), json=body, repeatable=True)


def enqueue(sources: Sources, options: EnqueueOptions) -> Call[JobModel]:
    """Return the call that enqueues sources."""
    one = isinstance(sources, str | os.PathLike | Upload)
    listed: Iterable[Any] = [sources] if one else sources  # type: ignore[assignment]
    body = request_body(
        EnqueueRequest,
        sources=[item.source if isinstance(item, Upload) else _sent_path(item) for item in listed],
        policy=_policy(options),
        tags=dict(options.get("tags") or {}),
        collection=options.get("collection"),
        again=options.get("again", False),
        lane=options.get("lane"),
        key=options.get("key"),
    )
    # With a key the service knows a request that it has had already.
    has_key = options.get("key") is not None
    return Call("POST", "/v1/jobs", reader(JobModel), json=body, repeatable=has_key, timeout_s=UPKEEP_S)


def _sent_path(path: str | os.PathLike[str]) -> str:
    """Return a path as JSON carries it: bytes that are not UTF-8 become U+FFFD, which the service tells of."""
    return os.fsdecode(path).encode("utf-16", "surrogatepass").decode("utf-16", "replace")


def _policy(options: EnqueueOptions) -> Policy | None:
    every_s, keyframes, scenes = options.get("every_s"), options.get("keyframes"), options.get("scenes", False)
    if (every_s is not None) + (keyframes is not None) + bool(scenes) > 1:
        raise BadInputError("give only one of every_s, keyframes and scenes")
    if keyframes not in (None, "codec"):
        raise BadInputError(f"keyframes is {keyframes!r}; accepted is 'codec'")
    drop = _flaws(options.get("drop"))
    if every_s is not None:
        try:
            return Policy(kind="every", seconds=every_s, drop=drop)
        except ValidationError as exc:
            raise BadInputError(f"every_s is {every_s!r}; accepted: 0.04 to 3600 seconds") from exc
    if keyframes:
        return Policy(kind="codec", drop=drop)
    if scenes:
        return Policy(kind="scenes", drop=drop)
    return Policy(drop=drop) if drop else None


def _flaws(drop: Iterable[Flaw] | None) -> list[Flaw] | None:
    given: list[Any] = [drop] if isinstance(drop, str) else list(drop or ())
    unknown = [name for name in given if name not in get_args(Flaw)]
    if unknown:
        raise BadInputError(f"drop has {unknown}; accepted: {', '.join(get_args(Flaw))}")
    return given or None


def jobs(limit: int, state: str | None = None) -> Call[Jobs]:
    """Return the call that lists jobs."""
    params: list[tuple[str, str | int]] = [("limit", limit)]
    params += [("state", state)] if state is not None else []
    return Call("GET", "/v1/jobs", reader(Jobs), params, repeatable=True)


def job(job_id: str) -> Call[JobModel]:
    """Return the call that looks one job up."""
    return Call("GET", f"/v1/jobs/{path_part(job_id)}", reader(JobModel), repeatable=True)


def job_videos(job_id: str, offset: int) -> Call[JobVideos]:
    """Return the call for a page of a job's videos."""
    params: list[tuple[str, str | int]] = [("limit", JOB_VIDEOS), ("offset", offset)]
    return Call("GET", f"/v1/jobs/{path_part(job_id)}/videos", reader(JobVideos), params, repeatable=True)


def delete_job(job_id: str) -> Call[JobModel]:
    """Return the call that forgets a job."""
    return Call("DELETE", f"/v1/jobs/{path_part(job_id)}", reader(JobModel))


def cancel(job_id: str, keep_partial: bool) -> Call[JobModel]:
    """Return the call that cancels a job."""
    params: list[tuple[str, str | int]] = [("keep_partial", "true" if keep_partial else "false")]
    return Call("POST", f"/v1/jobs/{path_part(job_id)}/cancel", reader(JobModel), params, timeout_s=UPKEEP_S)


def retry(job_id: str) -> Call[JobModel]:
    """Return the call that queues a job's failed sources again."""
    return Call("POST", f"/v1/jobs/{path_part(job_id)}/retry", reader(JobModel), timeout_s=UPKEEP_S)


def videos(before: int | None, options: VideoFilter) -> Call[Videos]:
    """Return the call for a page of videos."""
    params: list[tuple[str, str | int]] = [("limit", PAGE)]
    params += [(name, value) for name in ("state", "collection") if (value := options.get(name))]  # type: ignore[misc]
    params += [("tag", f"{key}={value}") for key, value in (options.get("tags") or {}).items()]
    if before is not None:
        params.append(("before", before))
    return Call("GET", "/v1/videos", reader(Videos), params, repeatable=True)


def video(video_id: int) -> Call[VideoModel]:
    """Return the call that looks one video up."""
    return Call("GET", f"/v1/videos/{int(video_id)}", reader(VideoModel), repeatable=True)


def set_tags(video_id: int, tags: Mapping[str, str]) -> Call[VideoModel]:
    """Return the call that sets tags."""
    body = request_body(TagsRequest, tags=dict(tags))
    return Call("PATCH", f"/v1/videos/{int(video_id)}/tags", reader(VideoModel), json=body)


def delete_video(video_id: int, purge: bool) -> Call[VideoModel]:
    """Return the call that deletes a video."""
    params: list[tuple[str, Any]] = [("purge", "true")] if purge else []
    return Call("DELETE", f"/v1/videos/{int(video_id)}", reader(VideoModel), params, timeout_s=UPKEEP_S)


def failures(job_id: str | None, video_id: int | None, collection: str | None, offset: int) -> Call[Failures]:
    """Return the call for a page of failures."""
    params: list[tuple[str, str | int]] = [("limit", PAGE), ("offset", offset), *_named(collection)]
    params += [("job", job_id)] if job_id is not None else []
    params += [("video", video_id)] if video_id is not None else []
    return Call("GET", "/v1/failures", reader(Failures), params, repeatable=True)


def collections() -> Call[Collections]:
    """Return the call that lists collections."""
    return Call("GET", "/v1/collections", reader(Collections), repeatable=True)


def create_collection(name: str, model: str | None) -> Call[Collection]:
    """Return the call that makes a collection."""
    body = request_body(CollectionRequest, name=name, model=model)
    return Call("POST", "/v1/collections", reader(Collection), json=body, timeout_s=UPKEEP_S)


def reencode(name: str, model: str) -> Call[JobModel]:
    """Return the call that encodes a collection anew with another model."""
    body = request_body(ReencodeRequest, model=model)
    return Call("POST", f"/v1/collections/{path_part(name)}/reencode", reader(JobModel), json=body, timeout_s=UPKEEP_S)


def cut_over(name: str, generation: str, anyway: bool) -> Call[Collection]:
    """Return the call that lets a collection point at another generation."""
    body = request_body(CutoverRequest, generation=generation, anyway=anyway)
    return Call("POST", f"/v1/collections/{path_part(name)}/cutover", reader(Collection), json=body, timeout_s=UPKEEP_S)


def roll_back(name: str) -> Call[Collection]:
    """Return the call that undoes the last cut-over."""
    return Call("POST", f"/v1/collections/{path_part(name)}/rollback", reader(Collection))


def drop(name: str, generation: str | None) -> Call[int]:
    """Return the call that drops a collection or one of its generations."""
    read = reader(Dropped)
    params: list[tuple[str, Any]] = [] if generation is None else [("generation", generation)]
    path = f"/v1/collections/{path_part(name)}"
    return Call("DELETE", path, lambda response: read(response).videos, params, timeout_s=UPKEEP_S)


def thumbnail(frame_id: str | int, width: int) -> Call[bytes]:
    """Return the call for a frame's picture."""
    path = f"/v1/frames/{path_part(str(frame_id))}/thumbnail"
    return Call("GET", path, lambda response: response.content, [("width", width)], repeatable=True)


def health() -> Call[Health]:
    """Return the call that asks whether the service is ready; a service that is not still says what it knows."""

    def parse(response: httpx.Response) -> Health:
        if response.status_code == 503:
            return NotReady.model_validate_json(response.content).health
        return Health.model_validate_json(response.content)

    return Call("GET", "/readyz", parse, accepted=frozenset({503}))


def upload(path: Path, name: str | None) -> Call[Upload]:
    """Return the call of an upload, without the body, which the client streams from the file."""
    if not path.is_file():
        raise BadInputError(f"there is no file {str(path)!r} to upload")
    return Call(
        "POST", "/v1/uploads", reader(Upload), [("filename", _sent_path(name or path.name))], timeout_s=UPLOAD_S
    )


IndexAction = Literal["status", "compact", "rebuild", "snapshot"]


def index(action: str, collection: str | None) -> Call[IndexStatus]:
    """Return the call of something that is done to the index, or of its status."""
    if action == "status":
        return Call("GET", "/v1/index", reader(IndexStatus), _named(collection), repeatable=True)
    return Call("POST", f"/v1/index/{action}", reader(IndexStatus), _named(collection), timeout_s=UPKEEP_S)


def index_verify(collection: str | None) -> Call[IndexVerification]:
    """Return the call that compares the index with what is stored."""
    return Call("POST", "/v1/index/verify", reader(IndexVerification), _named(collection), timeout_s=UPKEEP_S)


def export_index(format_: str, collection: str | None) -> Call[None]:
    """Return the call for a gallery as a file, whose body is written as it comes."""
    params = [*_named(collection), ("format", format_)]
    return Call("GET", "/v1/index/export", lambda response: None, params, timeout_s=UPKEEP_S)


def import_index(source: str, collection: str | None) -> Call[ImportedVideos]:
    """Return the call that adds an uploaded gallery."""
    params = [*_named(collection), ("source", source)]
    return Call("POST", "/v1/index/import", reader(ImportedVideos), params, timeout_s=UPKEEP_S)


def written(path: str | os.PathLike[str], content: bytes) -> int:
    """Write a file so that it is whole or not there; return its size."""
    with whole_file(path) as aside:
        aside.write_bytes(content)
    return len(content)


@contextmanager
def whole_file(path: str | os.PathLike[str]) -> Iterator[Path]:
    """Yield where to write a file that gets its name when all is well, and is removed otherwise."""
    target = Path(path)
    aside = target.with_name(f".{target.name}.part")
    try:
        yield aside
        aside.replace(target)
    finally:
        aside.unlink(missing_ok=True)


def _named(collection: str | None) -> list[tuple[str, Any]]:
    return [] if collection is None else [("collection", collection)]


def path_part(text: str) -> str:
    """Return text that is safe as one part of a path."""
    if not text or not all(char.isalnum() or char in "_.:-" for char in text) or not text.strip("."):
        raise BadInputError(f"{text[:100]!r} is no id")
    return text
