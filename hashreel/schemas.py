"""The wire format of ``/v1``: one pydantic model for each document, used by the service, the client and the CLI.

Frame ids are strings on the wire, since JavaScript rounds integers above 2**53. Times are integers in
milliseconds. Requests forbid unknown fields, so that a misspelt option is an error and not silence.
"""

from __future__ import annotations

import re
from typing import Annotated, Any, Literal, Self

from pydantic import AfterValidator, BaseModel, BeforeValidator, ConfigDict, Field, model_validator

from hashreel.errors import HashreelError

__all__ = [
    "Answer",
    "ApiKeyModel",
    "ApiKeyRequest",
    "ApiKeys",
    "AuditEntry",
    "AuditPage",
    "Batch",
    "BatchItem",
    "BatchRequest",
    "ClipAnswer",
    "ClipOptions",
    "ClipStretch",
    "Collection",
    "CollectionRequest",
    "Collections",
    "ConceptArea",
    "CutoverRequest",
    "Deliveries",
    "DeliveryModel",
    "Dropped",
    "EnqueueRequest",
    "EvaluationModel",
    "EvaluationRequest",
    "Evaluations",
    "Failure",
    "Failures",
    "Flaw",
    "FrameModel",
    "Frames",
    "FramesRequest",
    "GenerationModel",
    "Health",
    "HitModel",
    "IdsAnswer",
    "ImportedVideos",
    "IndexStatus",
    "IndexVerification",
    "JobCounts",
    "JobModel",
    "JobVideos",
    "Jobs",
    "MarkRequest",
    "Marked",
    "NewApiKey",
    "NewWatch",
    "NotReady",
    "Policy",
    "Position",
    "Problem",
    "Query",
    "ReencodeRequest",
    "RelocateRequest",
    "Relocation",
    "Relocations",
    "RotateRequest",
    "Scope",
    "SearchRequest",
    "SessionModel",
    "SuppressionModel",
    "SuppressionRequest",
    "Suppressions",
    "TagsRequest",
    "Upload",
    "VideoModel",
    "Videos",
    "Warn",
    "WatchChange",
    "WatchHit",
    "WatchHits",
    "WatchModel",
    "WatchRequest",
    "Watches",
]

VideoState = Literal["queued", "encoding", "indexed", "failed", "cancelled", "skipped"]
JobState = Literal["queued", "running", "done", "cancelled"]
Lane = Literal["interactive", "bulk"]
Scope = Literal["read", "write", "admin"]
AuditAction = Literal["search", "view", "export", "change", "delete"]
Flaw = Literal["black", "blank", "frozen", "duplicate"]
EvaluationState = Literal["queued", "running", "done", "failed", "cancelled"]
Tags = dict[str, str]

MAX_ID = 2**63 - 1
MAX_TRUTH = 8_000_000
MAX_FIELDS = 100
MAX_VIDEO = 2**31 - 1  # a frame id is video * 2**32 + ..., a signed 64-bit integer


def _check_frame_id(text: str) -> str:
    if int(text) > MAX_ID:
        raise ValueError(f"a frame id is at most {MAX_ID}; got {text}")
    return text


def _check_size(document: Any) -> Any:
    """Refuse an object of very many fields as a whole: every wrong one would become an error of its own."""
    if isinstance(document, dict) and len(document) > MAX_FIELDS:
        raise ValueError(f"there are {len(document)} fields; accepted are up to {MAX_FIELDS}")
    return document


# Digits are spelt out because \d would take those of every script.
FrameId = Annotated[str, Field(pattern=r"^[0-9]{1,19}$"), AfterValidator(_check_frame_id)]
LogId = Annotated[str, Field(pattern=r"^[0-9]{1,20}-[0-9]{1,20}$")]
VideoId = Annotated[int, Field(ge=0, le=MAX_VIDEO)]
Milliseconds = Annotated[int, Field(ge=0, le=2**53)]
Unit = Annotated[float, Field(ge=0, le=1)]
Side = Annotated[float, Field(gt=0, le=1)]
Box = tuple[Unit, Unit, Side, Side]
Source = Annotated[str, Field(min_length=1, max_length=4096, pattern=r"^[^\x00]+$")]
TagKey = Annotated[str, Field(pattern=r"^[^=\x00-\x1f]{1,64}$")]
TagValue = Annotated[str, Field(pattern=r"^[^\x00-\x1f]{0,256}$")]
TagsIn = Annotated[
    dict[TagKey, TagValue],
    Field(max_length=64, json_schema_extra={"additionalProperties": False}),
    BeforeValidator(_check_size),
]


class _Request(BaseModel):
    model_config = ConfigDict(extra="forbid")

    @model_validator(mode="before")
    @classmethod
    def _sized(cls, document: Any) -> Any:
        return _check_size(document)


class _Reply(BaseModel):
    # A newer service may add fields; an older client ignores them.
    model_config = ConfigDict(extra="ignore")


TagsWanted = Annotated[
    dict[TagKey, TagValue | Annotated[list[TagValue], Field(min_length=1, max_length=64)]],
    Field(max_length=64, json_schema_extra={"additionalProperties": False}),
    BeforeValidator(_check_size),
]


class Policy(_Request):
    """Which frames of a video are key-frames."""

    kind: Literal["every", "codec", "scenes"] = "every"
    seconds: Annotated[float | None, Field(ge=0.04, le=3600, description="Step of `every`, in seconds.")] = None
    threshold: Annotated[float | None, Field(gt=0, le=100, description="Sensitivity of `scenes`.")] = None
    drop: Annotated[
        list[Flaw] | None, Field(description="Frames of these kinds are counted, but get no code.", max_length=4)
    ] = None


