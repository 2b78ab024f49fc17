"""An engine and a queue that keep everything in lists, and a real server around them.

They are the obvious reference for the HTTP app and its client: brute force over Python integers, one thing after
the other, nothing hidden.
"""

from __future__ import annotations

import base64
import binascii
import hashlib
import io
import json
import random
import socket
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

import uvicorn
from memory_watches import MemoryWatches
from PIL import Image, ImageDraw
from starlette.types import ASGIApp, Receive, Scope, Send

from hashreel.errors import BadInputError, ConflictError, DecodeError, ForbiddenError, NotFoundError
from hashreel.schemas import (
    Answer,
    ClipAnswer,
    ClipOptions,
    Collection,
    Collections,
    EnqueueRequest,
    EvaluationModel,
    EvaluationRequest,
    Failure,
    Failures,
    FrameModel,
    Frames,
    FramesRequest,
    Health,
    HitModel,
    IdsAnswer,
    JobCounts,
    JobModel,
    JobVideos,
    Position,
    Query,
    SearchRequest,
    SuppressionModel,
    SuppressionRequest,
    Suppressions,
    VideoModel,
    Videos,
    Warn,
)
from search.evaluation import parse_csv

BITS = 48
REPORT_PAGE = """<!doctype html><title>Report</title><style>h1{color:rgb(1, 2, 3)}</style><h1>Report</h1>
<img alt="dot" src="data:image/gif;base64,R0lGODlhAQABAIAAAAAAAP///yH5BAEAAAAALAAAAAABAAEAAAIBRAA7">
<script>document.title = "a script ran"</script>
"""
PICTURE_STARTS = (b"\xff\xd8\xff", b"\x89PNG", b"GIF8", b"RIFF", b"BM")


def frame_id_of(video: int, index: int) -> int:
    return video * 2**32 + index


def _mask_png() -> bytes:
    """A mask whose right half is covered by the first concept."""
    image = Image.new("RGBA", (160, 90))
    image.paste((220, 60, 60, 150), (80, 0, 160, 90))
    buffer = io.BytesIO()
    image.save(buffer, "PNG")
    return buffer.getvalue()


MASK = _mask_png()


