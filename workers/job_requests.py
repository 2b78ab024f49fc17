"""Requests that may be sent twice: the key that a caller gives a request names the job that it became."""

from __future__ import annotations

import hashlib
from typing import TYPE_CHECKING, cast

from hashreel.errors import ConflictError
from hashreel.schemas import EnqueueRequest, JobModel
from workers.job_models import ENDED

if TYPE_CHECKING:
    from indexer.records import Generation
    from indexer.store import Store
    from workers.job_records import JobRecords

__all__ = ["JobRequests"]


class JobRequests:
    """Which job a request with a key has.

    Args:
        store: The stored state.
        jobs: Records of the jobs.
        keep_s: So long a key is known.
    """

    def __init__(self, store: Store, jobs: JobRecords, keep_s: float) -> None:
        self._store = store
        self._jobs = jobs
        self._keep_s = int(keep_s)

    def known(self, request: EnqueueRequest, generation: Generation) -> JobModel | None:
        """Return the job of an earlier request with the same key; None if it broke off, or there was none.

        Raises:
            ConflictError: If the key came with another request before.
        """
        if request.key is None:
            return None
        stored = cast("bytes | None", self._store.redis.get(self._key(request, generation)))
        if stored is None:
            return None
        job, _, digest = stored.decode().partition(" ")
        if digest != _request_digest(request):
            raise ConflictError(
                f"the key {request.key!r} came with other sources before; a new request needs a new key"
            )
        raw = cast("list[bytes | None]", self._store.redis.hmget(self._store.keys.job(job), ["is_complete", "is_open"]))
        is_good = raw[0] == b"1" or (raw[1] == b"1" and self._jobs.job(job).state not in ENDED)
        return self._jobs.job(job) if is_good else None

    def note(self, request: EnqueueRequest, generation: Generation, job: str) -> JobModel | None:
        """Write down which job a request with a key has.

        Returns:
            The other job if the same request came just before; ``job`` is forgotten then.
        """
        if request.key is None:
            return None
        key, value = self._key(request, generation), f"{job} {_request_digest(request)}"
        if self._store.redis.set(key, value, nx=True, ex=self._keep_s):
            return None
        known = self.known(request, generation)
        if known is None:
            self._store.redis.set(key, value, ex=self._keep_s)
            return None
        self._jobs.forget(job)
        return known

    def _key(self, request: EnqueueRequest, generation: Generation) -> str:
        # Callers of one collection learn nothing of another's.
        digest = hashlib.sha256(f"{generation.collection} {request.key}".encode()).hexdigest()
        return self._store.keys.job_key(digest)


def _request_digest(request: EnqueueRequest) -> str:
    return hashlib.sha256(request.model_dump_json().encode("utf-8", "surrogatepass")).hexdigest()