class Query(_Request):
    """What is searched for: one of the fields (``box`` goes with ``image``).

    None of them where ``concepts`` are searched for by themselves, or frames like those in ``more``.
    """

    image: Annotated[str | None, Field(description="A picture file (JPEG, PNG, WebP ...), base64.")] = None
    url: Annotated[
        str | None,
        Field(
            max_length=2048,
            pattern=r"^https?://[\x21-\x7e]+$",
            description="Address of a picture on a host that the service may read (its setting picture_hosts).",
        ),
    ] = None
    frame: Annotated[FrameId | None, Field(description="Id of an indexed frame.")] = None
    code: Annotated[
        str | None, Field(max_length=64, pattern=r"^([0-9a-fA-F]{2})+$", description="A packed code in hex.")
    ] = None
    box: Annotated[
        Box | None, Field(description="x, y, width, height in [0, 1]; the smallest square around it is searched for.")
    ] = None

    @model_validator(mode="after")
    def _one(self) -> Self:
        given = [name for name in ("image", "url", "frame", "code") if getattr(self, name) is not None]
        if len(given) > 1:
            raise ValueError(f"a query has exactly one of image, url, frame, code; got {given}")
        if self.box is not None and self.image is None and self.url is None:
            raise ValueError("box goes with image or url")
        return self

    @property
    def is_empty(self) -> bool:
        """Whether it names nothing."""
        return self.image is None and self.url is None and self.frame is None and self.code is None


class SearchOptions(_Request):
    """How the gallery is searched; the same for every form of query."""

    collection: Annotated[str | None, Field(max_length=200, description="Default: the service's own.")] = None
    top: Annotated[int, Field(ge=0, le=1_000_000, description="Number of hits (of videos, when grouped).")] = 10
    radius: Annotated[int | None, Field(ge=0, le=256, description="Largest Hamming distance, inclusive.")] = None
    videos: Annotated[list[VideoId] | None, Field(max_length=10_000, description="Only these videos.")] = None
    tags: Annotated[
        TagsWanted | None,
        Field(description="Only videos with all of these tags; of several values of one tag, any."),
    ] = None
    between: Annotated[
        tuple[Milliseconds, Milliseconds] | None,
        Field(description="Only frames with start <= time < end, in milliseconds."),
    ] = None
    group_by: Annotated[Literal["video"] | None, Field(description="`video`: the best frame of each video.")] = None
    exclude_video: Annotated[VideoId | None, Field(description="Leave this video out.")] = None
    concepts: Annotated[
        list[Annotated[str, Field(min_length=1, max_length=100)]] | None,
        Field(max_length=32, description="Only frames in which the model sees all of these concepts."),
    ] = None
    min_area: Annotated[
        float | None, Field(gt=0, le=1, description="Least share of the picture that each of `concepts` covers.")
    ] = None
    more: Annotated[
        list[FrameId] | None, Field(max_length=64, description="More like these frames; changes the order of all hits.")
    ] = None
    less: Annotated[list[FrameId] | None, Field(max_length=64, description="Less like these frames.")] = None
    include_suppressed: Annotated[
        bool, Field(description="Also return frames that the collection's suppression list leaves out.")
    ] = False
    exclude_self: Annotated[bool, Field(description="Leave the query's own frame out; for frame queries.")] = False
    ties: Annotated[
        Literal["id", "asymmetric"],
        Field(
            description="Order of hits at equal distance: by frame id, or by how far the network's real-valued "
            "outputs for the query picture are from the hit's bits."
        ),
    ] = "id"
    min_position: Annotated[LogId | None, Field(description="Log id that the answer must have seen.")] = None
    consistency: Annotated[Literal["latest", "eventual"], Field(description="`latest` reads the log's tail first.")] = (
        "latest"
    )

    @model_validator(mode="after")
    def _ordered(self) -> Self:
        if self.min_area is not None and not self.concepts:
            raise ValueError("min_area goes with concepts")
        if (self.more or self.less) and (self.radius is not None or self.ties != "id"):
            raise ValueError("more and less order all frames by a weighted distance; radius and ties do not go with it")
        if self.between is not None and self.between[0] > self.between[1]:
            raise ValueError(f"between is {self.between}; the start must not be after the end")
        return self


class SearchRequest(SearchOptions):
    """One query and how to answer it."""

    model_config = ConfigDict(
        json_schema_extra={"examples": [{"query": {"code": "8f01a2b3c4d5"}, "top": 5, "tags": {"case": "17"}}]}
    )

    query: Query

    @model_validator(mode="after")
    def _searches_for_something(self) -> Self:
        if self.query.is_empty and not self.more and not self.concepts:
            raise ValueError(
                "a query has exactly one of image, url, frame, code; got none, which only goes with concepts or more"
            )
        if self.query.is_empty and not self.more and (self.radius is not None or self.less or self.ties != "id"):
            raise ValueError("concepts by themselves have no distance: radius, less and ties need a query")
        return self


class BatchRequest(_Request):
    """Several queries in one request; each is answered, or refused, on its own."""

    requests: Annotated[list[SearchRequest], Field(min_length=1, max_length=256)]


class Position(_Reply):
    """A place in the log: which generation, and the last entry that was seen."""

    generation: str
    log_id: str


class ConceptArea(_Reply):
    """A concept that the model sees in a frame, and the share of the picture that it covers (to a fifth or so)."""

    name: str
    area: float


def file_of(source: str, member: str | None) -> str:
    """Return how a source, or a file inside of it, is shown."""
    return source if member is None else f"{source}: {member}"


Member = Annotated[
    str | None, Field(description="The file inside, where the source is a folder or an archive of pictures.")
]


