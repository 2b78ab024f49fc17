"""``AsyncClient`` and ``AsyncJob``: the same methods as ``Client`` and ``Job``, to be awaited (asyncio)."""

from __future__ import annotations

import asyncio
import os
from collections.abc import AsyncIterator, Callable, Iterable, Mapping
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
from hashreel.client.evaluation_jobs import AsyncEvaluationJob
from hashreel.client.exchange import Exchange, Outcome, Step, answers_of, check_url, exchange
from hashreel.client.frame_methods import AsyncFrameMethods
from hashreel.client.job_waits import ENDED, JobView, Progress, shown
from hashreel.client.key_calls import KeyOptions
from hashreel.client.local import LocalStack, absolute_sources, join_stack
from hashreel.client.media_methods import AsyncMediaMethods, file_pieces
from hashreel.client.queries import QueryLike
from hashreel.client.results import Hits
from hashreel.client.waiting import changes_async, wait_for_async
from hashreel.client.watch_methods import AsyncWatchMethods
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

__all__ = ["AsyncClient", "AsyncJob"]

T = TypeVar("T")


class AsyncClient(AsyncFrameMethods, AsyncMediaMethods, AsyncWatchMethods):
    """Talks to a Hashreel service from asyncio; arguments, results and errors are those of ``Client``.

    Args:
        url: Address of the service.
        api_key: Key of a service that asks for one.
        timeout_s: Longest wait for one answer, in seconds.
    """

    def __init__(self, url: str = "http://127.0.0.1:8000", api_key: str | None = None, timeout_s: float = 30.0) -> None:
        self.url = check_url(url)
        self.timeout_s = timeout_s
        self._http = httpx.AsyncClient(**client_options(self.url, api_key, timeout_s))
        self._stack: LocalStack | None = None

    @classmethod
    async def local(cls, data: str | os.PathLike[str] = "hashreel-data", timeout_s: float = 30.0) -> Self:
        """Return a client of the embedded stack over a folder; see ``Client.local``."""
        stack = await asyncio.to_thread(join_stack, data)
        client = cls(stack.url, stack.key, timeout_s=timeout_s)
        client._stack = stack
        return client

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, value: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.close()

    async def close(self) -> None:
        """Close the connections."""
        await self._http.aclose()
        if self._stack is not None:
            self._stack.leave()
            self._stack = None

    async def search(self, query: QueryLike = None, top: int = 10, **options: Unpack[SearchKeywords]) -> Hits:
        """Return the nearest frames; see ``Client.search``."""
        # In a thread, since it may read and encode a picture.
        call = await asyncio.to_thread(calls.search, query, top, options)
        return Hits(await self._run(call))

    async def search_many(
        self, queries: Iterable[QueryLike], top: int = 10, **options: Unpack[SearchKeywords]
    ) -> list[Hits]:
        """Return the hits of several queries; see ``Client.search_many``."""
        batch = await self._run(await asyncio.to_thread(calls.search_many, queries, top, options))
        return [Hits(answer) for answer in answers_of(batch)]

    async def search_clip(
        self, clip: str | os.PathLike[str], top: int = 10, **options: Unpack[ClipKeywords]
    ) -> Stretches:
        """Return the stretches of videos that a clip matches, best first; see ``Client.search_clip``."""
        path = Path(clip)
        call = await asyncio.to_thread(clip_calls.search_clip, path, top, options)
        headers = {"Content-Length": str(path.stat().st_size), "Content-Type": "application/octet-stream"}
        return Stretches(await self._run(call, content=file_pieces(path), headers=headers))

    async def evidence(
        self, query: QueryLike, path: str | os.PathLike[str], top: int = 10, **options: Unpack[SearchKeywords]
    ) -> int:
        """Search, and write the hits as a ZIP of evidence; see ``Client.evidence``."""
        call = await asyncio.to_thread(evidence_calls.evidence, query, top, options)
        return calls.written(path, await self._run(call))

    async def suppress(
        self, query: QueryLike, *, radius: int = 4, name: str = "", collection: str | None = None
    ) -> SuppressionModel:
        """Leave frames that look like a picture out of answers; see ``Client.suppress``."""
        call = await asyncio.to_thread(suppression_calls.suppress, query, radius, name, collection)
        return await self._run(call)

    async def suppressions(self, *, collection: str | None = None) -> list[SuppressionModel]:
        """Return what a collection leaves out of answers, oldest first."""
        return (await self._run(suppression_calls.suppressions(collection))).suppressions

    async def unsuppress(self, suppression_id: str, *, collection: str | None = None) -> SuppressionModel:
        """Find the likes of an example again, and return what was its entry."""
        return await self._run(suppression_calls.unsuppress(suppression_id, collection))

    async def enqueue(self, sources: Sources, **options: Unpack[EnqueueOptions]) -> AsyncJob:
        """Enqueue sources to index and return their job; see ``Client.enqueue``."""
        if self._stack is not None:
            sources = absolute_sources(sources)
        return AsyncJob(self, await self._run(calls.enqueue(sources, options)))

    async def upload(
        self, path: str | os.PathLike[str], name: str | None = None, *, on_bytes: Callable[[int], object] | None = None
    ) -> Upload:
        """Send a video of this machine to the service; see ``Client.upload``."""
        path = Path(path)
        call = calls.upload(path, name)
        headers = {"Content-Length": str(path.stat().st_size)}
        return await self._run(call, content=file_pieces(path, on_bytes), headers=headers)

    async def jobs(self, limit: int = 50, state: JobState | None = None) -> list[AsyncJob]:
        """Return the newest jobs; see ``Client.jobs``."""
        return [AsyncJob(self, model) for model in (await self._run(calls.jobs(limit, state))).jobs]

    async def job(self, job_id: str) -> AsyncJob:
        """Return one job; NotFoundError if there is none."""
        return AsyncJob(self, await self._run(calls.job(job_id)))

    async def evaluate(self, truth: TruthLike, **options: Unpack[EvaluationOptions]) -> AsyncEvaluationJob:
        """Score a collection against a ground truth, in a worker of the service; see ``Client.evaluate``."""
        call = await asyncio.to_thread(evaluation_calls.evaluate, truth, options)
        return AsyncEvaluationJob(self, await self._run(call))

    async def evaluations(self, limit: int = 50) -> list[AsyncEvaluationJob]:
        """Return the newest evaluations."""
        listed = await self._run(evaluation_calls.evaluations(limit))
        return [AsyncEvaluationJob(self, model) for model in listed.evaluations]

    async def evaluation(self, evaluation_id: str) -> AsyncEvaluationJob:
        """Return one evaluation; NotFoundError if there is none."""
        return AsyncEvaluationJob(self, await self._run(evaluation_calls.evaluation(evaluation_id)))

    async def videos(self, **options: Unpack[VideoFilter]) -> AsyncIterator[VideoModel]:
        """Yield videos, newest first; see ``Client.videos``."""
        before: int | None = None
        while True:
            page = await self._run(calls.videos(before, options))
            for video in page.videos:
                yield video
            before = page.next
            if before is None:
                return

    async def video(self, video_id: int) -> VideoModel:
        """Return one video; NotFoundError if there is none."""
        return await self._run(calls.video(video_id))

    async def set_tags(self, video_id: int, tags: Mapping[str, str]) -> VideoModel:
        """Set tags and leave the others; an empty value removes a tag."""
        return await self._run(calls.set_tags(video_id, tags))

    async def relocate(
        self,
        old: str | int,
        new: str,
        *,
        check: Literal["sha256", "size"] = "sha256",
        dry_run: bool = False,
        collection: str | None = None,
    ) -> AsyncIterator[Relocation]:
        """Find moved sources under their new names, and yield what became of each video; see ``Client.relocate``."""
        which = {"video": old} if isinstance(old, int) else {"old": old}
        fields = {**which, "new": new, "check": check, "dry_run": dry_run, "collection": collection}
        after: int | None = None
        while True:
            turn = await self._run(relocation_calls.relocate(**fields, after=after))
            for relocation in turn.relocations:
                yield relocation
            after = turn.next
            if after is None:
                return

    async def delete_video(self, video_id: int, *, purge: bool = False) -> VideoModel:
        """Take a video out of the gallery; its file stays. ``purge`` removes its codes from disk and memory now."""
        return await self._run(calls.delete_video(video_id, purge))

    async def failures(
        self, *, job: str | None = None, video: int | None = None, collection: str | None = None
    ) -> AsyncIterator[Failure]:
        """Yield what could not be indexed and why, newest first: of a job, of a video, or of a collection."""
        offset = 0
        while True:
            page = await self._run(calls.failures(job, video, collection, offset))
            for failure in page.failures:
                yield failure
            offset += len(page.failures)
            if not page.failures or offset >= page.total:
                return

    async def collections(self) -> list[Collection]:
        """Return all collections."""
        return (await self._run(calls.collections())).collections

    async def create_collection(self, name: str, model: str | None = None) -> Collection:
        """Make an empty collection for a model (a name or a folder of the service's)."""
        return await self._run(calls.create_collection(name, model))

    async def reencode(self, name: str, model: str) -> AsyncJob:
        """Index a collection's sources with another model, into a new generation beside the live one."""
        return AsyncJob(self, await self._run(calls.reencode(name, model)))

    async def cut_over(self, name: str, generation: str, *, anyway: bool = False) -> Collection:
        """Let a collection point at another of its generations, from one moment to the next."""
        return await self._run(calls.cut_over(name, generation, anyway))

    async def roll_back(self, name: str) -> Collection:
        """Let a collection point at the generation before the last cut-over."""
        return await self._run(calls.roll_back(name))

    async def drop(self, name: str, generation: str | None = None) -> int:
        """Drop one generation that is not live, or a whole collection; return how many videos it had."""
        return await self._run(calls.drop(name, generation))

    async def index(self, action: IndexAction = "status", *, collection: str | None = None) -> IndexStatus:
        """Compact, rebuild or snapshot the index, or only look at it; return how it stands then."""
        return await self._run(calls.index(action, collection))

    async def index_verify(self, *, collection: str | None = None) -> IndexVerification:
        """Compare every frame of the index with what is stored."""
        return await self._run(calls.index_verify(collection))

    async def export_index(
        self,
        path: str | os.PathLike[str],
        *,
        format: Literal["npz", "parquet", "faiss"] = "npz",
        collection: str | None = None,
    ) -> int:
        """Write all frames of a collection into a file; return its size in bytes."""
        with calls.whole_file(path) as aside:
            await self._run(calls.export_index(format, collection), into=aside)
        return os.stat(path).st_size

    async def import_index(self, path: str | os.PathLike[str], *, collection: str | None = None) -> ImportedVideos:
        """Add the videos of an exported file (npz or Parquet, same model) that are not there yet.

        Returns:
            The numbers of the videos that were added, and of those that were there already.
        """
        uploaded = await self.upload(path)
        return await self._run(calls.import_index(uploaded.source, collection))

    async def api_keys(self) -> list[ApiKeyModel]:
        """Return all API keys, without their secrets; needs an admin's key."""
        return (await self._run(key_calls.keys())).keys

    async def create_key(self, name: str, **options: Unpack[KeyOptions]) -> NewApiKey:
        """Make an API key and return it with its secret, which the service does not keep.

        Args:
            name: Whose it is, or what it is for.
            **options: ``scope``: "read" (the default), "write" or "admin". ``collections``: the only ones it is good
                for. ``expires_s``: seconds after which it opens nothing.
        """
        return await self._run(key_calls.create_key(name, options))

    async def revoke_key(self, key_id: str) -> ApiKeyModel:
        """Let an API key open nothing any more."""
        return await self._run(key_calls.revoke_key(key_id))

    async def session(self) -> SessionModel:
        """Return who the service takes this client for."""
        return await self._run(key_calls.session())

    async def audit(self, *, action: AuditAction | None = None, key: str | None = None) -> AsyncIterator[AuditEntry]:
        """Yield what was done and by whom, newest first; needs an admin's key."""
        before: str | None = None
        while True:
            page = await self._run(key_calls.audit(before, action, key))
            for entry in page.entries:
                yield entry
            before = page.next
            if before is None:
                return

    async def health(self) -> Health:
        """Return whether the service is ready, also while it is not."""
        return await self._run(calls.health())

    async def thumbnail(self, frame_id: str | int, width: int = 320) -> bytes:
        """Return an indexed frame as a JPEG of the given width."""
        return await self._run(calls.thumbnail(frame_id, width))

    async def _run(self, call: Call[T], **extra: Any) -> T:
        if self._http.is_closed:
            raise UnavailableError("the client is closed; open another one")
        flow: Exchange[T] = exchange(call, self.url, self.timeout_s)
        outcome: Outcome = None
        try:
            while True:
                outcome = await self._step(flow.send(outcome), extra)
        except StopIteration as stop:
            result: T = stop.value
            return result

    async def _step(self, step: Step, extra: dict[str, Any]) -> Outcome:
        if not isinstance(step, Call):
            await asyncio.sleep(step)
            return None
        try:
            return await self._send(step, **extra)
        except httpx.RequestError as exc:
            return exc

    async def _send(self, call: Call[Any], into: Path | None = None, **extra: Any) -> httpx.Response:
        """Send a call; a body that is asked for is written into a file as it comes and not held in memory."""
        request = self._http.build_request(**request_options(call), **extra)
        response = await self._http.send(request, stream=into is not None)
        if into is None:
            return response
        try:
            if not response.is_success:
                await response.aread()
                return response
            with into.open("wb") as file:
                async for block in response.aiter_bytes():
                    file.write(block)
        finally:
            await response.aclose()
        return response


