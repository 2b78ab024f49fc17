"""Evaluations as others see them: asking for one, saying how far it is, cancelling it, reading its report."""

from __future__ import annotations

import hashlib
import io
import json
import time
from contextlib import suppress
from typing import TYPE_CHECKING, Any, cast

from hashreel.errors import BadInputError, ConflictError, NotFoundError
from hashreel.schemas import EvaluationModel, EvaluationRequest, EvaluationState, Problem
from search.evaluation import Truth, parse_csv, parse_json_lines, parse_shots
from workers.evaluation_records import EvaluationRecords
from workers.messages import EVALUATION_QUEUE

if TYPE_CHECKING:
    import redis

    from hashreel.settings import Settings
    from indexer.records import Generation
    from indexer.store import Store
    from workers.sending import Sender

__all__ = ["REPORT_FORMATS", "EvaluationQueue", "parse_truth", "resend_evaluations"]

MAX_OPEN = 20
QUEUE_AGE_S = 10.0
REPORT_FORMATS = ("json", "html", "csv", "markdown")


def parse_truth(text: str, request: EvaluationRequest) -> Truth:
    """Return the ground truth of a request.

    Raises:
        BadInputError: If rows are wrong, with their numbers, or if it names pictures: those of a collection have
            no names.
    """
    # As with files: not str.splitlines, which would also split at characters that may stand in a JSON string.
    lines = list(io.StringIO(text.removeprefix("\ufeff"), newline=""))
    if request.format == "shots":
        return parse_shots(lines, cast("float", request.frame_rate), request.source)
    truth = (parse_json_lines if request.format == "jsonl" else parse_csv)(lines, request.source)
    rows = [str(record.row) for record in truth.pictures]
    if rows:
        more = f" and {len(rows) - 10} more" if len(rows) > 10 else ""
        raise BadInputError(
            f"{request.source} names pictures in row {', '.join(rows[:10])}{more}; a collection holds videos (a folder "
            "of key-frames is one too, with a second for each picture). Pictures are evaluated by "
            "`hashreel evaluate --offline`"
        )
    return truth


class EvaluationQueue:
    """What the HTTP app evaluates through (``search.ports.EvaluationPort``).

    Args:
        store: The stored state.
        send: Sends evaluations to the workers.
        settings: Default collection, and how long results are kept.
    """

    def __init__(self, store: Store, send: Sender, settings: Settings) -> None:
        self._store = store
        self._send = send
        self._settings = settings
        self._records = EvaluationRecords(store.redis, store.keys, settings.job_keep_s)

    def create(self, request: EvaluationRequest) -> EvaluationModel:
        """Check the ground truth and queue the evaluation of a collection's live generation, or of another one.

        Raises:
            BadInputError: If the ground truth is not usable; the message names its rows.
            NotFoundError: If there is no such collection or generation, or no such evaluation to compare with.
            ConflictError: If that one is not done, or too many evaluations wait.
        """
        parse_truth(request.truth, request)
        generation = self._generation(request)
        if request.against is not None and self.get(request.against).state != "done":
            raise ConflictError(f"evaluation {request.against} is not done; only a done one can be compared with")
        if self._records.count_open() >= MAX_OPEN:
            raise ConflictError(f"{MAX_OPEN} evaluations wait or run; wait for one of them, or cancel one")
        fields: dict[str, str | int | float] = {
            "request": request.model_copy(update={"truth": "-"}).model_dump_json(),
            "name": request.name or generation.model,
            "collection": generation.collection,
            "generation": generation.id,
            "model": generation.model,
            "fingerprint": generation.fingerprint,
            "bits": generation.bits,
            "truth": hashlib.sha256(request.truth.encode()).hexdigest(),
            "source": request.source,
            "by": request.by,
        }
        evaluation = self._records.create(fields, request.truth)
        self._send.evaluations([evaluation])
        return self.get(evaluation)

    def _generation(self, request: EvaluationRequest) -> Generation:
        name = request.collection or self._settings.collection
        live = self._store.collection(name)
        if request.generation is None:
            return live
        generation = self._store.generation(request.generation)
        if generation.collection != name:
            raise NotFoundError(f"collection {name!r} has no generation {request.generation}")
        return generation

    def newest(self, limit: int = 50) -> list[EvaluationModel]:
        """Return the newest evaluations."""
        found = []
        for name in self._records.newest(limit):
            try:
                found.append(self.get(name))
            except NotFoundError:
                self._records.forget_name(name)
        return found

    def get(self, evaluation: str) -> EvaluationModel:
        """Return one evaluation; NotFoundError if there is none (any more)."""
        return _model(evaluation, self._records.fields(evaluation))

    def cancel(self, evaluation: str) -> EvaluationModel:
        """Stop an evaluation; one that has ended stays as it is."""
        self.get(evaluation)
        self._records.end(evaluation, "cancelled")
        return self.get(evaluation)

    def report(self, evaluation: str, format_: str) -> str:
        """Return the report of a done evaluation: "json", "html", "csv" or "markdown".

        Raises:
            ConflictError: If it is not done.
            NotFoundError: If there is none (any more).
        """
        if format_ not in REPORT_FORMATS:
            raise BadInputError(f"the format is {format_!r}; accepted: {', '.join(REPORT_FORMATS)}")
        model = self.get(evaluation)
        if model.state != "done":
            reason = f": {model.problem.detail}" if model.problem else ""
            raise ConflictError(f"evaluation {evaluation} is {model.state}; only a done one has a report{reason}")
        text = self._records.result(evaluation, format_)
        if text is None:
            raise NotFoundError(f"the report of evaluation {evaluation} is not kept any more")
        return text


def resend_evaluations(records: EvaluationRecords, send: Sender, broker: redis.Redis) -> int:
    """Send evaluations again that wait without a message or whose worker is gone; return how many."""
    stray = records.stray(time.time() - QUEUE_AGE_S)
    if not stray:
        return 0
    waiting = {_task_id(raw) for raw in cast("list[bytes]", broker.lrange(EVALUATION_QUEUE, 0, -1))}
    lost = [name for name in stray if name not in waiting]
    send.evaluations(lost)
    records.touch(lost)
    return len(lost)


def _task_id(message: bytes) -> str:
    with suppress(ValueError, KeyError, TypeError):
        document: dict[str, Any] = json.loads(message)
        return str(document["headers"]["id"])
    return ""


def _model(evaluation: str, raw: dict[str, str]) -> EvaluationModel:
    request: dict[str, Any] = json.loads(raw["request"])
    return EvaluationModel(
        id=evaluation,
        state=cast("EvaluationState", raw["state"]),
        name=raw["name"],
        collection=raw["collection"],
        generation=raw["generation"],
        model=raw["model"],
        fingerprint=raw["fingerprint"],
        bits=int(raw["bits"]),
        position=raw.get("position", ""),
        truth=raw["truth"],
        source=raw["source"],
        by=raw["by"],
        against=request.get("against"),
        created_at=float(raw["created_at"]),
        started_at=float(raw["started_at"]) if "started_at" in raw else None,
        finished_at=float(raw["finished_at"]) if "finished_at" in raw else None,
        step=raw.get("step", ""),
        done=int(raw.get("done", 0)),
        total=int(raw.get("total", 0)),
        tries=int(raw.get("tries", 0)),
        scores=json.loads(raw.get("scores", "{}")),
        problem=Problem.model_validate_json(raw["problem"]) if raw.get("problem") else None,
    )