def code_of(text: str) -> bytes:
    return hashlib.sha256(text.encode()).digest()[: BITS // 8]


def picture_code(picture: bytes) -> bytes:
    return hashlib.sha256(picture).digest()[: BITS // 8]


def distance(a: bytes, b: bytes) -> int:
    return (int.from_bytes(a) ^ int.from_bytes(b)).bit_count()


@dataclass
class Frame:
    id: int
    video: int
    time_ms: int
    code: bytes


@dataclass
class MemoryEngine(MemoryWatches):
    """Implements EnginePort; ``ready`` and ``redis`` can be switched, and ``gate`` holds searches up until it opens."""

    model: str = "reference"
    ready: bool = True
    redis: bool = True
    gate: threading.Event | None = None
    catalogue: dict[int, VideoModel] = field(default_factory=dict)
    frames: list[Frame] = field(default_factory=list)
    paths: dict[int, Path] = field(default_factory=dict)
    homes: dict[int, str] = field(default_factory=dict)
    requests: list[SearchRequest] = field(default_factory=list)
    suppressed: dict[str, SuppressionModel] = field(default_factory=dict)

    def add_video(
        self,
        source: str,
        frames: int = 10,
        *,
        path: Path | None = None,
        tags: dict[str, str] | None = None,
        warnings: list[Warn] | None = None,
        state: str = "indexed",
        reason: str = "",
        step_ms: int = 1000,
    ) -> VideoModel:
        number = len(self.catalogue) + 1
        count = frames if state == "indexed" else 0
        self.catalogue[number] = VideoModel.model_validate(
            {
                "id": number,
                "source": source,
                "state": state,
                "frames": count,
                "duration_s": frames * step_ms / 1000,
                "width": 640,
                "height": 360,
                "codec": "h264",
                "tags": tags or {},
                "warnings": warnings or [],
                "reason": reason,
                "chunks": 1,
                "chunks_done": 1 if state == "indexed" else 0,
                "added_at": 1767225600.0 + number,
            }
        )
        for index in range(count):
            code = code_of(f"{source}#{index}")
            self.frames.append(Frame(frame_id_of(number, index), number, index * step_ms, code))
        if path is not None:
            self.paths[number] = path
        return self.catalogue[number]

    def search(self, request: SearchRequest) -> Answer:
        if self.gate is not None:
            self.gate.wait(60)
        self.requests.append(request)
        self.fetched(request.query)
        code = self._code(request)
        ranked = sorted((distance(code, frame.code), frame.id, frame) for frame in self._allowed(request))
        if request.radius is not None:
            ranked = [row for row in ranked if row[0] <= request.radius]
        if request.group_by == "video":
            best: dict[int, tuple[int, int, Frame]] = {}
            for row in ranked:
                best.setdefault(row[2].video, row)
            ranked = list(best.values())
        hits = [self._hit(row[0], row[2]) for row in ranked[: request.top]]
        band = sum(distance(code, frame.code) == hits[-1].distance for frame in self.frames) if hits else 0
        return Answer(
            hits=hits,
            code=code.hex(),
            bits=BITS,
            fingerprint="f" * 64,
            position=self._position(),
            stale=not self.redis,
            tie_band=band,
            gallery=len(self.frames),
            decode_ms=1.5 if request.query.image else 0.0,
            encode_ms=12.0 if request.query.image else 0.0,
            search_ms=0.2,
        )

    def search_ids(self, request: SearchRequest) -> IdsAnswer:
        answer = self.search(request)
        ids, distances = [hit.frame_id for hit in answer.hits], [hit.distance for hit in answer.hits]
        return IdsAnswer(**answer.model_dump(exclude={"hits"}), frame_ids=ids, distances=distances)

    def look_up(self, request: FramesRequest) -> Frames:
        self._collection(request.collection)
        there = {str(frame.id): frame for frame in self.frames}
        found = [there[frame] for frame in request.frames if frame in there]
        code = None if request.code is None else bytes.fromhex(request.code)
        return Frames(
            frames=[self._hit(None if code is None else distance(code, frame.code), frame) for frame in found],
            missing=[frame for frame in request.frames if frame not in there],
            bits=BITS,
            fingerprint="f" * 64,
            position=self._position(),
        )

    def _code(self, request: SearchRequest) -> bytes:
        query = request.query
        if query.code is not None:
            code = bytes.fromhex(query.code)
            if len(code) != BITS // 8:
                raise BadInputError(f"the code has {len(code)} bytes; this collection's have {BITS // 8}")
            return code
        if query.frame is not None:
            for frame in self.frames:
                if frame.id == int(query.frame):
                    return frame.code
            raise NotFoundError(f"there is no frame {query.frame}")
        if query.image is None:  # concepts by themselves, or marks: there is no such order here
            return bytes(BITS // 8)
        try:
            picture = base64.b64decode(query.image, validate=True)
        except binascii.Error as exc:
            raise DecodeError(f"the picture is not base64: {exc}") from exc
        if not picture.startswith(PICTURE_STARTS):
            raise DecodeError("the picture cannot be decoded; accepted are JPEG, PNG, WebP, GIF and BMP")
        return picture_code(picture)

    def _allowed(self, request: SearchRequest) -> Iterator[Frame]:
        self._collection(request.collection)
        for frame in self.frames:
            tags = self.catalogue[frame.video].tags
            if request.videos is not None and frame.video not in request.videos:
                continue
            if request.exclude_video == frame.video:
                continue
            wanted = {
                name: [value] if isinstance(value, str) else value for name, value in (request.tags or {}).items()
            }
            if not all(tags.get(name) in values for name, values in wanted.items()):
                continue
            if request.between and not request.between[0] <= frame.time_ms < request.between[1]:
                continue
            yield frame

    def _hit(self, far: int | None, frame: Frame) -> FrameModel:
        video = self.catalogue[frame.video]
        return (FrameModel if far is None else HitModel)(
            video=frame.video,
            source=video.source,
            time_ms=frame.time_ms,
            distance=far,
            frame_id=str(frame.id),
            code=frame.code.hex(),
            tags=video.tags,
        )

    def _collection(self, name: str | None) -> None:
        if name not in (None, "main"):
            raise NotFoundError(f"there is no collection {name!r}; there is: main")

    def _position(self) -> Position:
        return Position(generation="g1", log_id=f"{len(self.frames)}-0")

    def videos(self, *, limit=100, before=None, state=None, tags=None, collection=None) -> Videos:
        self._collection(collection)
        kept = [
            video
            for number, video in sorted(self.catalogue.items(), reverse=True)
            if (state is None or video.state == state) and (not tags or tags.items() <= video.tags.items())
        ]
        rest = [video for video in kept if before is None or video.id < before]
        page = rest[:limit]
        return Videos(videos=page, total=len(kept), next=page[-1].id if len(rest) > limit else None)

    def video(self, video_id: int) -> VideoModel:
        if video_id not in self.catalogue:
            raise NotFoundError(f"there is no video {video_id}")
        return self.catalogue[video_id]

    def collection_of(self, video_id: int) -> str:
        self.video(video_id)
        return self.homes.get(video_id, "main")

    def set_tags(self, video_id: int, tags: dict[str, str]) -> VideoModel:
        old = self.video(video_id)
        merged = {key: value for key, value in {**old.tags, **tags}.items() if value}
        self.catalogue[video_id] = old.model_copy(update={"tags": merged})
        return self.catalogue[video_id]

    def delete_video(self, video_id: int, *, purge: bool = False) -> VideoModel:
        video = self.video(video_id)
        del self.catalogue[video_id]
        self.frames = [frame for frame in self.frames if frame.video != video_id]
        return video

    def collections(self) -> Collections:
        return Collections(
            collections=[
                Collection(
                    name="main",
                    generation="g1",
                    model=self.model,
                    fingerprint="f" * 64,
                    bits=BITS,
                    frames=len(self.frames),
                    videos=len(self.catalogue),
                    position=self._position(),
                )
            ]
        )

    def health(self) -> Health:
        detail = "" if self.ready else "loading the snapshot"
        return Health(
            ready=self.ready,
            version="0.1.0",
            generation="g1",
            model=self.model,
            frames=len(self.frames),
            lag=0,
            redis=self.redis,
            detail=detail,
        )

    def thumbnail(self, frame_id: int, width: int = 320) -> bytes:
        if not any(frame.id == frame_id for frame in self.frames):
            raise NotFoundError(f"there is no frame {frame_id}")
        video, index = divmod(frame_id, 2**32)
        return draw_frame(video, index, width, width * 9 // 16)

    def mask(self, frame_id: int) -> bytes:
        self.thumbnail(frame_id, 16)
        return MASK

    def frame_png(self, frame_id: int) -> bytes:
        with Image.open(io.BytesIO(self.thumbnail(frame_id, 640))) as picture:
            buffer = io.BytesIO()
            picture.save(buffer, "PNG")
        return buffer.getvalue()

    def search_clip(self, path: Path, options: ClipOptions) -> ClipAnswer:
        self._collection(options.collection)
        raise DecodeError(f"the clip's {path.stat().st_size} bytes are no video; nothing here decodes one")

    def fetched(self, query: Query) -> Query:
        if query.url is not None:
            raise ForbiddenError("no hosts are allowed here")
        return query

    def suppress(self, request: SuppressionRequest) -> SuppressionModel:
        self._collection(request.collection)
        self.fetched(request.query)
        if request.query.image is None and request.query.frame is None:
            raise BadInputError("an example for suppression is a picture or an indexed frame")
        self._code(SearchRequest(query=request.query, more=["1"]))
        entry = SuppressionModel(
            id=f"{len(self.suppressed):012x}",
            name=request.name,
            collection="main",
            radius=request.radius,
            created_at=1767225600.0,
            frames=0,
        )
        self.suppressed[entry.id] = entry
        return entry

    def suppressions(self, collection: str | None = None) -> Suppressions:
        self._collection(collection)
        return Suppressions(suppressions=list(self.suppressed.values()))

    def unsuppress(self, suppression_id: str, collection: str | None = None) -> SuppressionModel:
        self._collection(collection)
        if suppression_id not in self.suppressed:
            raise NotFoundError(f"nothing is suppressed by the id {suppression_id!r}")
        return self.suppressed.pop(suppression_id)

    def source_path(self, video_id: int) -> Path:
        self.video(video_id)
        if video_id not in self.paths:
            raise NotFoundError(f"the source of video {video_id} is gone")
        return self.paths[video_id]

    def wait_position(self, position: str, timeout_s: float) -> bool:
        return int(position.partition("-")[0]) <= len(self.frames)


@dataclass
class MemoryEvaluations:
    """Implements EvaluationPort. An evaluation is done when it is looked up; its report says who it is."""

    records: dict[str, EvaluationModel] = field(default_factory=dict)
    wishes: dict[str, EvaluationRequest] = field(default_factory=dict)
    paused: bool = False

    def create(self, request: EvaluationRequest) -> EvaluationModel:
        parse_csv(io.StringIO(request.truth, newline=""), request.source)
        number = f"e{len(self.records) + 1}"
        self.wishes[number] = request
        self.records[number] = EvaluationModel(
            id=number,
            state="queued",
            name=request.name or "average",
            collection=request.collection or "main",
            generation="1",
            model="average",
            fingerprint="0" * 64,
            bits=BITS,
            truth=hashlib.sha256(request.truth.encode()).hexdigest(),
            source=request.source,
            by=request.by,
            created_at=1767225600.0,
        )
        return self.records[number]

    def newest(self, limit: int = 50) -> list[EvaluationModel]:
        return list(reversed(self.records.values()))[:limit]

    def get(self, evaluation: str) -> EvaluationModel:
        if evaluation not in self.records:
            raise NotFoundError(f"there is no evaluation {evaluation}")
        model = self.records[evaluation]
        if not self.paused and model.state == "queued":
            scores = {"map@10:minKR": 0.5, "precision@10": 0.25}
            self.records[evaluation] = model.model_copy(update={"state": "done", "scores": scores})
        return self.records[evaluation]

    def cancel(self, evaluation: str) -> EvaluationModel:
        self.get(evaluation)
        self.records[evaluation] = self.records[evaluation].model_copy(update={"state": "cancelled"})
        return self.records[evaluation]

    def report(self, evaluation: str, format_: str) -> str:
        if self.get(evaluation).state != "done":
            raise ConflictError(f"evaluation {evaluation} is not done")
        if format_ == "json":
            return json.dumps({"title": evaluation})
        return REPORT_PAGE if format_ == "html" else f"{format_} of {evaluation}"


@dataclass
class MemoryQueue:
    """Implements QueuePort. A job goes one step on each time that it is looked up, so tests need no clock."""

    engine: MemoryEngine
    records: dict[str, JobModel] = field(default_factory=dict)
    ledger: list[Failure] = field(default_factory=list)
    wishes: dict[str, EnqueueRequest] = field(default_factory=dict)
    paused: bool = False
    evaluations: MemoryEvaluations = field(default_factory=lambda: MemoryEvaluations())

    def units(self) -> tuple[int, int]:
        return len(self.records), 0

    def side_work(self) -> tuple[int, int]:
        return 0, 0

    def enqueue(self, request: EnqueueRequest) -> JobModel:
        number = f"job-{len(self.records) + 1}"
        total = len(request.sources)
        self.wishes[number] = request
        self.records[number] = JobModel(
            id=number,
            state="queued",
            collection=request.collection or "main",
            lane=request.lane or "interactive",
            counts=JobCounts(total=total, queued=total),
            chunks=total,
            created_at=1767225600.0,
        )
        return self.records[number]

    def jobs(self, limit: int = 50, state: str | None = None) -> list[JobModel]:
        return [job for job in reversed(self.records.values()) if state in {None, job.state}][:limit]

    def job_videos(self, job_id: str, *, limit: int = 1000, offset: int = 0) -> JobVideos:
        if job_id not in self.records:
            raise NotFoundError(f"there is no job {job_id}")
        videos = self.records[job_id].videos
        return JobVideos(videos=videos[offset : offset + limit], total=len(videos))

    def delete(self, job_id: str) -> JobModel:
        job = self.job(job_id)
        if job.state not in {"done", "cancelled"}:
            raise ConflictError(f"job {job_id} is {job.state}; cancel it first, or wait for its end")
        return self.records.pop(job_id)

    def job(self, job_id: str) -> JobModel:
        if job_id not in self.records:
            raise NotFoundError(f"there is no job {job_id}")
        job = self.records[job_id]
        if not self.paused and job.state in {"queued", "running"}:
            self.records[job_id] = self._step(job)
        return self.records[job_id]

    def _step(self, job: JobModel) -> JobModel:
        request = self.wishes[job.id]
        if job.state == "queued":
            counts = JobCounts(total=job.counts.total, encoding=job.counts.total)
            return job.model_copy(update={"state": "running", "counts": counts})
        bad = [source for source in request.sources if "broken" in source]
        good = [source for source in request.sources if source not in bad]
        added = [self.engine.add_video(source, tags=request.tags).id for source in good]
        for source in bad:
            self.ledger.append(
                Failure(source=source, job=job.id, stage="decode", reason="no video stream", retryable=False)
            )
        counts = JobCounts(total=job.counts.total, indexed=len(good), failed=len(bad))
        return job.model_copy(
            update={"state": "done", "counts": counts, "videos": added, "chunks_done": len(good), "frames": 10}
        )

    def cancel(self, job_id: str, *, keep_partial: bool = False) -> JobModel:
        job = self.job(job_id)
        if job.state == "done":
            raise ConflictError(f"job {job_id} is done; there is nothing to cancel")
        counts = JobCounts(total=job.counts.total, cancelled=job.counts.total)
        self.records[job_id] = job.model_copy(update={"state": "cancelled", "counts": counts})
        return self.records[job_id]

    def retry(self, job_id: str) -> JobModel:
        job = self.job(job_id)
        counts = JobCounts(total=job.counts.total, queued=job.counts.total)
        self.records[job_id] = job.model_copy(update={"state": "queued", "counts": counts})
        return self.records[job_id]

    def failures(self, *, job=None, video=None, collection=None, limit=100, offset=0) -> Failures:
        kept = [
            failure
            for failure in reversed(self.ledger)
            if (job is None or failure.job == job) and (video is None or failure.video == video)
        ]
        return Failures(failures=kept[offset : offset + limit], total=len(kept))


def draw_frame(video: int, index: int, width: int, height: int) -> bytes:
    """Return a JPEG with a sky, hills and a sun whose places follow the numbers."""
    dice = random.Random(video * 1000 + index // 4)
    sky = tuple(dice.randrange(90, 230) for _ in range(3))
    image = Image.new("RGB", (width, height), sky)
    draw = ImageDraw.Draw(image)
    across, radius = (index * 0.07 + dice.random()) % 1.0, height // 8
    x, y = int(across * width), height // 3
    draw.ellipse((x - radius, y - radius, x + radius, y + radius), fill=(250, 240, 190))
    for layer in range(3):
        shade = tuple(channel * (3 - layer) // 5 for channel in sky)
        peak, base = dice.randrange(width), height * (5 + layer) // 8
        draw.polygon(((-width, height), (peak, base), (2 * width, height)), fill=shade)
    buffer = io.BytesIO()
    image.save(buffer, "JPEG", quality=85)
    return buffer.getvalue()


@dataclass
class Switch:
    """An ASGI app that hands on to another one, so that one server can serve a fresh app for each test."""

    app: ASGIApp | None = None

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        assert self.app is not None
        await self.app(scope, receive, send)


@contextmanager
def serve(app: ASGIApp) -> Iterator[str]:
    """Run the app under a real server on a free port and yield its URL."""
    listener = socket.create_server(("127.0.0.1", 0))
    config = uvicorn.Config(app, log_level="warning", access_log=False, ws="none", lifespan="off")
    server = uvicorn.Server(config)
    thread = threading.Thread(target=server.run, kwargs={"sockets": [listener]}, daemon=True)
    thread.start()
    while not server.started:
        if not thread.is_alive():
            raise RuntimeError("the server did not start")
        time.sleep(0.01)
    try:
        yield f"http://127.0.0.1:{listener.getsockname()[1]}"
    finally:
        server.should_exit = True
        thread.join(10)
        listener.close()
