"""What a worker does with a unit: plan a video, or turn one chunk of it into codes and commit them.

Plain functions of the records and the files: running a unit twice changes nothing.
"""

from __future__ import annotations

import logging
import secrets
import threading
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, TypeVar

import numpy as np
import redis

from encoder.analysis import Analysis, concept_bits
from encoder.codes import num_code_bytes
from encoder.damage import DecodeWarning
from encoder.hygiene import Sieve
from encoder.policies import parse_policy
from encoder.video import KeyFrame
from hashreel.errors import DecodeError, ForbiddenError, HashreelError, NotFoundError, UnavailableError
from indexer.areas import area_levels
from indexer.chunks import MAX_FRAMES, Chunk
from indexer.records import VideoRecord
from indexer.store import check_fingerprint, printable
from workers.messages import Unit
from workers.metrics import chunk_committed, unit_failed
from workers.reading import SourceChangedError, SourceReader

if TYPE_CHECKING:
    from encoder.model import Model
    from hashreel.settings import Settings
    from indexer.store import Store
    from workers.units import Units

__all__ = ["UnitRunner"]

logger = logging.getLogger(__name__)

BATCH = 32
CHECK_S = 2.0
BACKOFF_S = 5.0
Result = TypeVar("Result")


class CancelledUnitError(HashreelError):
    """The video was cancelled or deleted while it was being encoded."""


@dataclass
class _Clock:
    """Seconds spent on each stage of a chunk."""

    decode_s: float = 0.0
    encode_s: float = 0.0


