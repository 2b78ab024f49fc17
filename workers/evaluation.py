"""What a worker does with an evaluation: read the codes, ask the questions, write the report."""

from __future__ import annotations

import json
import logging
import threading
import time
import zlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import redis

from hashreel.errors import (
    BadInputError,
    ConflictError,
    HashreelError,
    NotFoundError,
    StorageFullError,
)
from hashreel.schemas import EvaluationRequest, Problem
from indexer.collecting import collect_chunks
from search.evaluation import (
    Arm,
    EvaluationRun,
    Metric,
    Report,
    ask,
    evaluate_items,
    make_report,
    report_to_csv,
    report_to_dict,
    report_to_html,
    report_to_markdown,
    run_from_dict,
    show_examples,
)
from workers.evaluation_queue import parse_truth
from workers.evaluation_records import EvaluationRecords
from workers.evaluation_videos import Frames, cut_pictures, match_videos

if TYPE_CHECKING:
    from hashreel.settings import Settings
    from indexer.records import Generation, VideoRecord
    from indexer.store import Store

__all__ = ["EvaluationRunner"]

logger = logging.getLogger(__name__)

MAX_QUESTIONS = 20_000
MAX_RESULT_BYTES = 64 * 2**20
TELL_S = 0.5
BACKOFF_S = 5.0
# It will not be otherwise at the next try.
FINAL = (BadInputError, ConflictError, NotFoundError, StorageFullError)


class UnwantedError(HashreelError):
    """The evaluation was cancelled, or another run has taken it over."""


@dataclass
class _Run:
    """One run of an evaluation; says how far it is, and learns from the answer whether it is still wanted."""

    records: EvaluationRecords
    evaluation: str
    name: str
    told_at: float = 0.0
    step: str = ""

    def tell(self, step: str, done: int, total: int) -> None:
        now = time.monotonic()
        if step == self.step and now - self.told_at < TELL_S:
            return
        self.step, self.told_at = step, now
        self.set({"step": step, "done": done, "total": total})

    def set(self, fields: Mapping[str, str | int | float]) -> None:
        if not self.records.note(self.evaluation, self.name, fields):
            raise UnwantedError


