"""``Client`` and ``Job``: the client without ``await``."""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Iterable, Iterator, Mapping
from pathlib import Path
from types import TracebackType
from typing import Any, Literal, Self, TypeVar, Unpack

import httpx

from hashreel.client import (
    calls,
    clip_calls,
    evaluation_calls,
    evidence_calls,
    key_calls,
    relocation_calls,
    suppression_calls,
)
from hashreel.client.calls import Call, EnqueueOptions, IndexAction, SearchKeywords, Sources, VideoFilter
from hashreel.client.clip_calls import ClipKeywords, Stretches
from hashreel.client.connection import client_options, request_options
from hashreel.client.evaluation_calls import EvaluationOptions, TruthLike
from hashreel.client.evaluation_jobs import EvaluationJob
from hashreel.client.exchange import Exchange, Outcome, Step, answers_of, check_url, exchange
from hashreel.client.frame_methods import FrameMethods
from hashreel.client.job_waits import ENDED, JobView, Progress, shown
from hashreel.client.key_calls import KeyOptions
from hashreel.client.local import LocalStack, absolute_sources, join_stack
from hashreel.client.media_methods import MediaMethods, file_blocks
from hashreel.client.queries import QueryLike
from hashreel.client.results import Hits
from hashreel.client.waiting import changes, wait_for
from hashreel.client.watch_methods import WatchMethods
from hashreel.errors import UnavailableError
from hashreel.schemas import (
    ApiKeyModel,
    AuditAction,
    AuditEntry,
    Collection,
    Failure,
    Health,
    ImportedVideos,
    IndexStatus,
    IndexVerification,
    JobModel,
    JobState,
    NewApiKey,
    Relocation,
    SessionModel,
    SuppressionModel,
    Upload,
    VideoModel,
)

__all__ = ["Client", "Job"]

T = TypeVar("T")