class FrameModel(_Reply):
    """What is known of an indexed frame."""

    video: int
    source: str
    member: Member = None
    time_ms: int
    distance: Annotated[int | None, Field(description="To the code that was sent along; null without one.")] = None
    frame_id: str
    code: str
    tags: Tags = {}
    concepts: Annotated[
        list[ConceptArea], Field(description="What the model sees in the frame, the largest first.")
    ] = []

    @property
    def time_s(self) -> float:
        """The hit's presentation time in seconds."""
        return self.time_ms / 1000

    @property
    def file(self) -> str:
        """The very file: the source and, of a folder or an archive of pictures, the file inside."""
        return file_of(self.source, self.member)


class HitModel(FrameModel):
    """One frame of the answer."""

    distance: int
    score: Annotated[
        float | None,
        Field(
            description="What the order goes by where that is not the distance: the weighted distance after `more` and "
            "`less` (ascending), or the least area of the concepts that were searched for by themselves (descending)."
        ),
    ] = None


class _Hits(_Reply):
    hits: list[HitModel]


class _Ids(_Reply):
    frame_ids: Annotated[list[str], Field(description="In the order of the hits that `/v1/search` answers with.")]
    distances: Annotated[list[int], Field(description="Of each of them.")]
    scores: Annotated[
        list[float] | None, Field(description="Of each, where the order goes by them: as `score` of a hit.")
    ] = None


class _Answered(_Reply):
    code: Annotated[str, Field(description="The query's code, hex.")]
    bits: int
    fingerprint: Annotated[str, Field(description="Fingerprint of the model that made the codes.")]
    position: Position
    behind: Annotated[bool, Field(description="The log's tail was not reached in time.")] = False
    stale: Annotated[bool, Field(description="Redis did not answer; the index may miss recent writes.")] = False
    tie_band: Annotated[int, Field(description="Frames at the distance of the last hit, over the whole gallery.")] = 0
    tie_band_truncated: Annotated[
        bool,
        Field(description="There are more than tie_band; which of them are hits may be the index engine's choice."),
    ] = False
    suppressed: Annotated[
        int, Field(description="Frames that pass the filters and were left out by the suppression list.")
    ] = 0
    gallery: Annotated[int, Field(description="Live frames in the gallery.")] = 0
    decode_ms: Annotated[float, Field(description="Decoding the query picture.")] = 0.0
    encode_ms: Annotated[float, Field(description="The network's forward pass.")] = 0.0
    search_ms: Annotated[float, Field(description="Waiting for the log's tail, the index, the filters.")] = 0.0


# Fields of the last base come first in a document.
class Answer(_Answered, _Hits):
    """The answer to one query; hits ordered by (distance, frame id)."""


class IdsAnswer(_Answered, _Ids):
    """The answer to one query, without what is known of each hit."""


class FramesRequest(_Request):
    """Frames whose source, time, tags and concepts are wanted."""

    model_config = ConfigDict(
        json_schema_extra={"examples": [{"frames": ["30064771155", "30064771073"], "code": "8f01a2b3c4d5"}]}
    )

    frames: Annotated[list[FrameId], Field(min_length=1, max_length=1_000_000, description="Their ids.")]
    code: Annotated[
        str | None,
        Field(
            max_length=64,
            pattern=r"^([0-9a-fA-F]{2})+$",
            description="A packed code in hex, such as an answer's; the frames come with their distance to it.",
        ),
    ] = None
    collection: Annotated[str | None, Field(max_length=200, description="Default: the service's own.")] = None
    min_position: Annotated[LogId | None, Field(description="Log id that the answer must have seen.")] = None
    consistency: Annotated[Literal["latest", "eventual"], Field(description="`latest` reads the log's tail first.")] = (
        "latest"
    )


class Frames(_Reply):
    """What is known of frames, in the order in which they were asked for."""

    frames: list[FrameModel]
    missing: Annotated[
        list[str], Field(description="Those that the collection does not hold: deleted, or of another model.")
    ] = []
    bits: int
    fingerprint: Annotated[str, Field(description="Fingerprint of the model that made the codes.")]
    position: Position
    behind: Annotated[bool, Field(description="The log's tail was not reached in time.")] = False
    stale: Annotated[bool, Field(description="Redis did not answer; the index may miss recent writes.")] = False


class Warn(_Reply):
    """Something that went wrong in a source whose good frames were kept."""

    stage: str
    reason: str
    at_ms: int | None = None


class ClipOptions(_Request):
    """How a clip is looked for."""

    collection: Annotated[str | None, Field(max_length=200, description="Default: the service's own.")] = None
    top: Annotated[int, Field(ge=0, le=1000, description="Number of stretches.")] = 10
    videos: Annotated[list[VideoId] | None, Field(max_length=10_000, description="Only these videos.")] = None
    tags: Annotated[
        TagsWanted | None,
        Field(description="Only videos with all of these tags; of several values of one tag, any."),
    ] = None
    between: Annotated[
        tuple[Milliseconds, Milliseconds] | None,
        Field(description="Only frames with start <= time < end, in milliseconds."),
    ] = None
    exclude_video: Annotated[VideoId | None, Field(description="Leave this video out.")] = None
    include_suppressed: Annotated[
        bool, Field(description="Also return frames that the collection's suppression list leaves out.")
    ] = False
    min_position: Annotated[LogId | None, Field(description="Log id that the answer must have seen.")] = None
    consistency: Annotated[Literal["latest", "eventual"], Field(description="`latest` reads the log's tail first.")] = (
        "latest"
    )

    @model_validator(mode="after")
    def _ordered(self) -> Self:
        if self.between is not None and self.between[0] > self.between[1]:
            raise ValueError(f"between is {self.between}; the start must not be after the end")
        return self


