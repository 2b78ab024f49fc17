"""The truth in Redis: generations, videos, chunk values. Every change is one atomic step."""

from __future__ import annotations

import json
import re
import secrets
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from contextlib import suppress
from typing import Any, cast

import redis
from redis.backoff import ExponentialBackoff
from redis.retry import Retry

from hashreel.errors import ConflictError, FingerprintMismatchError, LogCorruptError, NotFoundError, UnavailableError
from hashreel.traces import span
from indexer import scripts
from indexer.chunks import Chunk, decode_chunk, encode_chunk, value_sha
from indexer.keys import Keys
from indexer.records import Generation, NewVideo, VideoRecord, log_order
from indexer.watch_table import MAX_HITS, NO_WATCHES, WatchTable, read_table

__all__ = ["FORMAT", "Store", "check_fingerprint", "checked_chunk", "connect", "printable"]

FORMAT = "1"
REGISTER_SLICE = 500
MAX_REASON = 1000
_SURROGATES = re.compile("[\ud800-\udfff]")


def connect(url: str, *, timeout_s: float = 10.0, repeats: int = 0) -> redis.Redis:
    """Return a client for the data's Redis; nothing is sent yet.

    Args:
        url: ``redis://``, ``rediss://`` or ``unix://``.
        timeout_s: Patience with one request.
        repeats: How often a request is sent again whose connection broke. It may have been carried out before, so this
            is for callers all of whose requests may be carried out twice.
    """
    client: redis.Redis = redis.Redis.from_url(
        url,
        socket_timeout=timeout_s,
        socket_connect_timeout=timeout_s,
        health_check_interval=30,
        retry=Retry(ExponentialBackoff(cap=0.5, base=0.02), repeats, supported_errors=(redis.ConnectionError,)),
    )
    return client