class Client(FrameMethods, MediaMethods, WatchMethods):
    """Talks to a Hashreel service.

    Args:
        url: Address of the service.
        api_key: Key of a service that asks for one.
        timeout_s: Longest wait for one answer, in seconds.

    Raises:
        BadInputError: if ``url`` is no HTTP address.

    Example:
        Index an archive and search it with a picture::

            with Client("http://127.0.0.1:8000") as client:
                client.enqueue("archive/*.mp4", every_s=1.0).wait(progress=True)
                for hit in client.search("query.jpg", top=10):
                    print(hit.source, hit.time_s, hit.distance)
    """

    def __init__(self, url: str = "http://127.0.0.1:8000", api_key: str | None = None, timeout_s: float = 30.0) -> None:
        self.url = check_url(url)
        self.timeout_s = timeout_s
        self._http = httpx.Client(**client_options(self.url, api_key, timeout_s))
        self._stack: LocalStack | None = None

    @classmethod
    def local(cls, data: str | os.PathLike[str] = "hashreel-data", timeout_s: float = 30.0) -> Self:
        """Return a client of the embedded stack over a folder, which is started if it does not run.

        The stack is a process of its own (Redis, a worker, the search service); it ends a minute after its
        last client. Any file that this user can read may be enqueued.

        Args:
            data: Folder of the stack's files; made if it is missing.
            timeout_s: Longest wait for one answer, in seconds.

        Raises:
            MissingExtraError: if the engine is not installed.
            UnavailableError: if the stack does not come up; the message ends with its log.
        """
        stack = join_stack(data)
        client = cls(stack.url, stack.key, timeout_s=timeout_s)
        client._stack = stack
        return client

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, value: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def close(self) -> None:
        """Close the connections."""
        self._http.close()
        if self._stack is not None:
            self._stack.leave()
            self._stack = None

    def search(self, query: QueryLike = None, top: int = 10, **options: Unpack[SearchKeywords]) -> Hits:
        """Return the nearest frames in order of (distance, frame id).

        Args:
            query: A path or bytes of a picture, a PIL or numpy picture (uint8, RGB), a hit, ``"frame:ID"`` or
                ``"code:HEX"``. Text that names an existing file is that file. None searches for ``concepts`` by
                themselves, the largest first, or for frames like those in ``more``.
            top: Number of hits; of videos, when grouped.
            **options: ``radius``: largest Hamming distance, inclusive. ``box``: x, y, width, height in [0, 1] of
                the part of the picture to search for. ``tags``: only videos with all of these. ``videos``: only
                these numbers. ``between``: only frames with start <= time < end, in seconds.
                ``group_by="video"``: the best frame of each video. ``exclude_video``: leave one out.
                ``concepts``: only frames in which the model sees all of these, each over ``min_area`` of the picture.
                ``more``, ``less``: hits or frame ids; all hits are ordered anew, like these and unlike those.
                ``collection``, ``min_position``, ``consistency``: which gallery, and how fresh.

        Raises:
            BadInputError: if the query or an option cannot be used.
            NotFoundError: if the frame or collection does not exist.
            UnavailableError: if no service answers or it is not ready.
        """
        return Hits(self._run(calls.search(query, top, options)), self.thumbnail)

    def search_many(self, queries: Iterable[QueryLike], top: int = 10, **options: Unpack[SearchKeywords]) -> list[Hits]:
        """Return the hits of up to 256 queries in one request; the first refused query raises its error."""
        batch = self._run(calls.search_many(queries, top, options))
        return [Hits(answer, self.thumbnail) for answer in answers_of(batch)]

    def search_clip(self, clip: str | os.PathLike[str], top: int = 10, **options: Unpack[ClipKeywords]) -> Stretches:
        """Return the stretches of videos that a clip matches, best first.

        Args:
            clip: A video file of this machine; it may be up to 13 % faster or slower than the indexed video.
            top: Number of stretches.
            **options: ``tags``, ``videos``, ``between``, ``exclude_video``, ``collection``, ``min_position`` and
                ``consistency``, as for ``search``.

        Raises:
            BadInputError: if the file is no video, or an option cannot be used.
            UnavailableError: if no service answers or it is not ready.

        Example:
            Where a clip was taken from::

                for stretch in client.search_clip("clip.mp4", top=3):
                    print(stretch.source, stretch.start_ms, stretch.end_ms, stretch.rate, stretch.score)
        """
        path = Path(clip)
        call = clip_calls.search_clip(path, top, options)
        headers = {"Content-Length": str(path.stat().st_size), "Content-Type": "application/octet-stream"}
        with path.open("rb") as file:
            return Stretches(self._run(call, content=file, headers=headers))

    def evidence(
        self, query: QueryLike, path: str | os.PathLike[str], top: int = 10, **options: Unpack[SearchKeywords]
    ) -> int:
        """Search, and write the hits as a ZIP of evidence; return its size in bytes.

        It holds whole frames (PNG), the sources' SHA-256, exact times, distances, the query, the model's fingerprint
        and the index position, with ``SHA256SUMS`` over all of it.

        Args:
            query: As for ``search``.
            path: The file to write.
            top: Number of hits, at most 200.
            **options: As for ``search``.
        """
        return calls.written(path, self._run(evidence_calls.evidence(query, top, options)))

    def suppress(
        self, query: QueryLike, *, radius: int = 4, name: str = "", collection: str | None = None
    ) -> SuppressionModel:
        """Leave frames that look like a picture out of all answers of a collection, and return the entry.

        Args:
            query: A picture (as for ``search``), a hit or ``"frame:ID"``; a code cannot be kept for other models.
            radius: Largest Hamming distance of a frame that is left out, inclusive.
            name: What it is, for the list.
            collection: Whose answers; None is the service's own.
        """
        return self._run(suppression_calls.suppress(query, radius, name, collection))

    def suppressions(self, *, collection: str | None = None) -> list[SuppressionModel]:
        """Return what a collection leaves out of answers, oldest first."""
        return (self._run(suppression_calls.suppressions(collection))).suppressions

    def unsuppress(self, suppression_id: str, *, collection: str | None = None) -> SuppressionModel:
        """Find the likes of an example again, and return what was its entry."""
        return self._run(suppression_calls.unsuppress(suppression_id, collection))

    def enqueue(self, sources: Sources, **options: Unpack[EnqueueOptions]) -> Job:
        """Enqueue sources to index and return their job.

        Args:
            sources: One or more files, folders or globs of the *server*, inside its source roots, or uploads.
            **options: How key-frames are chosen, at most one of ``every_s`` (a step in seconds),
                ``keyframes="codec"`` (those of the encoder that made the file) and ``scenes=True``; ``drop``: kinds
                of key-frames that get no code, of "black", "blank", "frozen" and "duplicate". ``tags``: given
                to every video. ``collection``: into which. ``again``: encode what is indexed already once more.
                ``lane``: "interactive" (goes first) or "bulk"; by default as many sources decide. ``key``: made up by
                the caller; a request that is sent again with the same key returns the same job.
        """
        if self._stack is not None:
            sources = absolute_sources(sources)
        return Job(self, self._run(calls.enqueue(sources, options)))

    def upload(
        self, path: str | os.PathLike[str], name: str | None = None, *, on_bytes: Callable[[int], object] | None = None
    ) -> Upload:
        """Send a video of this machine to the service; ``enqueue`` takes what is returned.

        Args:
            path: The file.
            name: What the service calls it; None is its own name.
            on_bytes: Called with how many bytes are sent, now and then.
        """
        path = Path(path)
        call = calls.upload(path, name)
        headers = {"Content-Length": str(path.stat().st_size)}
        return self._run(call, content=file_blocks(path, on_bytes), headers=headers)

    def jobs(self, limit: int = 50, state: JobState | None = None) -> list[Job]:
        """Return the newest jobs; only those in a state, if one is given. Their ``videos`` are not filled in."""
        return [Job(self, model) for model in self._run(calls.jobs(limit, state)).jobs]

    def job(self, job_id: str) -> Job:
        """Return one job; NotFoundError if there is none."""
        return Job(self, self._run(calls.job(job_id)))

    def evaluate(self, truth: TruthLike, **options: Unpack[EvaluationOptions]) -> EvaluationJob:
        """Score a collection against a ground truth, in a worker of the service, and return the job.

        Args:
            truth: A CSV or JSON-lines file of this machine, or its text; see docs/evaluation.md.
            **options: ``frame_rate``: the ground truth is a list of shots by frame number. ``top``: the cutoffs K.
                ``queries_per_concept``: a number or "all", where the ground truth lists no queries. ``exclude``: what
                a query never gets, "self" or "video". ``collection``, ``generation``: which codes, by default those of
                the live generation. ``name``: what tables call it. ``against``: the id of an earlier evaluation to
                compare with. ``seed``: of the choice of queries. ``by``: who asks.

        Raises:
            BadInputError: if the ground truth is not usable; the message names its rows.
            NotFoundError: if there is no such collection.
        """
        return EvaluationJob(self, self._run(evaluation_calls.evaluate(truth, options)))

    def evaluations(self, limit: int = 50) -> list[EvaluationJob]:
        """Return the newest evaluations."""
        return [EvaluationJob(self, model) for model in self._run(evaluation_calls.evaluations(limit)).evaluations]

    def evaluation(self, evaluation_id: str) -> EvaluationJob:
        """Return one evaluation; NotFoundError if there is none."""
        return EvaluationJob(self, self._run(evaluation_calls.evaluation(evaluation_id)))

    def videos(self, **options: Unpack[VideoFilter]) -> Iterator[VideoModel]:
        """Yield videos, newest first; ``state``, ``tags`` and ``collection`` choose among them."""
        before: int | None = None
        while True:
            page = self._run(calls.videos(before, options))
            yield from page.videos
            before = page.next
            if before is None:
                return

    def video(self, video_id: int) -> VideoModel:
        """Return one video; NotFoundError if there is none."""
        return self._run(calls.video(video_id))

    def set_tags(self, video_id: int, tags: Mapping[str, str]) -> VideoModel:
        """Set tags and leave the others; an empty value removes a tag."""
        return self._run(calls.set_tags(video_id, tags))

    def relocate(
        self,
        old: str | int,
        new: str,
        *,
        check: Literal["sha256", "size"] = "sha256",
        dry_run: bool = False,
        collection: str | None = None,
    ) -> Iterator[Relocation]:
        """Find moved sources under their new names, and yield what became of each video; needs an admin's key.

        A video's source is changed only if the file at the new place is the one that was indexed.

        Args:
            old: The beginning of the names of sources that have moved, or the number of one video.
            new: What names begin with now, or the new name of that video's source.
            check: What files are compared by: their SHA-256, or their size alone.
            dry_run: Only say what would be done.
            collection: Whose videos; None is the service's own.

        Example:
            An archive that was moved to another root::

                refused = [one for one in client.relocate("archive/2024", "vault/2024") if not one.moved]
        """
        which = {"video": old} if isinstance(old, int) else {"old": old}
        fields = {**which, "new": new, "check": check, "dry_run": dry_run, "collection": collection}
        after: int | None = None
        while True:
            turn = self._run(relocation_calls.relocate(**fields, after=after))
            yield from turn.relocations
            after = turn.next
            if after is None:
                return

    def delete_video(self, video_id: int, *, purge: bool = False) -> VideoModel:
        """Take a video out of the gallery; its file stays. ``purge`` removes its codes from disk and memory now."""
        return self._run(calls.delete_video(video_id, purge))

    def failures(
        self, *, job: str | None = None, video: int | None = None, collection: str | None = None
    ) -> Iterator[Failure]:
        """Yield what could not be indexed and why, newest first: of a job, of a video, or of a collection."""
        offset = 0
        while True:
            page = self._run(calls.failures(job, video, collection, offset))
            yield from page.failures
            offset += len(page.failures)
            if not page.failures or offset >= page.total:
                return

    def collections(self) -> list[Collection]:
        """Return all collections."""
        return self._run(calls.collections()).collections

    def create_collection(self, name: str, model: str | None = None) -> Collection:
        """Make an empty collection for a model (a name or a folder of the service's)."""
        return self._run(calls.create_collection(name, model))

    def reencode(self, name: str, model: str) -> Job:
        """Index a collection's sources with another model, into a new generation beside the live one."""
        return Job(self, self._run(calls.reencode(name, model)))

    def cut_over(self, name: str, generation: str, *, anyway: bool = False) -> Collection:
        """Let a collection point at another of its generations, from one moment to the next.

        Raises:
            ConflictError: if that one lacks sources of the live one, and this is not to be done ``anyway``.
        """
        return self._run(calls.cut_over(name, generation, anyway))

    def roll_back(self, name: str) -> Collection:
        """Let a collection point at the generation before the last cut-over."""
        return self._run(calls.roll_back(name))

    def drop(self, name: str, generation: str | None = None) -> int:
        """Drop one generation that is not live, or a whole collection; return how many videos it had."""
        return self._run(calls.drop(name, generation))

    def index(self, action: IndexAction = "status", *, collection: str | None = None) -> IndexStatus:
        """Compact, rebuild or snapshot the index, or only look at it; return how it stands then."""
        return self._run(calls.index(action, collection))

    def index_verify(self, *, collection: str | None = None) -> IndexVerification:
        """Compare every frame of the index with what is stored."""
        return self._run(calls.index_verify(collection))

    def export_index(
        self,
        path: str | os.PathLike[str],
        *,
        format: Literal["npz", "parquet", "faiss"] = "npz",
        collection: str | None = None,
    ) -> int:
        """Write all frames of a collection into a file; return its size in bytes."""
        with calls.whole_file(path) as aside:
            self._run(calls.export_index(format, collection), into=aside)
        return os.stat(path).st_size

    def import_index(self, path: str | os.PathLike[str], *, collection: str | None = None) -> ImportedVideos:
        """Add the videos of an exported file (npz or Parquet, same model) that are not there yet.

        Returns:
            The numbers of the videos that were added, and of those that were there already.
        """
        uploaded = self.upload(path)
        return self._run(calls.import_index(uploaded.source, collection))

    def api_keys(self) -> list[ApiKeyModel]:
        """Return all API keys, without their secrets; needs an admin's key."""
        return (self._run(key_calls.keys())).keys

    def create_key(self, name: str, **options: Unpack[KeyOptions]) -> NewApiKey:
        """Make an API key and return it with its secret, which the service does not keep.

        Args:
            name: Whose it is, or what it is for.
            **options: ``scope``: "read" (the default), "write" or "admin". ``collections``: the only ones it is good
                for. ``expires_s``: seconds after which it opens nothing.
        """
        return self._run(key_calls.create_key(name, options))

    def revoke_key(self, key_id: str) -> ApiKeyModel:
        """Let an API key open nothing any more."""
        return self._run(key_calls.revoke_key(key_id))

    def session(self) -> SessionModel:
        """Return who the service takes this client for."""
        return self._run(key_calls.session())

    def audit(self, *, action: AuditAction | None = None, key: str | None = None) -> Iterator[AuditEntry]:
        """Yield what was done and by whom, newest first; needs an admin's key."""
        before: str | None = None
        while True:
            page = self._run(key_calls.audit(before, action, key))
            yield from page.entries
            before = page.next
            if before is None:
                return

    def health(self) -> Health:
        """Return whether the service is ready, also while it is not."""
        return self._run(calls.health())

    def thumbnail(self, frame_id: str | int, width: int = 320) -> bytes:
        """Return an indexed frame as a JPEG of the given width."""
        return self._run(calls.thumbnail(frame_id, width))

    def _run(self, call: Call[T], **extra: Any) -> T:
        if self._http.is_closed:
            raise UnavailableError("the client is closed; open another one")
        flow: Exchange[T] = exchange(call, self.url, self.timeout_s)
        outcome: Outcome = None
        try:
            while True:
                outcome = self._step(flow.send(outcome), extra)
        except StopIteration as stop:
            result: T = stop.value
            return result

    def _step(self, step: Step, extra: dict[str, Any]) -> Outcome:
        if not isinstance(step, Call):
            time.sleep(step)
            return None
        try:
            return self._send(step, **extra)
        except httpx.RequestError as exc:
            return exc

    def _send(self, call: Call[Any], into: Path | None = None, **extra: Any) -> httpx.Response:
        """Send a call; a body that is asked for is written into a file as it comes and not held in memory."""
        request = self._http.build_request(**request_options(call), **extra)
        response = self._http.send(request, stream=into is not None)
        if into is None:
            return response
        try:
            if not response.is_success:
                response.read()
                return response
            with into.open("wb") as file:
                for block in response.iter_bytes():
                    file.write(block)
        finally:
            response.close()
        return response