class ClipStretch(_Reply):
    """A stretch of a video that a stretch of the clip matches: ``video time = rate * clip time + offset_ms``."""

    video: int
    source: str
    member: Annotated[
        str | None, Field(description="The file at `frame_id`, in a folder or an archive of pictures.")
    ] = None
    tags: Tags = {}
    clip_start_ms: int
    clip_end_ms: int
    start_ms: Annotated[int, Field(description="Start of the stretch in the video.")]
    end_ms: int
    offset_ms: Annotated[int, Field(description="Time in the video at which the clip would begin; may be negative.")]
    rate: Annotated[
        float, Field(description="Video time that passes in a unit of clip time: 1.1 for a clip that is 10 % faster.")
    ]
    score: Annotated[float, Field(description="0 to 1: how near the frames are, over all of the clip.")]
    mean_distance: Annotated[float, Field(description="Mean Hamming distance of the matched frames.")]
    frames: Annotated[int, Field(description="Indexed frames that matched.")]
    frame_id: Annotated[str, Field(description="Id of the indexed frame nearest to the middle of the stretch.")]

    @property
    def file(self) -> str:
        """The very file: the source and, of a folder or an archive of pictures, the one in the middle."""
        return file_of(self.source, self.member)


class ClipAnswer(_Reply):
    """The answer to a clip query; stretches by falling score."""

    stretches: list[ClipStretch]
    clip_ms: Annotated[int, Field(description="Length of the clip.")]
    clip_frames: Annotated[int, Field(description="Frames of the clip that were encoded.")]
    step_ms: Annotated[int, Field(description="From one of them to the next.")]
    bits: int
    fingerprint: str
    position: Position
    behind: bool = False
    stale: bool = False
    suppressed: Annotated[
        int, Field(description="Frames that pass the filters and were left out by the suppression list.")
    ] = 0
    gallery: int = 0
    warnings: Annotated[list[Warn], Field(description="What was damaged in the clip.")] = []
    encode_ms: Annotated[float, Field(description="Decoding the clip and the network.")] = 0.0
    search_ms: float = 0.0


class SuppressionRequest(_Request):
    """A picture or an indexed frame whose likes are to be left out of answers."""

    model_config = ConfigDict(
        json_schema_extra={"examples": [{"query": {"frame": "30064771073"}, "radius": 4, "name": "channel intro"}]}
    )

    query: Query
    radius: Annotated[int, Field(ge=0, le=256, description="Largest Hamming distance, inclusive.")] = 4
    name: Annotated[str, Field(max_length=200, pattern=r"^[^\x00-\x1f]*$", description="What it is.")] = ""
    collection: Annotated[str | None, Field(max_length=200, description="Default: the service's own.")] = None


class SuppressionModel(_Reply):
    """An entry of a suppression list."""

    id: str
    name: str
    collection: str
    radius: int
    created_at: float
    frames: Annotated[int, Field(description="Indexed frames that it leaves out now.")]


class Suppressions(_Reply):
    """A collection's suppression list, oldest first."""

    suppressions: list[SuppressionModel]


class VideoModel(_Reply):
    """One source of a collection."""

    id: int
    source: str
    state: VideoState
    kind: Annotated[Literal["video", "pictures"], Field(description="A video, or an album of pictures.")] = "video"
    frames: int = 0
    duration_s: float = 0.0
    width: int = 0
    height: int = 0
    codec: str = ""
    sha256: str = ""
    runtimes: Annotated[
        dict[str, int],
        Field(
            description="Key-frames by what computed their codes: runtime, device and batch shape, such as "
            "`torch-cuda-64`. Within one of them equal pictures have equal codes, byte for byte."
        ),
    ] = {}
    tags: Tags = {}
    policy: Policy = Policy()
    found: Annotated[
        dict[Flaw, int],
        Field(description="Key-frames that are black, blank, frozen or near-duplicates, whether dropped or not."),
    ] = {}
    chunks: int = 0
    chunks_done: int = 0
    job: str = ""
    added_at: float = 0.0
    warnings: list[Warn] = []
    reason: Annotated[str, Field(description="Why it failed or was skipped, where it was.")] = ""
    same_as: Annotated[
        int | None, Field(description="The video with the same content, where this one was skipped for it.")
    ] = None


class Videos(_Reply):
    """A page of videos, newest first."""

    videos: list[VideoModel]
    total: int
    next: Annotated[int | None, Field(description="Pass as `before` for the next page.")] = None


class TagsRequest(_Request):
    """Tags to set; an empty value removes the tag."""

    model_config = ConfigDict(json_schema_extra={"examples": [{"tags": {"case": "17", "reviewed": ""}}]})

    tags: TagsIn


class EnqueueRequest(_Request):
    """Sources to index: the server's files, folders, archives and globs inside its source roots, and URLs."""

    model_config = ConfigDict(
        json_schema_extra={
            "examples": [
                {
                    "sources": ["archive/news/*.mp4"],
                    "policy": {"kind": "every", "seconds": 1.0},
                    "tags": {"case": "17"},
                }
            ]
        }
    )

    sources: Annotated[list[Source], Field(min_length=1, max_length=100_000)]
    policy: Policy | None = None
    tags: TagsIn = {}
    collection: Annotated[str | None, Field(max_length=200, description="Default: the service's own.")] = None
    again: Annotated[bool, Field(description="Encode sources that are indexed already once more.")] = False
    lane: Annotated[
        Lane | None,
        Field(
            description="Which queue: `interactive` goes first, `bulk` takes turns with other bulk jobs. Default: "
            "interactive for up to 20 sources of 8 GiB together."
        ),
    ] = None
    key: Annotated[
        str | None,
        Field(
            pattern=r"^[\x21-\x7e]{8,100}$",
            description="Made up by the caller: a second request with the same key returns the job of the first.",
        ),
    ] = None


