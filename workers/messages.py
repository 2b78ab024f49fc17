"""What travels through the queues: names and JSON payloads, nothing else.

A unit is the unit of work: planning a video (probing it and cutting it into chunks) or encoding one chunk.
Its name is also the id of its Celery task, so that what waits in a queue can be compared with the records.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Literal, get_args

from hashreel.errors import BadInputError

__all__ = [
    "EVALUATION_QUEUE",
    "LANES",
    "PROTOCOL",
    "RUN_EVALUATION",
    "RUN_UNIT",
    "Lane",
    "Unit",
    "evaluation_payload",
    "payload",
    "queue_name",
    "read_evaluation_payload",
    "read_payload",
]

PROTOCOL = 1
RUN_UNIT = "hashreel.run_unit"
RUN_EVALUATION = "hashreel.evaluate"
EVALUATION_QUEUE = "hashreel.evaluate"
"""Every worker listens to it: an evaluation needs codes, but no network."""
Lane = Literal["interactive", "bulk"]
"""Somebody waits for an interactive job; a bulk job takes what it takes. Each has a queue of its own."""
LANES: tuple[Lane, ...] = get_args(Lane)
PLAN = "plan"
_NAME = re.compile(f"([0-9]+):({PLAN}|[0-9]+)")


@dataclass(frozen=True)
class Unit:
    """A unit of work.

    Attributes:
        video: Number of the video.
        chunk: Number of the chunk; None is the planning of the video.
    """

    video: int
    chunk: int | None = None

    def __str__(self) -> str:
        return f"{self.video}:{PLAN if self.chunk is None else self.chunk}"

    @classmethod
    def parse(cls, text: str | bytes) -> Unit:
        """Return the unit that a name stands for; BadInputError if it is not one."""
        name = text.decode("utf-8", "replace") if isinstance(text, bytes) else text
        match = _NAME.fullmatch(name)
        if match is None:
            raise BadInputError(f"{name!r} is not a unit of work; expected VIDEO:plan or VIDEO:CHUNK")
        video, chunk = match.groups()
        return cls(int(video), None if chunk == PLAN else int(chunk))


def payload(unit: Unit) -> dict[str, str | int]:
    """Return the task's arguments."""
    return {"protocol": PROTOCOL, "unit": str(unit)}


def read_payload(protocol: int, unit: str) -> Unit:
    """Return the unit of a task's arguments.

    Raises:
        BadInputError: If a newer producer sent it; workers are deployed before producers.
    """
    if protocol != PROTOCOL:
        raise BadInputError(f"a task speaks protocol {protocol}, this worker {PROTOCOL}; upgrade the workers first")
    return Unit.parse(unit)


def evaluation_payload(evaluation: str) -> dict[str, str | int]:
    """Return the arguments of an evaluation's task."""
    return {"protocol": PROTOCOL, "evaluation": evaluation}


def read_evaluation_payload(protocol: int, evaluation: str) -> str:
    """Return the id in the arguments of an evaluation's task; see :func:`read_payload`."""
    if protocol != PROTOCOL:
        raise BadInputError(f"a task speaks protocol {protocol}, this worker {PROTOCOL}; upgrade the workers first")
    return str(evaluation)


def queue_name(fingerprint: str, lane: Lane = "bulk") -> str:
    """Return the queue of a model's work in a lane; only workers that run this model listen to it."""
    name = f"hashreel.encode.{fingerprint[:12]}"
    return name if lane == "bulk" else f"{name}.{lane}"
