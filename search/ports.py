"""What the HTTP app is given: an engine that answers and a queue that takes work.

The app never imports the workers; ``hashreel/cli`` hands it an object with this shape.
"""

from __future__ import annotations

from pathlib import Path
from typing import Protocol

from hashreel.schemas import (
    Answer,
    ClipAnswer,
    ClipOptions,
    Collection,
    Collections,
    Deliveries,
    DeliveryModel,
    EnqueueRequest,
    EvaluationModel,
    EvaluationRequest,
    Failures,
    Frames,
    FramesRequest,
    Health,
    IdsAnswer,
    ImportedVideos,
    IndexStatus,
    IndexVerification,
    JobModel,
    JobState,
    JobVideos,
    Marked,
    MarkRequest,
    MarkState,
    NewWatch,
    Query,
    RelocateRequest,
    Relocations,
    RotateRequest,
    SearchRequest,
    SuppressionModel,
    SuppressionRequest,
    Suppressions,
    Tags,
    VideoModel,
    Videos,
    WatchChange,
    Watches,
    WatchHits,
    WatchModel,
    WatchRequest,
)

__all__ = ["EnginePort", "EvaluationPort", "QueuePort"]


class EvaluationPort(Protocol):
    """Evaluations. Implemented by ``workers.evaluation_queue.EvaluationQueue``."""

    def create(self, request: EvaluationRequest) -> EvaluationModel:
        """Check the ground truth and queue an evaluation."""

    def newest(self, limit: int = 50) -> list[EvaluationModel]:
        """Return the newest evaluations."""

    def get(self, evaluation: str) -> EvaluationModel:
        """Return one evaluation; NotFoundError if there is none."""

    def cancel(self, evaluation: str) -> EvaluationModel:
        """Stop an evaluation that has not ended."""

    def report(self, evaluation: str, format_: str) -> str:
        """Return the report of a done evaluation: "json", "html", "csv" or "markdown"."""


class QueuePort(Protocol):
    """Jobs, failures and evaluations. Implemented by ``workers.queue.JobQueue``."""

    @property
    def evaluations(self) -> EvaluationPort:
        """Return what evaluations go through."""

    def units(self) -> tuple[int, int]:
        """Return how many units of work wait, and how many run."""

    def side_work(self) -> tuple[int, int]:
        """Return how many evaluations wait or run, and how many webhook messages wait; workers do both, too."""

    def enqueue(self, request: EnqueueRequest) -> JobModel:
        """Register the sources and start their work."""

    def jobs(self, limit: int = 50, state: JobState | None = None) -> list[JobModel]:
        """Return the newest jobs, without their videos; only those in a state, if one is given."""

    def job(self, job_id: str) -> JobModel:
        """Return one job; NotFoundError if there is none."""

    def job_videos(self, job_id: str, *, limit: int = 1000, offset: int = 0) -> JobVideos:
        """Return a page of a job's videos, in order of the sources."""

    def cancel(self, job_id: str, *, keep_partial: bool = False) -> JobModel:
        """Stop what is not finished; committed chunks of unfinished videos go unless ``keep_partial``."""

    def retry(self, job_id: str) -> JobModel:
        """Queue the job's failed sources again."""

    def delete(self, job_id: str) -> JobModel:
        """Forget a job that has ended, and return what it was; its videos stay."""

    def relocate(self, request: RelocateRequest) -> Relocations:
        """Give videos the new names of their sources, a turn at a time."""

    def reencode(self, collection: str, generation: str) -> JobModel:
        """Index a collection's sources into another of its generations."""

    def failures(
        self,
        *,
        job: str | None = None,
        video: int | None = None,
        collection: str | None = None,
        limit: int = 100,
        offset: int = 0,
    ) -> Failures:
        """Return recorded failures, newest first: of a job, of a video, or else of a collection."""


