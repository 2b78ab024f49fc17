"""Key-frame policies: which frames of a video get a code. Plain values, without any decoder."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, ClassVar, Literal, get_args

from hashreel.errors import BadInputError

__all__ = [
    "FLAWS",
    "MAX_STEP_S",
    "MIN_STEP_S",
    "CodecKeyFrames",
    "Every",
    "Flaw",
    "Policy",
    "Scenes",
    "parse_policy",
]

MIN_STEP_S = 0.04
MAX_STEP_S = 3600.0

Flaw = Literal["black", "blank", "frozen", "duplicate"]
FLAWS: tuple[Flaw, ...] = get_args(Flaw)


@dataclass(frozen=True, kw_only=True)
class _Dropping:
    """What all policies have in common.

    Args:
        drop: Kinds of key-frames that are counted, but get no code; see ``encoder/hygiene.py``.
    """

    drop: tuple[Flaw, ...] = ()

    def __post_init__(self) -> None:
        given = self.drop if isinstance(self.drop, list | tuple) else [self.drop]
        unknown = [name for name in given if name not in FLAWS]
        if unknown:
            raise BadInputError(f"drop of the key-frame policy has {unknown}; accepted: {', '.join(FLAWS)}")
        # In one order and once each, so that the same policy has one form.
        object.__setattr__(self, "drop", tuple(flaw for flaw in FLAWS if flaw in given))

    def _document(self, **fields: Any) -> dict[str, Any]:
        # Left out when empty: sources that were indexed before there was such a choice keep their identity.
        return fields | ({"drop": list(self.drop)} if self.drop else {})


@dataclass(frozen=True)
class Every(_Dropping):
    """One frame a step: the first frame of each cell [k · step, (k + 1) · step) of a grid over the video's time.

    The grid starts with the video stream and is kept in whole milliseconds, so that a frame's cell follows from
    its time alone and a video may be decoded in pieces. A cell in which no frame begins gives none: a picture
    that stands for a minute is one key-frame.

    Args:
        seconds: The step, 0.04 to 3600, rounded to a millisecond.

    Raises:
        BadInputError: If the step is outside that range.
    """

    kind: ClassVar[str] = "every"
    seconds: float = 1.0

    def __post_init__(self) -> None:
        super().__post_init__()
        seconds = check_number("every", self.seconds, MIN_STEP_S, MAX_STEP_S, "seconds")
        object.__setattr__(self, "seconds", round(seconds * 1000) / 1000)

    @property
    def step_ms(self) -> int:
        """The step in milliseconds, at least 40."""
        return round(self.seconds * 1000)

    def to_json(self) -> dict[str, Any]:
        """Return the policy as a plain JSON document; :func:`parse_policy` reads it back."""
        return self._document(kind=self.kind, seconds=self.seconds)


@dataclass(frozen=True)
class CodecKeyFrames(_Dropping):
    """The frames that the encoder of the video stored whole, and the first frame that can be decoded.

    By far the cheapest policy: nothing else is decoded. How far apart the frames are is up to the file.
    """

    kind: ClassVar[str] = "codec"

    def to_json(self) -> dict[str, Any]:
        """Return the policy as a plain JSON document; :func:`parse_policy` reads it back."""
        return self._document(kind=self.kind)


@dataclass(frozen=True)
class Scenes(_Dropping):
    """One frame a shot, taken near the shot's middle; every frame is decoded to find the cuts.

    Args:
        threshold: How many times greater than around it the change from one frame to the next has to be to
            make a cut, 0.01 to 100. PySceneDetect's adaptive detector and its default.
        longest_s: A shot that runs longer gives one frame for each stretch of this many seconds, 1 to 3600.

    Raises:
        BadInputError: If a value is outside its range.
    """

    kind: ClassVar[str] = "scenes"
    threshold: float = 3.0
    longest_s: float = 60.0

    def __post_init__(self) -> None:
        super().__post_init__()
        object.__setattr__(self, "threshold", check_number("scenes", self.threshold, 0.01, 100.0, "threshold"))
        object.__setattr__(self, "longest_s", check_number("scenes", self.longest_s, 1.0, 3600.0, "longest_s"))

    def to_json(self) -> dict[str, Any]:
        """Return the policy as a plain JSON document; :func:`parse_policy` reads it back."""
        return self._document(kind=self.kind, threshold=self.threshold, longest_s=self.longest_s)


Policy = Every | CodecKeyFrames | Scenes

KINDS: dict[str, type[Policy]] = {"every": Every, "codec": CodecKeyFrames, "scenes": Scenes}


def parse_policy(document: Mapping[str, Any]) -> Policy:
    """Return the policy that a plain JSON document describes.

    Args:
        document: ``{"kind": "every", "seconds": 1.0}``, ``{"kind": "codec"}`` or
            ``{"kind": "scenes", "threshold": 3.0, "longest_s": 60.0}``, each with ``"drop": ["black", ...]`` if
            such frames get no code; a value that is left out has its default.

    Raises:
        BadInputError: If the kind is unknown, a field does not belong to it, or a value is out of range.

    Example:
        >>> parse_policy({"kind": "every", "seconds": 2})
        Every(seconds=2.0)
    """
    if not isinstance(document, Mapping):
        raise BadInputError(f"key-frame policy is {document!r}; expected an object with a kind")
    fields = dict(document)
    kind = fields.pop("kind", None)
    if not isinstance(kind, str) or kind not in KINDS:
        raise BadInputError(f"key-frame policy has kind {kind!r}; accepted: {', '.join(KINDS)}")
    policy = KINDS[kind]
    known = {field.name for field in dataclasses.fields(policy)}
    unknown = sorted(set(fields) - known)
    if unknown:
        accepted = ", ".join(sorted(known))
        raise BadInputError(f"key-frame policy {kind!r} has fields {unknown}; accepted: {accepted}")
    return policy(**fields)


def check_number(kind: str, value: object, low: float, high: float, field: str) -> float:
    """Return ``value`` as a float in [low, high], or raise :class:`BadInputError` naming policy and field."""
    if isinstance(value, bool) or not isinstance(value, int | float) or not math.isfinite(value):
        raise BadInputError(f"{field} of key-frame policy {kind!r} is {value!r}; expected a number")
    if not low <= value <= high:
        raise BadInputError(f"{field} of key-frame policy {kind!r} is {value:g}; accepted: {low:g} to {high:g}")
    return float(value)
