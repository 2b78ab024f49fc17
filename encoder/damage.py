"""What went wrong while a source was decoded, and was survived: bounded lists of warnings."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, replace
from typing import Any

__all__ = ["MAX_WARNINGS", "DecodeWarning", "note"]

MAX_WARNINGS = 32
"""A list holds at most this many different warnings; whatever comes later is counted under OVERFLOW."""

OVERFLOW = "further problems, not listed one by one"


@dataclass(frozen=True, slots=True)
class DecodeWarning:
    """A problem that cost some frames but not the video.

    Args:
        stage: "read" (the container), "decode" (the codec) or "convert" (the pixels).
        reason: What was wrong, in plain words.
        at_ms: Where it was met first, or None where no time is known.
        count: How often the same was met.
    """

    stage: str
    reason: str
    at_ms: int | None = None
    count: int = 1

    def to_json(self) -> dict[str, Any]:
        """Return the warning as a plain JSON document."""
        return {"stage": self.stage, "reason": self.reason, "at_ms": self.at_ms, "count": self.count}


def note(warnings: list[DecodeWarning], found: Iterable[DecodeWarning]) -> None:
    """Add warnings to a list: equal (stage, reason) pairs are merged with a count, the list stays bounded."""
    for warning in found:
        if not _merge(warnings, warning):
            if len(warnings) >= MAX_WARNINGS - 1:
                warning = replace(warning, reason=OVERFLOW)
                if _merge(warnings, replace(warning, stage="decode")):
                    continue
                warning = replace(warning, stage="decode")
            warnings.append(warning)


def _merge(warnings: list[DecodeWarning], new: DecodeWarning) -> bool:
    for place, old in enumerate(warnings):
        if (old.stage, old.reason) == (new.stage, new.reason):
            warnings[place] = replace(old, count=old.count + new.count)
            return True
    return False