class RelocateRequest(_Request):
    """Where moved sources are now: one video's, or those of all whose names begin with ``old``."""

    model_config = ConfigDict(json_schema_extra={"examples": [{"old": "archive/2024", "new": "vault/2024"}]})

    new: Annotated[Source, Field(description="The new name of the video's source, or the new beginning of names.")]
    old: Annotated[Source | None, Field(description="The beginning of names that is to be replaced.")] = None
    video: VideoId | None = None
    check: Annotated[
        Literal["sha256", "size"],
        Field(description="What the file at the new place is compared by: SHA-256 (and size), or the size alone."),
    ] = "sha256"
    dry_run: Annotated[bool, Field(description="Only say what would be done.")] = False
    collection: Annotated[str | None, Field(max_length=200, description="Default: the service's own.")] = None
    after: Annotated[VideoId | None, Field(description="`next` of the answer before, to go on.")] = None

    @model_validator(mode="after")
    def _one(self) -> Self:
        if (self.old is None) == (self.video is None):
            raise ValueError("give one of old (a beginning of names) and video (its number)")
        return self


class Relocation(_Reply):
    """What became of one video."""

    video: int
    old: str
    new: str
    moved: Annotated[bool, Field(description="Whether its source is found under the new name (or would be).")]
    reason: Annotated[str, Field(description="Why not.")] = ""


class Relocations(_Reply):
    """One turn of a relocation."""

    relocations: list[Relocation]
    next: Annotated[int | None, Field(description="Pass as `after` to go on; null at the end.")] = None


class JobCounts(_Reply):
    """How a job's sources stand; the counts add up to ``total``."""

    total: int = 0
    queued: int = 0
    encoding: int = 0
    indexed: int = 0
    failed: int = 0
    cancelled: int = 0
    skipped: Annotated[int, Field(description="Indexed already, under this name or another; nothing to do.")] = 0


class JobModel(_Reply):
    """One request to index sources, and how far it is."""

    id: str
    state: JobState
    collection: str
    lane: Annotated[Lane, Field(description="Which queue its work goes through.")] = "bulk"
    counts: JobCounts
    frames: int = 0
    chunks: int = 0
    chunks_done: int = 0
    frames_planned: Annotated[
        int, Field(description="Key-frames expected in all, by lengths and what was found so far; 0: not known yet.")
    ] = 0
    progress: Annotated[float, Field(description="0 to 1: `frames` of `frames_planned`; 1 once it has ended.")] = 0.0
    rate: Annotated[float, Field(description="Key-frames a second, of late.")] = 0.0
    eta_s: Annotated[float | None, Field(description="Seconds until the end at this rate; null: not known.")] = None
    created_at: float = 0.0
    started_at: Annotated[float | None, Field(description="When its first video was begun.")] = None
    finished_at: float | None = None
    decode_s: Annotated[float, Field(description="Spent on decoding, summed over all workers.")] = 0.0
    encode_s: Annotated[float, Field(description="Spent in the network, summed.")] = 0.0
    commit_s: Annotated[float, Field(description="Spent on the rest (planning, Redis), summed.")] = 0.0
    videos: Annotated[
        list[int],
        Field(
            description="Numbers of the job's videos, in order of the sources: the first 1000; "
            "`/v1/jobs/{id}/videos` has all."
        ),
    ] = []


class JobVideos(_Reply):
    """A page of a job's videos, in order of the sources."""

    videos: list[int]
    total: int


class Jobs(_Reply):
    """Jobs, newest first."""

    jobs: list[JobModel]


class Failure(_Reply):
    """A source, or a part of one, that could not be indexed."""

    source: str
    video: int | None = None
    job: str = ""
    stage: str
    reason: str
    retryable: bool
    partial: Annotated[bool, Field(description="The source is indexed, but for what the reason says.")] = False
    at: float = 0.0


class Failures(_Reply):
    """Failures, newest first."""

    failures: list[Failure]
    total: int


class GenerationModel(_Reply):
    """One model, one log, one gallery."""

    id: str
    model: str
    fingerprint: str
    bits: int
    videos: int
    is_live: bool


class CollectionRequest(_Request):
    """A collection to make."""

    name: Annotated[str, Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9._-]{0,99}$")]
    model: Annotated[str | None, Field(max_length=1000, description="Model name or folder; default: `default`.")] = None


class ReencodeRequest(_Request):
    """A model for a new generation of a collection."""

    model: Annotated[str, Field(min_length=1, max_length=1000, description="Model name or folder.")]


class CutoverRequest(_Request):
    """The generation that a collection is to point at."""

    generation: Annotated[str, Field(pattern=r"^\d{1,18}$")]
    anyway: Annotated[bool, Field(description="Also if it lacks sources that the live generation has.")] = False


class Dropped(_Reply):
    """What a drop removed."""

    videos: int


class Collection(_Reply):
    """A name that points at a generation: one model, one log, one gallery."""

    name: str
    generation: str
    model: str
    fingerprint: str
    bits: int
    concepts: Annotated[list[str], Field(description="Concepts that its model predicts.")] = []
    frames: int
    videos: int
    position: Position
    generations: Annotated[list[GenerationModel], Field(description="All of them, oldest first.")] = []


class Collections(_Reply):
    """All collections."""

    collections: list[Collection]


class IndexStatus(_Reply):
    """How a collection's in-memory index stands."""

    collection: str
    kind: Annotated[str, Field(description="flat, exact, ivf, hnsw or gpu.")]
    exact: Annotated[bool, Field(description="Whether answers equal brute force.")]
    bits: int
    frames: int
    videos: int
    rows: Annotated[int, Field(description="Rows in memory, deleted ones included.")]
    tombstones: Annotated[int, Field(description="Rows of deleted frames that are not compacted yet.")]
    bytes: Annotated[int, Field(description="Memory of codes, ids and tables.")]
    position: Position
    lag: int
    problem: str = ""
    details: Annotated[dict[str, Any], Field(description="What this kind of index says beside that.")] = {}