class EnginePort(Protocol):
    """Queries and the gallery's contents. Implemented by ``search.engine.SearchEngine``."""

    def search(self, request: SearchRequest) -> Answer:
        """Answer one query."""

    def search_ids(self, request: SearchRequest) -> IdsAnswer:
        """Answer one query with ids and distances alone."""

    def look_up(self, request: FramesRequest) -> Frames:
        """Return what is known of frames, in the order in which they are asked for."""

    def search_clip(self, path: Path, options: ClipOptions) -> ClipAnswer:
        """Return which stretches of which videos a clip's file matches."""

    def fetched(self, query: Query) -> Query:
        """Return a query with the picture that is at its address, if it names one."""

    def suppress(self, request: SuppressionRequest) -> SuppressionModel:
        """Leave frames like a picture out of a collection's answers."""

    def suppressions(self, collection: str | None = None) -> Suppressions:
        """Return what a collection leaves out."""

    def unsuppress(self, suppression_id: str, collection: str | None = None) -> SuppressionModel:
        """Remove an entry of the list; NotFoundError if there is none."""

    def videos(
        self,
        *,
        limit: int = 100,
        before: int | None = None,
        state: str | None = None,
        tags: Tags | None = None,
        collection: str | None = None,
    ) -> Videos:
        """Return a page of videos, newest first."""

    def video(self, video_id: int) -> VideoModel:
        """Return one video; NotFoundError if there is none."""

    def collection_of(self, video_id: int) -> str:
        """Return the collection of a video, a deleted one included; NotFoundError if there is none."""

    def set_tags(self, video_id: int, tags: Tags) -> VideoModel:
        """Set tags (an empty value removes one)."""

    def delete_video(self, video_id: int, *, purge: bool = False) -> VideoModel:
        """Delete a video from the gallery; its stored values go after the grace period, or now."""

    def collections(self) -> Collections:
        """Return all collections."""

    def collection(self, name: str) -> Collection:
        """Return one collection; NotFoundError if there is none of that name."""

    def create_collection(self, name: str, model_name: str | None) -> Collection:
        """Make an empty collection."""

    def create_generation(self, name: str, model_name: str) -> str:
        """Make a new generation of a collection beside the live one; return its number."""

    def cut_over(self, name: str, generation: str, *, anyway: bool = False) -> Collection:
        """Let a collection point at another of its generations."""

    def roll_back(self, name: str) -> Collection:
        """Let a collection point at the generation before the last cut-over."""

    def drop_generation(self, name: str, generation: str) -> int:
        """Remove a generation that is not live; return how many videos it had."""

    def drop_collection(self, name: str) -> int:
        """Remove a collection; return how many videos it had."""

    def health(self) -> Health:
        """Return whether queries can be answered, and the lag."""

    def thumbnail(self, frame_id: int, width: int = 320) -> bytes:
        """Return a JPEG of an indexed frame, cut from its source (cached); NotFoundError if that is gone."""

    def frame_png(self, frame_id: int) -> bytes:
        """Return an indexed frame in full size, as PNG; NotFoundError if its source is gone or was changed."""

    def mask(self, frame_id: int) -> bytes:
        """Return the predicted mask of an indexed frame as PNG; NotFoundError if its model does not segment."""

    def source_path(self, video_id: int) -> Path:
        """Return the local file of a video's source; NotFoundError if it moved or is a folder of pictures."""

    def index_status(self, collection: str | None = None) -> IndexStatus:
        """Return how a collection's index stands."""

    def index_verify(self, collection: str | None = None) -> IndexVerification:
        """Compare a collection's index with the stored values."""

    def index_compact(self, collection: str | None = None) -> IndexStatus:
        """Drop the rows of deleted frames."""

    def index_rebuild(self, collection: str | None = None) -> IndexStatus:
        """Build a collection's gallery anew, beside the present one."""

    def index_snapshot(self, collection: str | None = None) -> IndexStatus:
        """Write a snapshot if anything has changed."""

    def index_export(self, path: Path, format_: str, collection: str | None = None) -> None:
        """Write codes and metadata into a file."""

    def index_import(self, path: Path, collection: str | None = None) -> ImportedVideos:
        """Add the videos of an exported file that are not there yet."""

    def wait_position(self, position: str, timeout_s: float) -> bool:
        """Return whether the index reached a log id in time."""

    def watches(self, collection: str | None = None) -> Watches:
        """Return the watches of a collection."""

    def add_watch(self, request: WatchRequest) -> NewWatch:
        """Watch for frames like some pictures, indexed frames or codes."""

    def watch(self, watch_id: str) -> WatchModel:
        """Return one watch; NotFoundError if there is none."""

    def change_watch(self, watch_id: str, change: WatchChange) -> WatchModel:
        """Change a watch."""

    def remove_watch(self, watch_id: str) -> WatchModel:
        """Forget a watch and its hits; return what it was."""

    def watch_picture(self, watch_id: str, number: int) -> bytes:
        """Return an example of a watch as JPEG; NotFoundError if it has none of that number."""

    def watch_hits(
        self, watch_id: str, *, state: MarkState | None = None, limit: int = 100, before: str | None = None
    ) -> WatchHits:
        """Return a page of hits, the newest first."""

    def mark_watch_hits(self, watch_id: str, request: MarkRequest, by: str = "") -> Marked:
        """Acknowledge or dismiss hits, or take that back."""

    def rotate_secret(self, watch_id: str, request: RotateRequest) -> NewWatch:
        """Give a watch a new secret to sign with."""

    def test_watch(self, watch_id: str) -> DeliveryModel:
        """Send a message without hits to a watch's webhook once; return what came of it."""

    def watch_deliveries(self, watch_id: str, *, state: str | None = None, limit: int = 100) -> Deliveries:
        """Return the messages to a watch's webhook, the newest first."""

    def retry_watch_delivery(self, watch_id: str, delivery_id: str) -> DeliveryModel:
        """Send a message again that was given up."""