class Store:
    """Reads and changes the stored state.

    Args:
        client: Connection to the data's Redis.
        keys: Key names.
    """

    def __init__(self, client: redis.Redis, keys: Keys | None = None) -> None:
        self.redis = client
        self.keys = keys or Keys()
        self._plan = client.register_script(scripts.PLAN_VIDEO)
        self._commit = client.register_script(scripts.COMMIT_CHUNK)
        # By the model's fingerprint, the watches that were compared with last; a token is good for one generation.
        self._tables: dict[str, WatchTable] = {}
        self._fail = client.register_script(scripts.CLOSE_FAILED)
        self._cancel = client.register_script(scripts.CLOSE_CANCELLED)
        self._delete = client.register_script(scripts.DELETE_VIDEO)
        self._tags = client.register_script(scripts.SET_TAGS)
        self._relocate = client.register_script(scripts.RELOCATE_VIDEO)
        self._supersede = client.register_script(scripts.SUPERSEDE_VIDEO)

    def _head(self, video: int) -> list[Any]:
        return [self.keys.prefix, f"{time.time():.6f}", video]

    def check_server(self) -> None:
        """Make sure that this Redis may hold the data.

        Raises:
            UnavailableError: If it does not answer, or may evict keys.
            ConflictError: If it holds data of another format version.
        """
        try:
            policy: dict[Any, Any] = self.redis.config_get("maxmemory-policy")
            stored = self.redis.set(self.keys.format, FORMAT, nx=True, get=True)
        except redis.ResponseError:
            # Managed servers forbid CONFIG; their documentation says which policy they run.
            policy, stored = {}, self.redis.set(self.keys.format, FORMAT, nx=True, get=True)
        except redis.RedisError as exc:
            raise UnavailableError(f"Redis does not answer: {exc}") from exc
        eviction = _text(next(iter(policy.values()), "noeviction"))
        if eviction != "noeviction":
            raise UnavailableError(
                f"Redis runs maxmemory-policy {eviction}; it could drop data. Set `maxmemory-policy noeviction`"
            )
        if stored is not None and _text(stored) != FORMAT:
            raise ConflictError(
                f"the stored data has format {_text(stored)}; this version reads format {FORMAT}. Use the version "
                "that made it, or another database"
            )

    def server_run(self) -> str:
        """Return what tells one life of the server from the next; empty where the server does not tell."""
        try:
            return str(self.redis.info("server").get("run_id", ""))
        except redis.ResponseError:
            return ""

    def has_append_only_file(self) -> bool:
        """Return whether the server writes an append-only file, as far as it tells."""
        try:
            info = self.redis.info("persistence")
        except redis.ResponseError:
            return False
        return bool(info.get("aof_enabled", 0))

    # Collections and generations

    def ensure_collection(
        self, name: str, *, model: str, fingerprint: str, bits: int, concepts: Sequence[str] = ()
    ) -> Generation:
        """Return the generation of a collection; make both if there is no such collection.

        Raises:
            FingerprintMismatchError: If the collection was made by another model.
        """
        if self.redis.hget(self.keys.collections, name) is None:
            fresh = self.create_generation(name, model=model, fingerprint=fingerprint, bits=bits, concepts=concepts)
            if not self.redis.hsetnx(self.keys.collections, name, fresh.id):
                # Another process was faster; what is left of this attempt is an empty record.
                self.redis.zrem(self.keys.generations(name), fresh.id)
                self.redis.delete(*self.keys.of_generation(fresh.id))
        generation = self.collection(name)
        check_fingerprint(generation, model, fingerprint)
        return generation

    def create_generation(
        self, collection: str, *, model: str, fingerprint: str, bits: int, concepts: Sequence[str] = ()
    ) -> Generation:
        """Return a new, empty generation of a collection; the collection does not point at it yet."""
        number = str(self.redis.incr(self.keys.next_generation))
        epoch = secrets.token_hex(20)
        facts: dict[Any, Any] = {
            "model": model,
            "fingerprint": fingerprint,
            "bits": bits,
            "collection": collection,
            "concepts": json.dumps(list(concepts)),
            "created_at": f"{time.time():.3f}",
        }
        with self.redis.pipeline(transaction=True) as pipe:
            pipe.hset(self.keys.generation(number), mapping=facts)
            pipe.hset(self.keys.head(number), mapping={"epoch": epoch, "hash": epoch, "id": "0-0"})
            pipe.zadd(self.keys.generations(collection), {number: int(number)})
            pipe.execute()
        return self.generation(number)

    def collection(self, name: str) -> Generation:
        """Return the generation that a collection points at; NotFoundError if there is no such collection."""
        number = self.redis.hget(self.keys.collections, name)
        if number is None:
            raise NotFoundError(
                f"there is no collection {name!r}; enqueue something into it, or see `hashreel collections`"
            )
        return self.generation(bytes(number).decode())  # type: ignore[arg-type]

    def collections(self) -> dict[str, Generation]:
        """Return all collections and the generations they point at, by name."""
        raw = cast("dict[bytes, bytes]", self.redis.hgetall(self.keys.collections))
        return {name.decode(): self.generation(number.decode()) for name, number in sorted(raw.items())}

    def generation(self, number: str) -> Generation:
        """Return a generation; NotFoundError if there is none of that number."""
        raw = cast("dict[bytes, bytes]", self.redis.hgetall(self.keys.generation(number)))
        if not raw:
            raise NotFoundError(f"there is no generation {number}")
        return Generation(
            id=number,
            collection=raw[b"collection"].decode(),
            model=raw[b"model"].decode(),
            fingerprint=raw[b"fingerprint"].decode(),
            bits=int(raw[b"bits"]),
            concepts=tuple(json.loads(raw.get(b"concepts", b"[]"))),
        )

    # Videos

    def register(
        self,
        generation: str,
        job: str,
        videos: Sequence[NewVideo],
        *,
        first_unit: Callable[[int], str] | None = None,
        also: Callable[[Any, Sequence[str]], None] | None = None,
    ) -> list[int]:
        """Give each source a number and a record, counted in the job's tally; return the numbers in order.

        Sources whose failure is known already are registered as failed, so that nothing is skipped in silence.

        Args:
            generation: Where they go.
            job: Id of the job that they belong to; empty for none.
            videos: The sources.
            first_unit: Names the first unit of a video's work. It is recorded as queued in the same step as the
                video, so that no video can be left without work by a crash in between.
            also: Called with the transaction and the names of the first units, to add commands to it.
        """
        if not videos:
            return []
        last = self.redis.incrby(self.keys.next_video, len(videos))
        numbers = list(range(last - len(videos) + 1, last + 1))
        pairs = list(zip(numbers, videos, strict=True))
        for start in range(0, len(pairs), REGISTER_SLICE):
            with self.redis.pipeline(transaction=True) as pipe:
                self._register_slice(pipe, generation, job, pairs[start : start + REGISTER_SLICE], first_unit, also)
                pipe.execute()
        return numbers

    def add_whole(
        self,
        generation: Generation,
        new: NewVideo,
        fields: Mapping[str, str | int | bytes],
        chunks: Sequence[Chunk],
        *,
        warnings: Sequence[Mapping[str, Any]] = (),
    ) -> int:
        """Add a video with all its chunks in one step, so that it is there whole or not at all; return its number.

        Args:
            generation: Where it goes.
            new: The source.
            fields: What ``plan`` stores; ``chunks`` and ``bounds`` among them.
            chunks: All that it has, at least one.
            warnings: {stage, reason, at_ms} of what was wrong in the source.
        """
        number = int(self.redis.incr(self.keys.next_video))
        with self.redis.pipeline(transaction=True) as pipe:
            while True:
                with suppress(redis.WatchError):
                    # The watches that its codes are compared with stand in the generation's record.
                    pipe.watch(self.keys.generation(generation.id))  # type: ignore[no-untyped-call]
                    if pipe.exists(self.keys.video(number)):
                        return number  # the reply to the transaction was lost
                    table = read_table(self.redis, self.keys, generation.id, generation.bits)
                    pipe.multi()
                    self._register_slice(pipe, generation.id, "", [(number, new)], None)
                    self._plan(args=[*self._head(number), *_flat(fields)], client=pipe)
                    for place, chunk in enumerate(chunks):
                        args = _commit_args(place, chunk, [] if place else warnings)
                        matched = _matched_args(table, number, place, chunk)
                        self._commit(args=[*self._head(number), *args, *matched, ""], client=pipe)
                    pipe.execute()
                    return number

    def _register_slice(
        self,
        pipe: Any,
        generation: str,
        job: str,
        pairs: Sequence[tuple[int, NewVideo]],
        first_unit: Callable[[int], str] | None,
        also: Callable[[Any, Sequence[str]], None] | None = None,
        *,
        is_listed: bool = True,
    ) -> None:
        now = time.time()
        for number, new in pairs:
            pipe.hset(self.keys.video(number), mapping=_new_record(generation, job, new, now))
            if new.failure:
                pipe.zadd(self.keys.failed(generation), {str(number): now})
                if new.place:
                    pipe.zadd(self.keys.misses(generation), {f"{new.place}:{number}": 0})
        failed = sum(1 for _, new in pairs if new.failure)
        pipe.zadd(self.keys.videos(generation), {str(number): number for number, _ in pairs})
        if job:
            if is_listed:
                pipe.rpush(self.keys.job_videos(job), *[number for number, _ in pairs])
            pipe.hincrby(self.keys.job(job), "total", len(pairs))
            pipe.hincrby(self.keys.job(job), "n_queued", len(pairs) - failed)
            pipe.hincrby(self.keys.job(job), "n_failed", failed)
            if len(pairs) > failed:
                pipe.hdel(self.keys.job(job), "finished_at")
        if first_unit is not None and len(pairs) > failed:
            units = {first_unit(number): now for number, new in pairs if not new.failure}
            pipe.zadd(self.keys.units_queued, units)
            if also is not None:
                also(pipe, list(units))

    def retry(
        self,
        record: VideoRecord,
        new: NewVideo,
        *,
        first_unit: Callable[[int], str] | None = None,
        also: Callable[[Any, Sequence[str]], None] | None = None,
    ) -> int | None:
        """Replace a failed video by a fresh attempt in the same job; return its number, None if it is not failed."""
        number = self.redis.incr(self.keys.next_video)
        with self.redis.pipeline(transaction=True) as pipe:
            while True:
                with suppress(redis.WatchError):
                    # Watched, so that of two who retry the same video only one registers an attempt.
                    pipe.watch(self.keys.video(record.id))  # type: ignore[no-untyped-call]
                    if _text(pipe.hget(self.keys.video(record.id), "state")) != "failed":
                        # The reply to our own attempt may have been lost.
                        return number if pipe.exists(self.keys.video(number)) else None
                    pipe.multi()
                    self._supersede(args=[*self._head(record.id), number], client=pipe)
                    attempt = [(number, new)]
                    self._register_slice(
                        pipe, record.generation, record.job, attempt, first_unit, also, is_listed=False
                    )
                    pipe.execute()
                    return number

    def video(self, video: int) -> VideoRecord:
        """Return a video's record; NotFoundError if there is none, or it is deleted."""
        record = self.find_video(video)
        if record is None or record.state == "deleted":
            raise NotFoundError(f"there is no video {video}")
        return record

    def find_video(self, video: int) -> VideoRecord | None:
        """Return a video's record even if it is deleted; None if there is none."""
        return self.find_videos([video])[0]

    def find_videos(self, videos: Iterable[int]) -> list[VideoRecord | None]:
        """Return the records of several videos in one round trip."""
        wanted = list(videos)
        with self.redis.pipeline(transaction=False) as pipe:
            for video in wanted:
                pipe.hgetall(self.keys.video(video))
            raws = pipe.execute()
        return [VideoRecord.from_redis(v, raw) if raw else None for v, raw in zip(wanted, raws, strict=True)]

    def video_numbers(self, generation: str) -> list[int]:
        """Return the numbers of all videos that are not deleted, ascending."""
        members = cast("list[bytes]", self.redis.zrange(self.keys.videos(generation), 0, -1))
        return [int(member) for member in members]

    def video_page(self, generation: str, limit: int, before: int | None) -> list[VideoRecord]:
        """Return up to ``limit`` records, newest first, below number ``before``."""
        below = f"({before}" if before is not None else "+inf"
        key = self.keys.videos(generation)
        members = cast("list[bytes]", self.redis.zrevrangebyscore(key, below, "-inf", start=0, num=limit))
        return [record for record in self.find_videos(int(m) for m in members) if record is not None]

    def count_videos(self, generation: str) -> int:
        """Return how many videos are not deleted."""
        return self.redis.zcard(self.keys.videos(generation))

    def failed_page(self, generation: str, limit: int, offset: int) -> tuple[list[tuple[VideoRecord, float]], int]:
        """Return videos with something to report and when, newest first, and how many there are in all."""
        key = self.keys.failed(generation)
        raw = cast("list[tuple[bytes, float]]", self.redis.zrevrange(key, offset, offset + limit - 1, withscores=True))
        records = self.find_videos(int(member) for member, _ in raw)
        pairs = [(record, at) for record, (_, at) in zip(records, raw, strict=True) if record is not None]
        return pairs, self.redis.zcard(key)

    def find_content(self, generation: str, content: str) -> int | None:
        """Return the indexed video with this content and policy, if there is one."""
        found = self.redis.hget(self.keys.contents(generation), content)
        return int(found) if found is not None else None

    def find_contents(self, generation: str, contents: Sequence[str]) -> list[int | None]:
        """Return the indexed video of each content and policy, None where there is none, in one round trip."""
        if not contents:
            return []
        found = cast("list[bytes | None]", self.redis.hmget(self.keys.contents(generation), list(contents)))
        return [int(number) if number is not None else None for number in found]

    # Changes

    def plan(self, video: int, fields: Mapping[str, str | int | bytes]) -> str:
        """Store what probing found out and the chunk borders.

        Args:
            video: Video number.
            fields: Fields of the record. ``identity`` tells the same content with the same policy; ``members`` are the
                names of the files inside, packed, and are kept apart.

        Returns:
            "ok", "planned" (already), "gone", or "same": another video has the same identity, so this one ends as
            skipped.
        """
        return _text(self._plan(args=[*self._head(video), *_flat(fields)]))

    def commit(
        self,
        video: int,
        chunk_number: int,
        chunk: Chunk,
        *,
        warnings: Sequence[Mapping[str, Any]] = (),
        seconds: tuple[float, float, float] = (0.0, 0.0, 0.0),
        found: Mapping[str, int] | None = None,
        runtime: str = "",
    ) -> str:
        """Commit a chunk: value, metadata, tally and log entry in one step. The first commit wins.

        Args:
            video: Video number.
            chunk_number: Which chunk of it.
            chunk: Times and codes; may be empty.
            warnings: {stage, reason, at_ms} of what was wrong in the source.
            seconds: Time spent on decoding, on the network and on the rest.
            found: How many of its key-frames were black, blank, frozen or near-duplicates, dropped or not.
            runtime: What computed the codes, on which device and in which batch shape; counted in key-frames.

        Returns:
            The log id, "exists" if the chunk was committed before, "gone" if the video is cancelled or deleted.

        Raises:
            FingerprintMismatchError: If the chunk is of another model than the video's generation.
            ConflictError: If the video has no such chunk by its plan.
        """
        args = _commit_args(chunk_number, chunk, warnings, seconds, found)
        facts = {"hashreel.video": video, "hashreel.chunk": chunk_number, "hashreel.frames": len(chunk)}
        with span("commit", attributes=facts):
            reply = self._commit_watched(video, chunk_number, chunk, args, runtime)
        if reply == "model":
            record = self.video(video)
            check_fingerprint(self.generation(record.generation), "that of the chunk", chunk.fingerprint)
        if reply == "unplanned":
            raise ConflictError(f"video {video} has no chunk {chunk_number} by its plan; plan it first")
        return reply

    def _commit_watched(self, video: int, number: int, chunk: Chunk, args: list[Any], runtime: str) -> str:
        """Commit a chunk with what the watches of its generation match in it."""
        while True:
            table = self._tables.get(chunk.fingerprint, NO_WATCHES)
            matched = _matched_args(table, video, number, chunk)
            reply = _text(self._commit(args=[*self._head(video), *args, *matched, runtime]))
            if reply != "watches":
                return reply
            record = self.find_video(video)
            if record is None:
                return "gone"
            self._tables[chunk.fingerprint] = read_table(self.redis, self.keys, record.generation, chunk.bits)

    def fail(self, video: int, stage: str, reason: str, *, retryable: bool) -> str:
        """End a video as failed (as indexed in part, if it has frames); "ok" or "gone"."""
        return _text(self._fail(args=[*self._head(video), stage, _reason(reason), int(retryable)]))

    def cancel(self, video: int, *, keep_partial: bool = False) -> str:
        """End a video that is not finished; "ok", "kept" or "gone"."""
        return _text(self._cancel(args=[*self._head(video), int(keep_partial)]))

    def cancel_many(self, videos: Iterable[int], *, keep_partial: bool = False) -> None:
        """End those videos of several that are not finished, each in one step, in one round trip."""
        with self.redis.pipeline(transaction=False) as pipe:
            for video in videos:
                self._cancel(args=[*self._head(video), int(keep_partial)], client=pipe)
            pipe.execute()

    def delete(self, video: int) -> str:
        """Delete a video by a log entry; return its log id, or "gone"."""
        return _text(self._delete(args=self._head(video)))

    def set_tags(self, video: int, tags: Mapping[str, str]) -> str:
        """Set some of a video's tags, an empty value removes one; return the log id, or "gone"."""
        return _text(self._tags(args=[*self._head(video), json.dumps(dict(tags))]))

    def relocate(
        self, record: VideoRecord, *, source: str, path: str, modified_ns: int, content: str, place: str
    ) -> str:
        """Give a video's source another name and path; return the log id, "gone", "moved" or "taken".

        Args:
            record: The video as it was when the new source was compared with it.
            source: The new name.
            path: The new path.
            modified_ns: Time of change of the file there.
            content: What tells that the same source was indexed already.
            place: What tells that another one is of the same name and policy.
        """
        args: list[Any] = [record.source, printable(source), printable(path), modified_ns, content, place]
        return _text(self._relocate(args=[*self._head(record.id), *args]))

    def purge_now(self, video: int) -> None:
        """Remove the values of a deleted video at once, also from the append-only file.

        Raises:
            ConflictError: If it is not deleted.
        """
        record = self.find_video(video)
        if record is not None and record.state != "deleted":
            raise ConflictError(f"video {video} is {record.state}; only a deleted one can be purged")
        with self.redis.pipeline(transaction=True) as pipe:
            pipe.delete(*self.keys.of_video(video))
            pipe.zrem(self.keys.gone, str(video))
            pipe.execute()
        with suppress(redis.ResponseError):
            # Refused where no file is written, or while one is being rewritten (which then leaves them out too).
            self.redis.bgrewriteaof()

    def purge(self, grace_s: float, *, limit: int = 1000, also: Callable[[int], None] = lambda video: None) -> int:
        """Remove the values of videos that ended longer than ``grace_s`` ago; return how many.

        Args:
            grace_s: So long they stay.
            limit: At most so many go.
            also: Called with the number of each, to remove what lies elsewhere.
        """
        oldest = cast(
            "list[bytes]",
            self.redis.zrangebyscore(self.keys.gone, "-inf", time.time() - grace_s, start=0, num=limit),
        )
        records = self.find_videos(int(member) for member in oldest)
        for member in oldest:
            also(int(member))
        with self.redis.pipeline(transaction=True) as pipe:
            for member, record in zip(oldest, records, strict=True):
                of_video = (self.keys.chunks, self.keys.shas, self.keys.members, self.keys.copies)
                pipe.delete(*[part(int(member)) for part in of_video])
                if record is None or record.state == "deleted":
                    pipe.delete(self.keys.video(int(member)))
                pipe.zrem(self.keys.gone, member)
            pipe.execute()
        return len(oldest)

    def trim_log(self, generation: str, max_entries: int, keep_s: float = 0.0) -> int:
        """Drop the oldest log entries; readers that were behind rebuild. Return how many went.

        Args:
            generation: Whose log.
            max_entries: Those beyond about so many go.
            keep_s: Those older than about this go; 0 keeps any age. The last entry stays, for readers stand on it.
        """
        key = self.keys.log(generation)
        dropped = self.redis.xtrim(key, maxlen=max_entries, approximate=True)
        if keep_s:
            last = _text(self.redis.hget(self.keys.head(generation), "id") or b"0-0")
            oldest = min(log_order(last), (int(1000 * (time.time() - keep_s)), 0))
            dropped += self.redis.xtrim(key, minid=f"{oldest[0]}-{oldest[1]}", approximate=True)
        return dropped

    def forget_jobs(self, keep_s: float) -> int:
        """Drop the records of jobs that ended longer than ``keep_s`` ago; return how many."""
        old = cast("list[bytes]", self.redis.zrangebyscore(self.keys.jobs, "-inf", time.time() - keep_s))
        forgotten = 0
        for name in (raw.decode() for raw in old):
            finished = cast("bytes | None", self.redis.hget(self.keys.job(name), "finished_at"))
            if finished is None or float(finished) > time.time() - keep_s:
                continue
            with self.redis.pipeline(transaction=True) as pipe:
                pipe.delete(self.keys.job(name), self.keys.job_videos(name))
                pipe.zrem(self.keys.jobs, name)
                pipe.execute()
            forgotten += 1
        return forgotten

    # Chunk values

    def chunk_values(self, videos: Sequence[int]) -> list[dict[int, bytes]]:
        """Return the stored values of several videos, chunk number to value, in one round trip."""
        with self.redis.pipeline(transaction=False) as pipe:
            for video in videos:
                pipe.hgetall(self.keys.chunks(video))
            raws = pipe.execute()
        return [{int(number): value for number, value in raw.items()} for raw in raws]

    def chunk_shas(self, videos: Sequence[int]) -> list[dict[int, str]]:
        """Return what was committed of several videos, chunk number to SHA-256 of its value, in one round trip."""
        with self.redis.pipeline(transaction=False) as pipe:
            for video in videos:
                pipe.hgetall(self.keys.shas(video))
            raws = pipe.execute()
        return [{int(number): sha.decode() for number, sha in raw.items()} for raw in raws]

    def values_of(self, pairs: Sequence[tuple[int, int]]) -> list[bytes | None]:
        """Return the stored values of (video, chunk) pairs in one round trip; None where there is none."""
        with self.redis.pipeline(transaction=False) as pipe:
            for video, chunk in pairs:
                pipe.hget(self.keys.chunks(video), str(chunk))
            return pipe.execute()

    def chunk_numbers(self, video: int) -> set[int]:
        """Return the numbers of a video's committed chunks."""
        return {int(number) for number in cast("list[bytes]", self.redis.hkeys(self.keys.chunks(video)))}

    def has_chunk(self, video: int, chunk: int) -> bool:
        """Return whether a chunk is committed."""
        return bool(self.redis.hexists(self.keys.chunks(video), str(chunk)))