class UnitRunner:
    """Runs units with one model.

    Args:
        store: The stored state.
        units: Records of the units.
        model: Makes the codes.
        settings: Chunk length and limits.
        worker: Name of this worker, for claims.
        send: Called with units that are to be sent to the queue.
    """

    def __init__(
        self,
        store: Store,
        units: Units,
        model: Model,
        settings: Settings,
        worker: str,
        send: Callable[[Sequence[Unit]], None],
    ) -> None:
        self._store = store
        self._units = units
        self._model = model
        self._settings = settings
        self._reader = SourceReader(settings)
        self._worker = worker
        self._send = send
        self._current: Unit | None = None
        self._leasing = threading.Lock()
        self._checked_at = 0.0
        self._job = ""
        self._generations: set[str] = set()

    def run(self, unit: Unit) -> None:
        """Claim a unit and do it; nothing happens if it is done, cancelled or runs elsewhere."""
        self._hold(unit)
        try:
            attempt = secrets.token_hex(8)
            claim = _insist(lambda: self._units.claim(unit, self._worker, self._settings.max_tries, attempt))
            if claim == "run":
                self._guarded(unit)
            elif claim == "poison":
                self._give_up(unit, "worker", f"its worker died or hung {self._settings.max_tries} times on it")
        finally:
            self._hold(None)

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
            _insist(lambda: self._units.lease(self._worker, unit, self._settings.worker_lease_s))

    def _guarded(self, unit: Unit) -> None:
        try:
            following = self._do(unit)
        except CancelledUnitError:
            following = None
        except DecodeError as exc:
            self._give_up(unit, "decode", str(exc))
            return
        except (NotFoundError, ForbiddenError, FileNotFoundError, PermissionError, SourceChangedError) as exc:
            self._give_up(unit, "source", _plain(exc))
            return
        except (UnavailableError, OSError) as exc:
            # A network file system that is away comes back.
            self._try_later(unit, "source", _plain(exc))
            return
        except Exception as exc:
            logger.exception("unit failed", extra={"action": "unit_failed", "job": self._job, "unit": str(unit)})
            self._try_later(unit, "encode", f"{type(exc).__name__}: {exc}")
            return
        _insist(lambda: self._units.finish([unit]))
        if following is not None:
            # The first chunk follows at once in the same process: a short video costs one message.
            self.run(following)

    def _do(self, unit: Unit) -> Unit | None:
        """Do a unit; return the one that follows from it, if there is one."""
        if unit.chunk is None:
            return self._plan(unit.video)
        self._encode(unit.video, unit.chunk)
        return None

    def _try_later(self, unit: Unit, stage: str, reason: str) -> None:
        tries = _insist(lambda: self._units.tries(unit))
        if tries >= self._settings.max_tries:
            self._give_up(unit, stage, reason)
        else:
            unit_failed(stage, is_final=False)
            _insist(lambda: self._units.release(unit, worker=self._worker, delay_s=BACKOFF_S * 2 ** (tries - 1)))

    def _give_up(self, unit: Unit, stage: str, reason: str) -> None:
        """Record a failure: of the video, or of one chunk, whose place an empty chunk takes."""
        unit_failed(stage, is_final=True)
        if unit.chunk is None:
            _insist(lambda: self._store.fail(unit.video, stage, reason, retryable=stage != "decode"))
        else:
            warning = {"stage": stage, "reason": printable(reason)}
            self._commit(unit.video, unit.chunk, self._chunk([], []), [warning], _Clock(), time.perf_counter())
        _insist(lambda: self._units.finish([unit]))

    # Planning

    def _plan(self, video: int) -> Unit | None:
        record = self._open(video)
        if not record.chunks:
            fields = self._reader.plan(record)
            _insist(lambda: self._store.plan(video, fields))
            record = self._open(video)
        done = _insist(lambda: self._store.chunk_numbers(video))
        todo = [Unit(video, chunk) for chunk in range(record.chunks) if chunk not in done]
        _insist(lambda: self._units.queue(todo))
        self._send(todo[1:])
        return todo[0] if todo else None

    # Encoding

    def _encode(self, video: int, number: int) -> None:
        started = time.perf_counter()
        record = self._open(video)
        if _insist(lambda: self._store.has_chunk(video, number)):
            return
        damage: list[DecodeWarning] = []
        clock = _Clock()
        times: list[int] = []
        seen: list[Analysis] = []
        size = self._model.transform.size
        frames_of_chunk = self._reader.frames(record, number, short_side=size, warnings=damage)
        sieve = Sieve(parse_policy(record.policy).drop, is_sequence=record.kind != "pictures")
        for frames in _batches(sieve.keep(frames_of_chunk), clock):
            self._check_open(video)
            begun = time.perf_counter()
            seen.append(replace(self._model.analyse([frame.image for frame in frames]), masks=None))
            clock.encode_s += time.perf_counter() - begun
            times.extend(frame.time_ms for frame in frames)
            if len(times) > MAX_FRAMES:
                raise DecodeError(f"a chunk has more than {MAX_FRAMES} key-frames; use a longer step or shorter chunks")
        warnings = [_note(warning) for warning in damage]
        self._commit(video, number, self._chunk(times, seen), warnings, clock, started, sieve.found)

    def _chunk(self, times: Sequence[int], seen: Sequence[Analysis]) -> Chunk:
        codes = [analysis.codes for analysis in seen]
        areas = [analysis.areas for analysis in seen if analysis.areas is not None]
        # An empty chunk says nothing of concepts, whatever the model.
        found = np.concatenate(areas) if areas else None
        return Chunk(
            times_ms=np.array(times, np.uint32),
            codes=np.concatenate([np.empty((0, num_code_bytes(self._model.bits)), np.uint8), *codes]),
            concepts=None if found is None else concept_bits(found),
            bits=self._model.bits,
            fingerprint=self._model.fingerprint,
            areas=None if found is None else area_levels(found),
        )

    def _commit(
        self,
        video: int,
        number: int,
        chunk: Chunk,
        warnings: Sequence[dict[str, Any]],
        clock: _Clock,
        started: float,
        found: Mapping[str, int] | None = None,
    ) -> None:
        rest = max(0.0, time.perf_counter() - started - clock.decode_s - clock.encode_s)
        seconds = (clock.decode_s, clock.encode_s, rest)
        reply = _insist(
            lambda: self._store.commit(video, number, chunk, warnings=warnings, seconds=seconds, found=found)
        )
        if reply not in {"exists", "gone"}:
            chunk_committed(len(chunk), *seconds)
        logger.info(
            "chunk committed",
            extra={
                "action": "commit",
                "job": self._job,
                "video": video,
                "chunk": number,
                "frames": len(chunk),
                "reply": reply,
            },
        )

    def _open(self, video: int) -> VideoRecord:
        record = _insist(lambda: self._store.find_video(video))
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
            generation = _insist(lambda: self._store.generation(number))
        except NotFoundError as exc:
            raise CancelledUnitError from exc
        check_fingerprint(generation, self._model.name, self._model.fingerprint)
        self._generations.add(number)

    def _check_open(self, video: int) -> None:
        """Stop within seconds of a cancellation, without asking Redis for every batch."""
        now = time.monotonic()
        if now - self._checked_at > CHECK_S:
            self._checked_at = now
            self._open(video)


def _insist(call: Callable[[], Result]) -> Result:
    """Return what a call to Redis returns, waiting as long as Redis is away or out of memory.

    A worker has nothing better to do, and the work it holds is worth more than its time.
    """
    pause_s = 0.2
    while True:
        try:
            return call()
        except (redis.ConnectionError, redis.TimeoutError, redis.exceptions.OutOfMemoryError) as exc:
            logger.warning("waiting for Redis: %s", exc, extra={"action": "redis_wait"})
            time.sleep(pause_s)
            pause_s = min(2 * pause_s, 5.0)


def _plain(exc: Exception) -> str:
    return exc.strerror or str(exc) if isinstance(exc, OSError) else str(exc)


def _note(warning: DecodeWarning) -> dict[str, Any]:
    times = f" ({warning.count} times)" if warning.count > 1 else ""
    return {"stage": warning.stage, "reason": printable(warning.reason) + times, "at_ms": warning.at_ms}


def _batches(frames: Iterator[KeyFrame], clock: _Clock) -> Iterator[list[KeyFrame]]:
    """Yield frames in lists, so that memory is bounded whatever the length of a chunk."""
    batch: list[KeyFrame] = []
    begun = time.perf_counter()
    for frame in frames:
        batch.append(frame)
        if len(batch) == BATCH:
            clock.decode_s += time.perf_counter() - begun
            yield batch
            batch = []
            begun = time.perf_counter()
    clock.decode_s += time.perf_counter() - begun
    if batch:
        yield batch