class IndexVerification(_Reply):
    """Whether the index holds exactly what is stored; pairs are (video, chunk)."""

    equal: bool
    frames: int
    missing: list[tuple[int, int]] = []
    surplus: list[tuple[int, int]] = []
    differing: list[tuple[int, int]] = []


class ImportedVideos(_Reply):
    """Numbers of the videos that an import added, and of those that were there already."""

    videos: list[int]
    present: list[int] = []


class EvaluationRequest(_Request):
    """A ground truth to evaluate a collection with, and how."""

    truth: Annotated[str, Field(min_length=1, max_length=MAX_TRUTH, description="The text of the ground truth.")]
    format: Annotated[
        Literal["csv", "jsonl", "shots"],
        Field(description="CSV, JSON lines, or a CSV list of shots by frame number (with `frame_rate`)."),
    ] = "csv"
    frame_rate: Annotated[float | None, Field(gt=0, le=1000, description="Frames per second, for `shots`.")] = None
    source: Annotated[
        str, Field(min_length=1, max_length=200, description="What messages call the ground truth, such as its file.")
    ] = "the ground truth"
    top: Annotated[
        list[Annotated[int, Field(ge=1, le=10_000)]],
        Field(min_length=1, max_length=10, description="The cutoffs K of AP@K, precision and recall."),
    ] = [10, 50]
    queries_per_concept: Annotated[
        Annotated[int, Field(ge=1, le=10_000)] | Literal["all"],
        Field(description="Queries chosen for each concept, where the ground truth lists none."),
    ] = 50
    exclude: Annotated[
        Literal["self", "video"], Field(description="What a query never gets: itself, or all of its video.")
    ] = "self"
    seed: Annotated[int, Field(ge=0, le=2**32 - 1, description="Of the choice of queries.")] = 0
    name: Annotated[str | None, Field(min_length=1, max_length=100, description="Default: the model's name.")] = None
    collection: Annotated[str | None, Field(max_length=100)] = None
    generation: Annotated[
        str | None,
        Field(pattern=r"^[0-9]{1,18}$", description="One of the collection's generations; default: the live one."),
    ] = None
    against: Annotated[
        str | None, Field(pattern=r"^[A-Za-z0-9]{1,100}$", description="An earlier evaluation to compare with.")
    ] = None
    by: Annotated[str, Field(max_length=100, description="Who asks, for the list.")] = ""

    @model_validator(mode="after")
    def _fits(self) -> Self:
        if (self.format == "shots") != (self.frame_rate is not None):
            raise ValueError("frame_rate goes with format shots, and format shots needs it")
        return self


class EvaluationModel(_Reply):
    """An evaluation and how far it is."""

    id: str
    state: EvaluationState
    name: str
    collection: str
    generation: str
    model: str
    fingerprint: str
    bits: int
    position: Annotated[str, Field(description="Log id that the codes were read at; empty until they are.")] = ""
    truth: Annotated[str, Field(description="SHA-256 of the ground truth, hex.")]
    source: Annotated[str, Field(description="What the ground truth is called.")]
    by: Annotated[str, Field(description="Who asked for it, as far as they said.")] = ""
    against: str | None = None
    created_at: float
    started_at: float | None = None
    finished_at: float | None = None
    step: Annotated[str, Field(description="What goes on: reading, comparing, pictures, reporting.")] = ""
    done: Annotated[int, Field(description="Parts of the step that are done.")] = 0
    total: Annotated[int, Field(description="Parts of the step; 0 where they cannot be counted.")] = 0
    tries: int = 0
    scores: Annotated[dict[str, float], Field(description="Means over concepts, by metric, when it is done.")] = {}
    problem: Annotated[Problem | None, Field(description="Why it failed.")] = None


class Evaluations(_Reply):
    """Evaluations, newest first."""

    evaluations: list[EvaluationModel]


class Upload(_Reply):
    """A stored upload; ``source`` can be enqueued."""

    source: str
    bytes: int
    sha256: str


class Health(_Reply):
    """Whether the service can answer, and how far behind the log it is."""

    ready: bool
    version: str
    generation: str = ""
    model: str = ""
    frames: int = 0
    lag: Annotated[int, Field(description="Log entries that are not applied yet.")] = 0
    redis: bool = True
    detail: str = ""


class Problem(_Reply):
    """An error, as RFC 9457 problem+json."""

    type: Annotated[
        str, Field(description="`urn:hashreel:` and the kind of error; `about:blank` where the status says it all.")
    ] = "about:blank"
    title: str
    status: int
    detail: str
    errors: Annotated[list[dict[str, Any]], Field(description="The fields that were refused, and why.")] = []
    request_id: Annotated[str, Field(description="Also in the X-Request-Id header and in the service's log.")] = ""

    @classmethod
    def of(cls, error: HashreelError, request_id: str = "") -> Problem:
        """Return the problem of an error; the client turns it back into the same class."""
        kind = type(error)
        words = re.sub(r"(?<!^)(?=[A-Z])", "-", kind.__name__.removesuffix("Error")).lower()
        title = (kind.__doc__ or kind.__name__).strip().splitlines()[0].rstrip(".")
        return Problem(
            type=f"urn:hashreel:{words}", title=title, status=error.status, detail=str(error), request_id=request_id
        )


class NotReady(Problem):
    """The problem of a service that cannot answer queries yet, with what it knows."""

    health: Health


class BatchItem(_Reply):
    """The outcome of one query of a batch: an answer or a problem."""

    answer: Answer | None = None
    problem: Problem | None = None


class Batch(_Reply):
    """Outcomes in the order of the requests."""

    results: list[BatchItem]