class EvaluationRunner:
    """Runs evaluations.

    Args:
        store: The stored state.
        settings: Tries, leases, and how long results are kept.
        worker: Name of this worker.
    """

    def __init__(self, store: Store, settings: Settings, worker: str) -> None:
        self._store = store
        self._settings = settings
        self._worker = worker
        self._records = EvaluationRecords(store.redis, store.keys, settings.job_keep_s)

    def run(self, evaluation: str) -> None:
        """Claim an evaluation and do it; nothing happens if it has ended or runs elsewhere."""
        settings = self._settings
        claim, name = self._records.claim(evaluation, self._worker, settings.max_tries, settings.worker_lease_s)
        if claim == "poison":
            reason = f"its worker died or hung {settings.max_tries} times on it"
            self._fail(evaluation, name, HashreelError(reason))
        elif claim == "run":
            stop = threading.Event()
            lease = threading.Thread(target=self._keep_lease, args=(evaluation, name, stop), daemon=True)
            lease.start()
            try:
                self._guarded(evaluation, _Run(self._records, evaluation, name))
            finally:
                stop.set()
                lease.join()

    def _keep_lease(self, evaluation: str, name: str, stop: threading.Event) -> None:
        """Renew the lease while the run goes on, but not of one that hangs."""
        until = time.monotonic() + self._settings.unit_timeout_s
        while not stop.wait(self._settings.worker_lease_s / 4) and time.monotonic() < until:
            try:
                if not self._records.renew(evaluation, name, self._settings.worker_lease_s):
                    return
            except redis.RedisError as exc:
                logger.warning("lease not renewed: %s", exc, extra={"action": "lease_failed"})

    def _guarded(self, evaluation: str, run: _Run) -> None:
        try:
            self._evaluate(evaluation, run)
        except UnwantedError:
            logger.info("evaluation given up", extra={"action": "evaluation_unwanted", "evaluation": evaluation})
        except FINAL as exc:
            self._fail(evaluation, run.name, exc)
        except redis.RedisError as exc:
            # Nothing can be recorded now. When the lease has run out, it is sent again.
            logger.warning("evaluation broke off: %s", exc, extra={"action": "evaluation_broken"})
        except Exception as exc:
            logger.exception("evaluation failed", extra={"action": "evaluation_failed", "evaluation": evaluation})
            self._try_later(evaluation, run, exc)

    def _try_later(self, evaluation: str, run: _Run, exc: Exception) -> None:
        tries = int(self._records.fields(evaluation).get("tries", 1))
        if tries >= self._settings.max_tries:
            error = exc if isinstance(exc, HashreelError) else HashreelError(f"{type(exc).__name__}: {exc}")
            self._fail(evaluation, run.name, error)
        else:
            self._records.release(evaluation, run.name, BACKOFF_S * 2 ** (tries - 1))

    def _fail(self, evaluation: str, name: str, error: HashreelError) -> None:
        fields = {"problem": Problem.of(error).model_dump_json()}
        self._records.end(evaluation, "failed", run=name, fields=fields)

    # The work

    def _evaluate(self, evaluation: str, run: _Run) -> None:
        fields = self._records.fields(evaluation)
        text = self._records.truth(evaluation)
        request = EvaluationRequest.model_validate({**json.loads(fields["request"]), "truth": text})
        generation = self._generation(fields["generation"])
        truth = parse_truth(text, request)
        names: dict[int, str] = {}

        def choose(videos: Sequence[VideoRecord]) -> list[int]:
            names.clear()
            names.update(match_videos(truth.videos, videos, request.source))
            return list(names)

        collected = collect_chunks(
            self._store, generation, choose, tell=lambda done, total: run.tell("reading", done, total)
        )
        run.set({"position": collected.position.log_id})
        frames = Frames(collected, generation, names)
        items, rows = frames.items(truth)
        questions = ask(
            items,
            per_concept=None if request.queries_per_concept == "all" else request.queries_per_concept,
            exclude=request.exclude,
            seed=request.seed,
        )
        scores = evaluate_items(
            items,
            questions,
            name=fields["name"],
            cutoffs=request.top,
            settings=_settings(fields, request, collected.position.log_id, len(frames) - len(items)),
            max_questions=MAX_QUESTIONS,
            tell=lambda done, total: run.tell("comparing", done, total),
        )
        run.tell("pictures", 0, 0)
        metric = Metric("map", min(request.top), "minKR")
        examples = show_examples(scores, items, questions, metric)
        wanted = {key for example in examples for key in (example.query_key, *(hit.key for hit in example.hits))}
        places = {key: frames.place(row) for key, row in zip(items.keys, rows.tolist(), strict=True) if key in wanted}
        pictures = cut_pictures(places, lambda done, total: run.tell("pictures", done, total))
        run.tell("reporting", 0, 0)
        report = make_report(
            Arm(scores.name, (scores,)),
            self._baseline(request.against, scores),
            title=f"Retrieval evaluation of {fields['collection']}",
            examples=examples,
            notes=_notes(len(frames), len(items), len(wanted) - len(pictures)),
        )
        self._finish(evaluation, run, report, pictures)

    def _generation(self, number: str) -> Generation:
        try:
            return self._store.generation(number)
        except NotFoundError as exc:
            raise NotFoundError(f"generation {number} was dropped before it was evaluated") from exc

    def _baseline(self, against: str | None, proposed: EvaluationRun) -> Arm | None:
        """Return an earlier evaluation as the arm to compare with, under a name of its own."""
        if against is None:
            return None
        stored = self._records.result(against, "json")
        if stored is None:
            raise NotFoundError(f"the result of evaluation {against} is not kept any more")
        earlier = run_from_dict(json.loads(stored)["runs"][0][0])
        return Arm(earlier.name if earlier.name != proposed.name else f"{earlier.name} ({against})", (earlier,))

    def _finish(self, evaluation: str, run: _Run, report: Report, pictures: Mapping[str, bytes]) -> None:
        texts = {
            "json": json.dumps(report_to_dict(report), ensure_ascii=False, allow_nan=False),
            "html": report_to_html(report, pictures),
            "csv": report_to_csv(report),
            "markdown": report_to_markdown(report),
        }
        result = {name: zlib.compress(text.encode()) for name, text in texts.items()}
        size = sum(map(len, result.values()))
        if size > MAX_RESULT_BYTES:
            raise StorageFullError(
                f"the report has {size} bytes, compressed; at most {MAX_RESULT_BYTES} are kept: ask fewer queries"
            )
        scores = {mean.metric.key: mean.macro.estimate for mean in report.overall if mean.arm == report.proposed.name}
        is_done = self._records.end(
            evaluation, "done", run=run.name, result=result, fields={"scores": json.dumps(scores)}
        )
        if not is_done:
            raise UnwantedError
        logger.info("evaluation done", extra={"action": "evaluation_done", "evaluation": evaluation})


def _settings(
    fields: Mapping[str, str], request: EvaluationRequest, position: str, left_out: int
) -> dict[str, str | int]:
    """Return how the codes and the questions came about, for the reader of the report."""
    return {
        "collection": fields["collection"],
        "generation": fields["generation"],
        "model": fields["model"],
        "fingerprint": fields["fingerprint"],
        "bits": int(fields["bits"]),
        "log position": position,
        "ground truth": fields["source"],
        "ground truth SHA-256": fields["truth"],
        "queries a concept": request.queries_per_concept,
        "a query never gets": "itself" if request.exclude == "self" else "its own video",
        "seed": request.seed,
        "key-frames without ground truth, left out": left_out,
    }


def _notes(num_frames: int, num_items: int, missing: int) -> list[str]:
    notes = []
    if num_frames > num_items:
        notes.append(
            f"{num_frames - num_items} of {num_frames} key-frames of the named videos lie in no stretch of the ground "
            "truth; they are neither asked nor returned"
        )
    if missing:
        notes.append(f"{missing} pictures of the examples could not be cut: their sources are gone, changed or damaged")
    return notes
