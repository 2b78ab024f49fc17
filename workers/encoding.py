"""What a worker does with a unit: plan a video, or turn one chunk of it into codes and commit them.

Plain functions of the records and the files: running a unit twice changes nothing.
"""

from __future__ import annotations

import logging
import secrets
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import AbstractContextManager, suppress
from typing import TYPE_CHECKING, Any

import redis

from encoder.damage import DecodeWarning
from encoder.hygiene import Sieve
from encoder.policies import parse_policy
from hashreel.errors import DecodeError, ForbiddenError, HashreelError, NotFoundError, UnavailableError
from indexer.job_seconds import JobSeconds
from indexer.records import VideoRecord
from indexer.store import check_fingerprint, printable
from indexer.thumbnail_store import ThumbnailStore
from workers.chunk_work import StageSeconds, empty_chunk, encode_frames, warning_note, with_thumbnails
from workers.messages import Unit
from workers.metrics import chunk_committed, unit_failed
from workers.patience import insist
from workers.reading import SourceChangedError, SourceReader
from workers.room import Room, decoder_bytes

if TYPE_CHECKING:
    from encoder.batching import Batcher
    from hashreel.settings import Settings
    from indexer.chunks import Chunk
    from indexer.store import Store
    from workers.units import Units

__all__ = ["UnitRunner"]

logger = logging.getLogger(__name__)

CHECK_S = 2.0
BACKOFF_S = 5.0
# These sources will be no better at the next try.
FINAL = (NotFoundError, ForbiddenError, FileNotFoundError, PermissionError, SourceChangedError)


class CancelledUnitError(HashreelError):
    """The video was cancelled or deleted while it was being encoded."""


class ReturnedUnitError(HashreelError):
    """The worker has to end before the unit could be finished."""