def checked_chunk(value: bytes, generation: Generation) -> Chunk:
    """Return the chunk of a stored value, refused if another model made it."""
    chunk = decode_chunk(value)
    if chunk.fingerprint != generation.fingerprint or chunk.bits != generation.bits:
        raise LogCorruptError(
            f"a chunk carries the fingerprint {chunk.fingerprint[:12]} ({chunk.bits} bits); "
            f"generation {generation.id} is {generation.fingerprint[:12]} ({generation.bits} bits)"
        )
    return chunk


def check_fingerprint(generation: Generation, model: str, fingerprint: str) -> None:
    """Raise FingerprintMismatchError unless the model is the one that made the generation."""
    if generation.fingerprint != fingerprint:
        raise FingerprintMismatchError(
            f"collection {generation.collection!r} holds codes of model {generation.model} "
            f"({generation.fingerprint[:12]}); the loaded model is {model} ({fingerprint[:12]}). "
            "Load that model, or use another collection"
        )


def _new_record(generation: str, job: str, new: NewVideo, now: float) -> dict[str, str | int | float]:
    record: dict[str, str | int | float] = {
        "generation": generation,
        "job": job,
        "source": printable(new.source),
        "path": printable(new.path),
        "kind": new.kind,
        "state": "failed" if new.failure else "queued",
        "policy": json.dumps(dict(new.policy)),
        "tags": json.dumps(dict(new.tags)),
        "added_at": f"{now:.3f}",
        "size": new.size,
        "modified_ns": new.modified_ns,
        "frames": 0,
        "chunks": 0,
        "done": 0,
        "content": new.content,
        "place": new.place,
    }
    if new.failure:
        record |= {"stage": new.failure[0], "reason": _reason(new.failure[1]), "retryable": 1}
    if new.again:
        record["again"] = 1
    if new.replaces is not None:
        record["replaces"] = new.replaces
    return record