CollectionName = Annotated[str, Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9._-]{0,99}$")]


class ApiKeyRequest(_Request):
    """A key to make."""

    name: Annotated[
        str,
        Field(min_length=1, max_length=100, pattern=r"^[^\x00-\x1f]+$", description="Whose it is or what it is for."),
    ]
    scope: Annotated[Scope, Field(description="read: search and view. write: index, tag, delete, too. admin: all.")] = (
        "read"
    )
    collections: Annotated[
        list[CollectionName] | None, Field(min_length=1, max_length=1000, description="Only these; default: all.")
    ] = None
    expires_s: Annotated[
        float | None, Field(gt=0, le=10 * 366 * 86400, description="Opens nothing after so many seconds.")
    ] = None


class ApiKeyModel(_Reply):
    """A key, without its secret."""

    id: str
    name: str
    scope: Scope
    collections: Annotated[list[str] | None, Field(description="The only ones it is good for; null: all.")] = None
    created_at: float
    expires_at: float | None = None
    revoked_at: float | None = None


class NewApiKey(ApiKeyModel):
    """A key that was just made."""

    secret: Annotated[str, Field(description="Shown once; the service keeps its hash only.")]


class ApiKeys(_Reply):
    """All keys, oldest first, revoked ones too."""

    keys: list[ApiKeyModel]


class SessionModel(_Reply):
    """Who the service takes the sender for."""

    key: Annotated[str, Field(description="Id of the key; empty where none is needed.")]
    name: str
    scope: Scope
    collections: list[str] | None = None
    needs_key: Annotated[bool, Field(description="Whether the service asks for keys.")]


class AuditEntry(_Reply):
    """Something that somebody did."""

    id: Annotated[str, Field(description="Its place in the log; the time in ms and a number.")]
    at: Annotated[float, Field(description="Seconds since 1970.")]
    key: Annotated[str, Field(description="Id of the key; empty where none is needed.")]
    name: str
    address: Annotated[str, Field(description="Where the request came from, as far as the service sees.")]
    action: AuditAction
    method: str
    path: str
    query: str = ""
    status: int
    request_id: str
    notes: Annotated[dict[str, Any], Field(description="For searches: kind, code, collection, number of hits.")] = {}


class AuditPage(_Reply):
    """A page of the audit log, newest first."""

    entries: list[AuditEntry]
    next: Annotated[str | None, Field(description="`before` of the next page; null at the end.")] = None
    waiting: Annotated[int, Field(description="Entries of this service that Redis has not taken yet.")] = 0
    lost: Annotated[int, Field(description="Entries that this service could not keep since it started.")] = 0


WatchName = Annotated[str, Field(max_length=200, pattern=r"^[^\x00-\x1f]*$", description="What it is.")]
WatchNote = Annotated[str, Field(max_length=4000, pattern=r"^[^\x00]*$", description="For whoever sees its hits.")]
Webhook = Annotated[
    str,
    Field(
        max_length=2000,
        pattern=r"^(https?://[\x21-\x7e]+)?$",
        description="Where hits are sent to; on an allowed host.",
    ),
]
MarkState = Literal["new", "acknowledged", "dismissed"]
DeliveryState = Literal["waiting", "delivered", "dead"]


class WatchRequest(_Request):
    """What is to be watched for in a collection: frames near any of the queries."""

    model_config = ConfigDict(
        json_schema_extra={
            "examples": [{"queries": [{"frame": "30064771073"}], "radius": 6, "name": "stolen painting, case 17"}]
        }
    )

    queries: Annotated[list[Query], Field(min_length=1, max_length=16, description="Pictures, frames or codes.")]
    radius: Annotated[int, Field(ge=0, le=256, description="Largest Hamming distance, inclusive.")] = 4
    name: WatchName = ""
    note: WatchNote = ""
    tags: Annotated[
        TagsWanted | None,
        Field(description="Only videos that have all of these tags when a chunk is committed; of several values any."),
    ] = None
    between: Annotated[
        tuple[Milliseconds, Milliseconds] | None,
        Field(description="Only frames with start <= time < end, in milliseconds."),
    ] = None
    concepts: Annotated[
        list[Annotated[str, Field(min_length=1, max_length=100)]] | None,
        Field(max_length=32, description="Only frames in which the model sees all of these concepts."),
    ] = None
    min_area: Annotated[
        float | None, Field(gt=0, le=1, description="Least share of the picture that each of `concepts` covers.")
    ] = None
    include_suppressed: Annotated[
        bool, Field(description="Also report frames that the collection's suppression list leaves out.")
    ] = False
    webhook: Webhook = ""
    collection: Annotated[str | None, Field(max_length=200, description="Default: the service's own.")] = None

    @model_validator(mode="after")
    def _fits(self) -> Self:
        if any(query.is_empty for query in self.queries):
            raise ValueError("each query has exactly one of image, frame, code; got one with none")
        if self.min_area is not None and not self.concepts:
            raise ValueError("min_area goes with concepts")
        if self.between is not None and self.between[0] > self.between[1]:
            raise ValueError(f"between is {self.between}; the start must not be after the end")
        return self


class WatchChange(_Request):
    """What is to change of a watch; fields that are left out stay."""

    model_config = ConfigDict(json_schema_extra={"examples": [{"note": "found in case 18, too", "radius": 8}]})

    name: WatchName | None = None
    note: WatchNote | None = None
    radius: Annotated[
        int | None, Field(ge=0, le=256, description="A larger one also searches what is stored; hits stay.")
    ] = None
    webhook: Annotated[Webhook | None, Field(description="An empty text ends it; only new hits are sent.")] = None
    paused: Annotated[
        bool | None, Field(description="While it is, nothing is found; what came in between is found afterwards.")
    ] = None


