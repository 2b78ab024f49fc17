"""The names of everything that Hashreel keeps in Redis. Nothing else spells a key."""

from __future__ import annotations

from dataclasses import dataclass

__all__ = ["Keys"]


@dataclass(frozen=True)
class Keys:
    """Key names below one prefix.

    Attributes:
        prefix: Put before every key, so that several installations can share a server.
    """

    prefix: str = "hr:"

    def _key(self, *parts: object) -> str:
        return self.prefix + ":".join(map(str, parts))

    @property
    def format(self) -> str:
        """String: version of the stored format."""
        return self._key("format")

    @property
    def next_video(self) -> str:
        """Counter: the last video number that was given out."""
        return self._key("next", "video")

    @property
    def next_generation(self) -> str:
        """Counter: the last generation number that was given out."""
        return self._key("next", "generation")

    @property
    def collections(self) -> str:
        """Hash: collection name to generation."""
        return self._key("collections")

    def generations(self, collection: str) -> str:
        """Sorted set: all generations of a collection, live or not."""
        return self._key("generations", collection)

    def history(self, collection: str) -> str:
        """List: generations that were live before, the last one first."""
        return self._key("history", collection)

    def suppressions(self, collection: str) -> str:
        """Hash: id to entry (JSON) of what a collection leaves out of answers."""
        return self._key("suppressed", collection)

    def suppression_pictures(self, collection: str) -> str:
        """Hash: id to the entry's example picture."""
        return self._key("suppressed", collection, "pictures")

    @property
    def watches(self) -> str:
        """Hash: id to record (JSON) of the watches of all collections."""
        return self._key("watches")

    @property
    def watch_pictures(self) -> str:
        """Hash: WATCH:NUMBER to an example picture of a watch."""
        return self._key("watches", "pictures")

    @property
    def watch_totals(self) -> str:
        """Hash: what to how often it happened: hits found, webhooks delivered, failed, dead."""
        return self._key("watch", "totals")

    def watch_marks(self, watch: str) -> str:
        """Hash: identity of a hit to what was said of it (JSON)."""
        return self._key("watch", watch, "marks")

    def watch_sent(self, watch: str) -> str:
        """Set: identities of the hits that were reported, or that nobody wanted reports of."""
        return self._key("watch", watch, "sent")

    def watch_deliveries(self, watch: str) -> str:
        """Sorted set: deliveries of a watch by time of creation."""
        return self._key("watch", watch, "deliveries")

    def watch_dead(self, watch: str) -> str:
        """Set: deliveries of a watch that were given up."""
        return self._key("watch", watch, "dead")

    @property
    def deliveries(self) -> str:
        """Sorted set: deliveries that are to be sent, by the time from which on."""
        return self._key("deliveries")

    def delivery(self, delivery: str) -> str:
        """Hash: record of a delivery."""
        return self._key("d", delivery)

    def watch_entries(self, generation: str) -> str:
        """Hash: id of a watch (or s:ID of a suppressed example) to its entry in the codes of a generation (JSON)."""
        return self._key("g", generation, "watch")

    def watch_todo(self, generation: str) -> str:
        """Hash: watches whose stored frames are still to be searched, to the token of the change that asked for it."""
        return self._key("g", generation, "watch", "todo")

    def watch_fresh(self, generation: str) -> str:
        """List: hits (WATCH:FRAME) that no delivery was made of yet."""
        return self._key("g", generation, "watch", "fresh")

    def watch_hits(self, generation: str) -> str:
        """Hash: WATCH:FRAME to "identity time distance found"."""
        return self._key("g", generation, "watch", "hits")

    def watch_order(self, generation: str) -> str:
        """Sorted set, all scores 0: WATCH:FOUND:FRAME, so that a watch's hits are listed by time."""
        return self._key("g", generation, "watch", "order")

    def watch_lost(self, generation: str) -> str:
        """Hash: WATCH:new and WATCH:stored to how many hits were not kept, there being too many."""
        return self._key("g", generation, "watch", "lost")

    def hits_of_video(self, video: int | str) -> str:
        """Set: WATCH:FRAME of the hits in a video."""
        return self._key("h", video)

    def of_generation(self, generation: str) -> list[str]:
        """Return all keys of a generation itself, without its videos'; its record's last."""
        parts = (
            self.log,
            self.head,
            self.videos,
            self.failed,
            self.contents,
            self.places,
            self.misses,
            self.holders,
            self.watch_entries,
            self.watch_todo,
            self.watch_fresh,
            self.watch_hits,
            self.watch_order,
            self.watch_lost,
            self.milvus,
            self.milvus_lease,
            self.generation,
        )
        return [part(generation) for part in parts]

    def of_video(self, video: int | str) -> list[str]:
        """Return all keys of a video."""
        parts = (self.video, self.chunks, self.shas, self.members, self.copies, self.hits_of_video)
        return [part(video) for part in parts]

    def generation(self, generation: str) -> str:
        """Hash: model, fingerprint, bits."""
        return self._key("g", generation)

    def log(self, generation: str) -> str:
        """Stream: the log of a generation."""
        return self._key("g", generation, "log")

    def head(self, generation: str) -> str:
        """Hash: epoch, last log id and running hash."""
        return self._key("g", generation, "head")

    def videos(self, generation: str) -> str:
        """Sorted set: the numbers of a generation's videos that are not deleted."""
        return self._key("g", generation, "videos")

    def failed(self, generation: str) -> str:
        """Sorted set: videos with something to report (failed, or indexed in part), by time."""
        return self._key("g", generation, "failed")

    def contents(self, generation: str) -> str:
        """Hash: what identifies a source's content and key-frame policy, to its indexed video."""
        return self._key("g", generation, "contents")

    def places(self, generation: str) -> str:
        """Hash: what identifies a source's name and key-frame policy, to its indexed video."""
        return self._key("g", generation, "places")

    def milvus(self, generation: str) -> str:
        """Hash: the Milvus collection of a generation, the log position that it holds, the Redis that said so."""
        return self._key("g", generation, "milvus")

    def milvus_lease(self, generation: str) -> str:
        """String with an expiry: which process may write into Milvus."""
        return self._key("g", generation, "milvus", "lease")

    def misses(self, generation: str) -> str:
        """Sorted set, all scores 0: PLACE:VIDEO of the failed attempts at a place that nothing was indexed at since."""
        return self._key("g", generation, "misses")

    def holders(self, generation: str) -> str:
        """Hash: identity of a content (its SHA-256 and the key-frame policy) to the video that holds it."""
        return self._key("g", generation, "holders")

    def members(self, video: int | str) -> str:
        """String: names of the files of a picture folder or an archive, by the second, packed."""
        return self._key("m", video)

    def copies(self, video: int | str) -> str:
        """Set: videos that were skipped because this one has the same content."""
        return self._key("same", video)

    def video(self, video: int | str) -> str:
        """Hash: metadata of a video."""
        return self._key("v", video)

    def chunks(self, video: int | str) -> str:
        """Hash: chunk number to chunk value."""
        return self._key("c", video)

    def shas(self, video: int | str) -> str:
        """Hash: chunk number to the SHA-256 of the value that was committed, hex."""
        return self._key("s", video)

    @property
    def thumbnail_bytes(self) -> str:
        """Counter: bytes of kept thumbnails."""
        return self._key("thumbnails", "bytes")

    @property
    def gone(self) -> str:
        """Sorted set: deleted and cancelled videos by the time of their end; values go after the grace period."""
        return self._key("gone")

    @property
    def jobs(self) -> str:
        """Sorted set: job ids by time of creation."""
        return self._key("jobs")

    def job(self, job: str) -> str:
        """Hash: record and tally of a job."""
        return self._key("j", job)

    def job_videos(self, job: str) -> str:
        """List: numbers of a job's videos, in order."""
        return self._key("j", job, "videos")

    @property
    def units_queued(self) -> str:
        """Sorted set: units of work that wait, by the time at which they were (or are to be) sent."""
        return self._key("units", "queued")

    @property
    def units_running(self) -> str:
        """Sorted set: units of work that run, by the time of their start."""
        return self._key("units", "running")

    @property
    def units_tries(self) -> str:
        """Hash: unit to number of starts."""
        return self._key("units", "tries")

    @property
    def units_owner(self) -> str:
        """Hash: unit to the worker that runs it."""
        return self._key("units", "owner")

    @property
    def units_attempt(self) -> str:
        """Hash: unit to what tells its last start from any other."""
        return self._key("units", "attempt")

    def units_turns(self, queue: str) -> str:
        """Sorted set: jobs with units that wait to be sent to a queue, by how many were sent."""
        return self._key("units", "turns", queue)

    def units_backlog(self, queue: str, job: str) -> str:
        """Sorted set: a job's units that wait to be sent to a queue, in the order in which they are to be done."""
        return self._key("units", "backlog", queue, job)

    def units_feeding(self, queue: str) -> str:
        """String with an expiry: which process sends units to a queue just now."""
        return self._key("units", "feeding", queue)

    def job_key(self, digest: str) -> str:
        """String with an expiry: SHA-256 of the key that a request to enqueue came with, to its job."""
        return self._key("jobkey", digest)

    @property
    def evaluations(self) -> str:
        """Sorted set: evaluations by time of creation."""
        return self._key("evaluations")

    @property
    def evaluations_open(self) -> str:
        """Sorted set: evaluations that wait or run, by the time at which they were (or are to be) sent."""
        return self._key("evaluations", "open")

    def evaluation(self, evaluation: str) -> str:
        """Hash: record of an evaluation."""
        return self._key("e", evaluation)

    def evaluation_truth(self, evaluation: str) -> str:
        """String: the ground truth of an evaluation that waits or runs, compressed."""
        return self._key("e", evaluation, "truth")

    def evaluation_lease(self, evaluation: str) -> str:
        """String with an expiry: which run of an evaluation is alive."""
        return self._key("e", evaluation, "lease")

    def evaluation_result(self, evaluation: str) -> str:
        """Hash: format to report, compressed; there when the evaluation is done."""
        return self._key("e", evaluation, "result")

    @property
    def api_keys(self) -> str:
        """Hash: id of an API key to its record, with the SHA-256 of its secret."""
        return self._key("keys")

    def api_session(self, digest: str) -> str:
        """String with an expiry: SHA-256 of a browser's session token to the id of its key."""
        return self._key("session", digest)

    @property
    def audit(self) -> str:
        """Stream: who searched, viewed, exported, changed and deleted."""
        return self._key("audit")

    def worker(self, worker: str) -> str:
        """String with an expiry: a worker's lease."""
        return self._key("w", worker)

    @property
    def reconciler(self) -> str:
        """String with an expiry: which process checks for lost work."""
        return self._key("reconciler")