class AsyncJob(JobView):
    """A request to index sources; see ``Job``."""

    def __init__(self, client: AsyncClient, model: JobModel) -> None:
        super().__init__(model)
        self._client = client

    async def status(self) -> JobModel:
        """Look at the job and return it."""
        self.model = await self._client._run(calls.job(self.id))
        return self.model

    async def wait(self, progress: Progress = False, timeout_s: float | None = None) -> Self:
        """Wait until the job has ended, and return it; see ``Job.wait``."""
        await wait_for_async(self, ENDED, shown(progress), timeout_s)
        return self

    async def watch(self, timeout_s: float | None = None) -> AsyncIterator[JobModel]:
        """Yield the job now, and then whenever it has changed, until it has ended; see ``Job.watch``."""
        async for job in changes_async(self, ENDED, timeout_s):
            yield job

    async def iter_videos(self) -> AsyncIterator[int]:
        """Yield the numbers of all of the job's videos, in order of the sources."""
        offset = 0
        while page := (await self._client._run(calls.job_videos(self.id, offset))).videos:
            for video in page:
                yield video
            offset += len(page)

    async def cancel(self, *, keep_partial: bool = False) -> JobModel:
        """Stop what is not finished; what it had committed goes too, unless ``keep_partial``."""
        self.model = await self._client._run(calls.cancel(self.id, keep_partial))
        return self.model

    async def retry(self) -> JobModel:
        """Queue the failed sources again."""
        self.model = await self._client._run(calls.retry(self.id))
        return self.model

    async def delete(self) -> JobModel:
        """Let the service forget the job, which must have ended; its videos stay."""
        self.model = await self._client._run(calls.delete_job(self.id))
        return self.model
