"""The engine and the queue as a key sees them that is limited to collections.

Every route goes through these, so that a new one cannot forget the check: what has no rule is refused to limited keys.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any

from hashreel.errors import ForbiddenError, NotFoundError
from hashreel.schemas import Answer, Collections, Failures, Frames, FramesRequest, IdsAnswer, SearchRequest, Videos
from search.access.callers import check_collection, current_visit
from search.access.rates import RateLimit

__all__ = ["ScopedEngine", "ScopedQueue"]

Rule = Callable[..., Any]


class _Scoped:
    """Hands calls on, those of limited keys by rule."""

    def __init__(self, target: Any, default: str) -> None:
        self._target = target
        self._default = default

    def __getattr__(self, name: str) -> Any:
        if current_visit().caller.collections is None or name.startswith("_"):
            return getattr(self._target, name)
        rule = getattr(self, f"_may_{name}", None)
        if rule is None:
            raise ForbiddenError(f"a key that is limited to collections cannot use this ({name}); use one that is not")

        def do(*args: Any, **options: Any) -> Any:
            return getattr(self._target, name)(*args, **options)

        return partial(rule, do)

    def _check(self, collection: str | None) -> None:
        check_collection(collection or self._default)


class ScopedEngine(_Scoped):
    """An ``EnginePort`` that knows who asks.

    Args:
        target: The engine.
        default: The collection that is meant where none is named.
        rates: Counts the queries of a batch one by one.
    """

    def __init__(self, target: Any, default: str, rates: RateLimit) -> None:
        super().__init__(target, default)
        self._rates = rates

    def search(self, request: SearchRequest) -> Answer:
        """Answer one query, and leave a note of it for the audit log."""
        self._count(request)
        answer: Answer = self._target.search(request)
        self._note(request, answer, len(answer.hits))
        return answer

    def search_ids(self, request: SearchRequest) -> IdsAnswer:
        """Answer one query with ids alone, and leave a note of it for the audit log."""
        self._count(request)
        answer: IdsAnswer = self._target.search_ids(request)
        self._note(request, answer, len(answer.frame_ids))
        return answer

    def look_up(self, request: FramesRequest) -> Frames:
        """Look frames up, and leave a note of it for the audit log; another collection's are missing."""
        self._check(request.collection)
        found: Frames = self._target.look_up(request)
        note = {"kind": "ids", "collection": request.collection or self._default, "hits": len(found.frames)}
        current_visit().notes.setdefault("searches", []).append(note)
        return found

    def _count(self, request: SearchRequest) -> None:
        visit = current_visit()
        visit.queries += 1
        if visit.queries > 1:  # the first is counted as the request itself
            self._rates.take(visit.caller.id)
        self._check(request.collection)

    def _note(self, request: SearchRequest, answer: Answer | IdsAnswer, hits: int) -> None:
        kinds = (name for name in ("image", "url", "frame", "code") if getattr(request.query, name) is not None)
        kind = next(kinds, "concepts")
        note = {"kind": kind, "code": answer.code, "collection": request.collection or self._default}
        note |= {"url": request.query.url} if request.query.url else {}
        current_visit().notes.setdefault("searches", []).append({**note, "hits": hits})

    def search_clip(self, path: Any, options: Any) -> Any:
        """Find a clip, and leave a note of it for the audit log."""
        self._check(options.collection)
        answer = self._target.search_clip(path, options)
        note = {"kind": "clip", "collection": options.collection or self._default}
        current_visit().notes.setdefault("searches", []).append({**note, "hits": len(answer.stretches)})
        return answer

    def _check_video(self, video_id: int) -> None:
        collection = self._target.collection_of(video_id)
        if not current_visit().caller.may_touch(collection):
            raise NotFoundError(f"there is no video {video_id}")  # as if it were not there: numbers tell how many are

    def _may_videos(self, do: Rule, **options: Any) -> Videos:
        self._check(options.get("collection"))
        found: Videos = do(**options)
        return found

    def _of_video(self, do: Rule, video_id: int, *args: Any, **options: Any) -> Any:
        self._check_video(video_id)
        return do(video_id, *args, **options)

    _may_video = _may_set_tags = _may_delete_video = _may_source_path = _of_video

    def _may_thumbnail(self, do: Rule, frame_id: int, *args: Any, **options: Any) -> Any:
        self._check_video(frame_id >> 32)
        return do(frame_id, *args, **options)

    _may_mask = _may_frame_png = _may_thumbnail

    def _may_fetched(self, do: Rule, query: Any) -> Any:
        return do(query)

    def _may_suppress(self, do: Rule, request: Any) -> Any:
        self._check(request.collection)
        if request.query.frame is not None:  # its picture is taken from the video, of whichever collection
            self._check_video(int(request.query.frame) >> 32)
        return do(request)

    def _may_suppressions(self, do: Rule, collection: str | None = None) -> Any:
        self._check(collection)
        return do(collection)

    def _may_unsuppress(self, do: Rule, suppression_id: str, collection: str | None = None) -> Any:
        self._check(collection)
        return do(suppression_id, collection)

    def _may_add_watch(self, do: Rule, request: Any) -> Any:
        self._check(request.collection)
        for query in request.queries:
            if query.frame is not None:
                self._check_video(int(query.frame) >> 32)
        return do(request)

    _may_watches = _may_suppressions

    def _of_watch(self, do: Rule, watch_id: str, *args: Any, **options: Any) -> Any:
        if not current_visit().caller.may_touch(self._target.collection_of_watch(watch_id)):
            raise NotFoundError(f"there is no watch {watch_id!r}")
        return do(watch_id, *args, **options)

    _may_watch = _may_change_watch = _may_remove_watch = _may_watch_picture = _may_watch_hits = _of_watch
    _may_rotate_secret = _of_watch
    _may_mark_watch_hits = _may_test_watch = _may_watch_deliveries = _may_retry_watch_delivery = _of_watch

    def _may_collections(self, do: Rule) -> Collections:
        caller = current_visit().caller
        return Collections(collections=[one for one in do().collections if caller.may_touch(one.name)])

    def _of_collection(self, do: Rule, name: str, *args: Any, **options: Any) -> Any:
        self._check(name)
        return do(name, *args, **options)

    _may_collection = _may_create_collection = _may_create_generation = _may_cut_over = _of_collection
    _may_roll_back = _may_drop_generation = _may_drop_collection = _of_collection

    def _of_index(self, do: Rule, collection: str | None = None) -> Any:
        self._check(collection)
        return do(collection)

    _may_index_status = _may_index_verify = _may_index_compact = _of_index
    _may_index_rebuild = _may_index_snapshot = _of_index

    def _may_index_export(self, do: Rule, path: Any, format_: str, collection: str | None = None) -> Any:
        self._check(collection)
        return do(path, format_, collection)

    def _may_index_import(self, do: Rule, path: Any, collection: str | None = None) -> Any:
        self._check(collection)
        return do(path, collection)

    def _may_health(self, do: Rule) -> Any:
        return do()