WATCH_EXAMPLE: dict[str, Any] = {
    "id": "9f1c2ab04d77",
    "name": "stolen painting",
    "note": "case 17",
    "collection": "main",
    "radius": 6,
    "examples": 1,
    "created_at": 1767225600.0,
    "hits": 3,
    "new": 1,
}
WATCH_HIT_EXAMPLE: dict[str, Any] = {
    "frame_id": "30064771073",
    "video": 7,
    "source": "archive/news.mp4",
    "time_ms": 1000,
    "distance": 2,
    "found_at": 1767225600.0,
}
DELIVERY_EXAMPLE: dict[str, Any] = {
    "id": "0b57c1d2e3f405162738495a",
    "watch": "9f1c2ab04d77",
    "state": "dead",
    "hits": 3,
    "tries": 14,
    "created_at": 1767225600.0,
    "status": 500,
    "reason": "the receiver answered 500",
}


class WatchModel(_Reply):
    """A watch, and how it stands."""

    model_config = ConfigDict(json_schema_extra={"examples": [WATCH_EXAMPLE]})

    id: str
    name: str
    note: str
    collection: str
    radius: int
    examples: Annotated[int, Field(description="How many pictures, frames or codes it looks for.")]
    tags: dict[str, list[str]] = {}
    between: tuple[int, int] | None = None
    concepts: list[str] = []
    min_area: float | None = None
    include_suppressed: bool = False
    webhook: Annotated[
        str, Field(description="Where hits are sent to; without path and query for keys of scope read.")
    ] = ""
    old_secret_until: Annotated[
        float | None, Field(description="Until then messages are signed with the secret before, too.")
    ] = None
    paused: Annotated[bool, Field(description="Whether it finds nothing for now.")] = False
    created_at: float
    hits: Annotated[int, Field(description="Hits that are kept.")] = 0
    new: Annotated[int, Field(description="Those that nobody has acknowledged or dismissed.")] = 0
    lost: Annotated[
        int, Field(description="At least so many more were found and not kept; a smaller radius helps.")
    ] = 0
    searched: Annotated[bool, Field(description="Whether all that was stored before it is searched, too.")] = True
    waiting: Annotated[int, Field(description="Messages that are to be sent to its webhook.")] = 0
    dead: Annotated[int, Field(description="Messages that were given up; see its deliveries.")] = 0
    problem: Annotated[str, Field(description="Why it finds nothing in the present generation.")] = ""


class NewWatch(WatchModel):
    """A watch that was just made, or got a new secret."""

    model_config = ConfigDict(json_schema_extra={"examples": [WATCH_EXAMPLE | {"secret": "whsec_c2VjcmV0"}]})

    secret: Annotated[str, Field(description="Signs what its webhook gets; shown once.")]


class RotateRequest(_Request):
    """How a webhook gets a new secret."""

    model_config = ConfigDict(json_schema_extra={"examples": [{"grace_s": 86400}]})

    grace_s: Annotated[
        float, Field(ge=0, le=30 * 86400, description="So long messages are signed with the secret before, too.")
    ] = 0


class Watches(_Reply):
    """Watches of a collection, oldest first."""

    model_config = ConfigDict(json_schema_extra={"examples": [{"watches": [WATCH_EXAMPLE]}]})

    watches: list[WatchModel]


class WatchHit(_Reply):
    """A frame that a watch has found."""

    frame_id: str
    video: int
    source: str
    member: Member = None
    tags: Tags = {}
    time_ms: int
    distance: int
    found_at: Annotated[float, Field(description="Seconds since 1970.")]
    state: MarkState = "new"
    marked_by: str = ""
    marked_at: float | None = None
    note: str = ""

    @property
    def time_s(self) -> float:
        """The hit's presentation time in seconds."""
        return self.time_ms / 1000

    @property
    def file(self) -> str:
        """The very file: the source and, of a folder or an archive of pictures, the file inside."""
        return file_of(self.source, self.member)


class WatchHits(_Reply):
    """A page of hits, the newest first."""

    model_config = ConfigDict(json_schema_extra={"examples": [{"hits": [WATCH_HIT_EXAMPLE]}]})

    hits: list[WatchHit]
    next: Annotated[str | None, Field(description="Pass as `before` for the next page; null at the end.")] = None


class MarkRequest(_Request):
    """What is said of hits."""

    model_config = ConfigDict(
        json_schema_extra={"examples": [{"frames": ["30064771073"], "state": "dismissed", "note": "a poster"}]}
    )

    frames: Annotated[list[FrameId], Field(min_length=1, max_length=1000)]
    state: MarkState = "acknowledged"
    note: Annotated[str, Field(max_length=1000, pattern=r"^[^\x00]*$")] = ""


class Marked(_Reply):
    """How many of the frames are hits of the watch, and so were marked."""

    model_config = ConfigDict(json_schema_extra={"examples": [{"marked": 1}]})

    marked: int


class DeliveryModel(_Reply):
    """A message to a webhook; its id is its idempotency key."""

    model_config = ConfigDict(json_schema_extra={"examples": [DELIVERY_EXAMPLE]})

    id: str
    watch: str
    state: DeliveryState
    hits: Annotated[int, Field(description="How many hits it carries.")] = 0
    tries: int = 0
    created_at: float
    next_at: Annotated[float | None, Field(description="When it is sent (again), while it waits.")] = None
    status: Annotated[int, Field(description="HTTP status of the last try; 0 without an answer.")] = 0
    reason: Annotated[str, Field(description="Why the last try failed.")] = ""


class Deliveries(_Reply):
    """Messages to a webhook, the newest first."""

    model_config = ConfigDict(json_schema_extra={"examples": [{"deliveries": [DELIVERY_EXAMPLE]}]})

    deliveries: list[DeliveryModel]