class Job(JobView):
    """A request to index sources; ``model`` is how it was when last looked at."""

    def __init__(self, client: Client, model: JobModel) -> None:
        super().__init__(model)
        self._client = client

    def status(self) -> JobModel:
        """Look at the job and return it."""
        self.model = self._client._run(calls.job(self.id))
        return self.model

    def wait(self, progress: Progress = False, timeout_s: float | None = None) -> Self:
        """Wait until the job has ended, and return it; failures are counted in ``counts``, they do not raise.

        Args:
            progress: True shows a bar on stderr; a function is called with every look at the job.
            timeout_s: Give up after so many seconds; None waits without end.

        Raises:
            WaitTimeoutError: after ``timeout_s``; the job goes on.
        """
        wait_for(self, ENDED, shown(progress), timeout_s)
        return self

    def watch(self, timeout_s: float | None = None) -> Iterator[JobModel]:
        """Yield the job now, and then whenever it has changed, until it has ended.

        Example:
            How far it is, and how long it will take::

                for job in client.job(job_id).watch():
                    print(f"{job.progress:.0%}, {job.rate:.1f} frames/s, {job.eta_s} s left")
        """
        yield from changes(self, ENDED, timeout_s)

    def iter_videos(self) -> Iterator[int]:
        """Yield the numbers of all of the job's videos, in order of the sources (``videos`` has the first 1000)."""
        offset = 0
        while page := self._client._run(calls.job_videos(self.id, offset)).videos:
            yield from page
            offset += len(page)

    def cancel(self, *, keep_partial: bool = False) -> JobModel:
        """Stop what is not finished; what it had committed goes too, unless ``keep_partial``."""
        self.model = self._client._run(calls.cancel(self.id, keep_partial))
        return self.model

    def retry(self) -> JobModel:
        """Queue the failed sources again."""
        self.model = self._client._run(calls.retry(self.id))
        return self.model

    def delete(self) -> JobModel:
        """Let the service forget the job, which must have ended; its videos stay."""
        self.model = self._client._run(calls.delete_job(self.id))
        return self.model