class ScopedQueue(_Scoped):
    """A ``QueuePort`` that knows who asks; arguments as of ``ScopedEngine``."""

    def __init__(self, target: Any, default: str, engine: ScopedEngine) -> None:
        super().__init__(target, default)
        self._engine = engine

    @property
    def evaluations(self) -> _ScopedEvaluations:
        """Return what evaluations go through."""
        return _ScopedEvaluations(self._target.evaluations, self._default)

    def _check_job(self, job_id: str) -> None:
        if not current_visit().caller.may_touch(self._target.job(job_id).collection):
            raise NotFoundError(f"there is no job {job_id!r}")

    def _may_enqueue(self, do: Rule, request: Any) -> Any:
        self._check(request.collection)
        return do(request)

    def _may_jobs(self, do: Rule, limit: int = 50, state: Any = None) -> Any:
        return _newest(lambda count: do(count, state), limit)

    def _of_job(self, do: Rule, job_id: str, **options: Any) -> Any:
        self._check_job(job_id)
        return do(job_id, **options)

    _may_job = _may_job_videos = _may_cancel = _may_retry = _may_delete = _of_job

    def relocate(self, request: Any) -> Any:
        """Relocate sources, and leave a note of it for the audit log."""
        visit = current_visit()
        if visit.caller.collections is not None:
            self._check(request.collection)
            if request.video is not None:
                self._engine._check_video(request.video)
        done = self._target.relocate(request)
        moved = [one.video for one in done.relocations if one.moved]
        note = {"old": request.old, "video": request.video, "new": request.new, "check": request.check}
        counts = {"moved": len(moved), "refused": len(done.relocations) - len(moved), "videos": moved[:200]}
        visit.notes["relocation"] = {**note, "dry_run": request.dry_run, **counts}
        return done

    def _may_reencode(self, do: Rule, collection: str, generation: str) -> Any:
        self._check(collection)
        return do(collection, generation)

    def _may_failures(
        self,
        do: Rule,
        *,
        job: str | None = None,
        video: int | None = None,
        collection: str | None = None,
        **page: Any,
    ) -> Failures:
        if job is not None:
            self._check_job(job)
        if video is not None:
            self._engine._check_video(video)
        if job is None and video is None:
            self._check(collection)
        found: Failures = do(job=job, video=video, collection=collection, **page)
        return found


class _ScopedEvaluations(_Scoped):
    def _check_evaluation(self, evaluation: str) -> None:
        if not current_visit().caller.may_touch(self._target.get(evaluation).collection):
            raise NotFoundError(f"there is no evaluation {evaluation!r}")

    def _may_create(self, do: Rule, request: Any) -> Any:
        self._check(request.collection)
        if request.against is not None:
            self._check_evaluation(request.against)
        return do(request)

    def _may_newest(self, do: Rule, limit: int = 50) -> Any:
        return _newest(do, limit)

    def _of_evaluation(self, do: Rule, evaluation: str, *args: Any) -> Any:
        self._check_evaluation(evaluation)
        return do(evaluation, *args)

    _may_get = _may_cancel = _may_report = _of_evaluation


def _newest(list_: Callable[[int], list[Any]], limit: int) -> list[Any]:
    """Return the newest that the caller may see of what ``list_`` gives by number, newest first."""
    caller, count = current_visit().caller, 1000
    while True:
        found = list_(count)
        mine = [one for one in found if caller.may_touch(one.collection)]
        if len(mine) >= limit or len(found) < count:
            return mine[:limit]
        count *= 4