def printable(text: str) -> str:
    """Return text that UTF-8 and JSON can carry: bytes of a file name that are not UTF-8 become U+FFFD."""
    return _SURROGATES.sub("\ufffd", text)


def _flat(fields: Mapping[str, str | int | bytes]) -> list[str | int | bytes]:
    return [part for pair in fields.items() for part in pair]


def _commit_args(
    number: int,
    chunk: Chunk,
    warnings: Sequence[Mapping[str, Any]],
    seconds: tuple[float, float, float] = (0.0, 0.0, 0.0),
    found: Mapping[str, int] | None = None,
) -> list[Any]:
    """Return what the commit script takes of a chunk, but for what the watches match in it."""
    value = encode_chunk(chunk)
    notes = json.dumps([_note(warning) for warning in warnings])
    about = [notes, *seconds, chunk.fingerprint, json.dumps(dict(found or {}))]
    return [number, value, value_sha(value), len(chunk), *about]


def _matched_args(table: WatchTable, video: int, number: int, chunk: Chunk) -> list[Any]:
    """Return what the commit script takes of the watches: their state, what they match, how many hits are kept."""
    matched = [match.to_message(video, number) for match in table.match(chunk)]
    return [table.token, json.dumps(matched), MAX_HITS]


def _reason(text: str) -> str:
    return printable(text if len(text) <= MAX_REASON else text[: MAX_REASON - 1] + "…")


def _note(warning: Mapping[str, Any]) -> dict[str, Any]:
    """Return a warning as the commit script needs it: both fields there, of bounded length."""
    stage, reason = str(warning.get("stage", "decode")), _reason(str(warning.get("reason", "")))
    return {**warning, "stage": stage, "reason": reason}


def _text(reply: Any) -> str:
    return reply.decode() if isinstance(reply, bytes) else str(reply)