class UnitRunner:
    """Runs units with one model, one at a time; a process has one runner for each unit that it runs at a time.

    Args:
        store: The stored state.
        units: Records of the units.
        batcher: Makes the codes; the runners of a process share it.
        settings: Chunk length and limits.
        worker: Name for claims and the lease; no other runner has it.
        send: Called with units that are to be sent to the queue.
        room: Says which units may run side by side; the runners of a process share it.
    """

    def __init__(
        self,
        store: Store,
        units: Units,
        batcher: Batcher,
        settings: Settings,
        worker: str,
        send: Callable[[Sequence[Unit]], None],
        room: Room | None = None,
    ) -> None:
        self._store = store
        self._units = units
        self._batcher = batcher
        self._model = batcher.model
        self._settings = settings
        self._reader = SourceReader(settings, store)
        self._worker = worker
        self._send = send
        self._room = room or Room(settings.decode_bytes)
        self._thumbnails = ThumbnailStore(store, settings.thumbnail_store, settings.thumbnail_store_bytes)
        self._job_seconds = JobSeconds(store)
        self._must_return = threading.Event()
        self._current: Unit | None = None
        self._leasing = threading.Lock()
        self._checked_at = 0.0
        self._job = ""
        self._generations: set[str] = set()

    def run(self, unit: Unit) -> None:
        """Claim a unit and do it; nothing happens if it is done, cancelled or runs elsewhere."""
        following: Unit | None = unit
        while following is not None:
            # The first chunk follows its plan at once: a short video costs one message.
            with self._place(following) as is_free:
                following = self._run(following) if is_free else None

    def _place(self, unit: Unit) -> AbstractContextManager[bool]:
        """Wait for room before the claim: what waits is not blamed for the death of a worker."""
        was_started = insist(lambda: self._units.tries(unit)) > 0
        record = insist(lambda: self._store.find_video(unit.video))
        wanted = decoder_bytes(record.width, record.height) if record else 0
        return self._room.hold(wanted, alone=was_started)

    def _run(self, unit: Unit) -> Unit | None:
        """Do a unit under a claim; return the one that follows from it, if there is one."""
        self._hold(unit)
        attempt = secrets.token_hex(8)
        try:
            claim = insist(lambda: self._units.claim(unit, self._worker, self._settings.max_tries, attempt))
            if claim == "run":
                return self._guarded(unit)
            if claim == "poison":
                self._give_up(unit, "worker", f"its worker died or hung {self._settings.max_tries} times on it")
            return None
        finally:
            self._hold(None)

    def give_back(self) -> None:
        """Put the unit that runs back to the queue at its next key-frame; called by another thread."""
        self._must_return.set()

    def renew(self) -> None:
        """Say once more that this worker lives; called by another thread, also in the middle of a unit.

        Raises:
            redis.RedisError: If Redis does not answer.
        """
        # Not while the unit changes: an old name written last would make the new unit look abandoned.
        with self._leasing:
            self._units.lease(self._worker, self._current, self._settings.worker_lease_s)

    def _hold(self, unit: Unit | None) -> None:
        with self._leasing:
            self._current = unit
            insist(lambda: self._units.lease(self._worker, unit, self._settings.worker_lease_s))

    def end_lease(self) -> None:
        """Give the lease back; RedisError if Redis does not answer."""
        self._units.end_lease(self._worker)

    def _guarded(self, unit: Unit) -> Unit | None:
        try:
            following = self._do(unit)
        except CancelledUnitError:
            following = None
        except (ReturnedUnitError, redis.ConnectionError, redis.TimeoutError):
            # Neither being asked to end nor an outage of Redis is the unit's fault.
            insist(lambda: self._units.release(unit, worker=self._worker, is_counted=False))
            return None
        except Exception as exc:  # noqa: BLE001 - sorted by what it asks for, and recorded
            self._failed(unit, exc)
            return None
        insist(lambda: self._units.finish([unit]))
        return following

    def _failed(self, unit: Unit, exc: Exception) -> None:
        """Try a unit again later, or give it up, whichever its failure asks for."""
        if isinstance(exc, DecodeError):
            self._give_up(unit, "decode", str(exc))
        elif isinstance(exc, FINAL):
            self._give_up(unit, "source", _plain(exc))
        elif isinstance(exc, UnavailableError | OSError):
            # A network file system that is away comes back.
            self._try_later(unit, "source", _plain(exc))
        else:
            about = {"action": "unit_failed", "job": self._job, "unit": str(unit)}
            logger.error("unit failed", exc_info=exc, extra=about)
            self._try_later(unit, "encode", f"{type(exc).__name__}: {exc}")

    def _do(self, unit: Unit) -> Unit | None:
        """Do a unit; return the one that follows from it, if there is one."""
        if unit.chunk is None:
            return self._plan(unit.video)
        self._encode(unit, unit.chunk)
        return None

    def _try_later(self, unit: Unit, stage: str, reason: str) -> None:
        tries = insist(lambda: self._units.tries(unit))
        if tries >= self._settings.max_tries:
            self._give_up(unit, stage, reason)
        else:
            unit_failed(stage, is_final=False)
            insist(lambda: self._units.release(unit, worker=self._worker, delay_s=BACKOFF_S * 2 ** (tries - 1)))

    def _give_up(self, unit: Unit, stage: str, reason: str) -> None:
        """Record a failure: of the video, or of one chunk, whose place an empty chunk takes."""
        unit_failed(stage, is_final=True)
        if unit.chunk is None:
            insist(lambda: self._store.fail(unit.video, stage, reason, retryable=stage != "decode"))
        else:
            warning = {"stage": stage, "reason": printable(reason)}
            self._commit(unit, empty_chunk(self._model), [warning], StageSeconds(), time.perf_counter())
        insist(lambda: self._units.finish([unit]))

    # Planning

    def _plan(self, video: int) -> Unit | None:
        started = time.perf_counter()
        record = self._open(video)
        if not record.chunks:
            try:
                fields = self._reader.plan(record)
                insist(lambda: self._store.plan(video, fields))
            finally:
                self._spent(video, time.perf_counter() - started)
            self._reader.release(video)
            record = self._open(video)
        done = insist(lambda: self._store.chunk_numbers(video))
        todo = [Unit(video, chunk) for chunk in range(record.chunks) if chunk not in done]
        insist(lambda: self._units.queue(todo))
        self._send(todo[1:])
        return todo[0] if todo else None

    # Encoding

    def _encode(self, unit: Unit, number: int) -> None:
        started = time.perf_counter()
        video = unit.video
        record = self._open(video)
        if insist(lambda: self._store.has_chunk(video, number)):
            return
        damage: list[DecodeWarning] = []
        frames = self._reader.frames(record, number, short_side=self._model.transform.size, warnings=damage)
        sieve = Sieve(parse_policy(record.policy).drop, is_sequence=record.kind != "pictures")
        with self._thumbnails.keeping(video, number) as pictures:
            kept = with_thumbnails(sieve.keep(frames), pictures)
            chunk, seconds = encode_frames(kept, self._batcher, lambda: self._check_wanted(video))
            self._commit(unit, chunk, [warning_note(warning) for warning in damage], seconds, started, sieve.found)

    def _commit(
        self,
        unit: Unit,
        chunk: Chunk,
        warnings: Sequence[dict[str, Any]],
        stages: StageSeconds,
        started: float,
        found: Mapping[str, int] | None = None,
    ) -> None:
        assert unit.chunk is not None
        video, number = unit.video, unit.chunk
        own_s = stages.decode_s + stages.waited_s
        before_s = max(0.0, time.perf_counter() - started - own_s)
        seconds = (stages.decode_s, stages.encode_s, before_s)
        reply = insist(
            lambda: self._store.commit(
                video,
                number,
                chunk,
                warnings=warnings,
                seconds=seconds,
                found=found,
                runtime=self._model.runtime.name if len(chunk) else "",
            )
        )
        if reply not in {"exists", "gone"}:
            rest_s = max(before_s, time.perf_counter() - started - own_s)
            chunk_committed(len(chunk), stages.decode_s, stages.encode_s, rest_s)
            # What the commit itself took is known when it is over.
            self._spent(video, rest_s - before_s)
        self._reader.release(video)
        about = {"job": self._job, "video": video, "chunk": number, "frames": len(chunk), "reply": reply}
        logger.info("chunk committed", extra={"action": "commit", **about})

    def _spent(self, video: int, seconds: float) -> None:
        with suppress(redis.RedisError):  # a figure is worth no second try
            self._job_seconds.add_rest(video, seconds)

    def _open(self, video: int) -> VideoRecord:
        record = insist(lambda: self._store.find_video(video))
        if record is None or record.state not in {"queued", "encoding"}:
            raise CancelledUnitError
        self._job = record.job
        self._check_model(record.generation)
        return record

    def _check_model(self, number: str) -> None:
        """Make sure that this model's codes belong into a generation.

        Raises:
            FingerprintMismatchError: If another model made it.
            CancelledUnitError: If it was dropped.
        """
        if number in self._generations:
            return
        try:
            generation = insist(lambda: self._store.generation(number))
        except NotFoundError as exc:
            raise CancelledUnitError from exc
        check_fingerprint(generation, self._model.name, self._model.fingerprint)
        self._generations.add(number)

    def _check_wanted(self, video: int) -> None:
        """Stop within seconds of a cancellation, without asking Redis for every key-frame."""
        if self._must_return.is_set():
            raise ReturnedUnitError
        now = time.monotonic()
        if now - self._checked_at > CHECK_S:
            self._checked_at = now
            self._open(video)


def _plain(exc: Exception) -> str:
    return exc.strerror or str(exc) if isinstance(exc, OSError) else str(exc)
