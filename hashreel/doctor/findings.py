"""What a check says."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Literal

__all__ = ["Finding", "Level", "error", "ok", "skipped", "warning", "worst"]

Level = Literal["ok", "skipped", "warning", "error"]
_ORDER: tuple[Level, ...] = ("ok", "skipped", "warning", "error")


@dataclass(frozen=True)
class Finding:
    """One thing that was looked at.

    Attributes:
        check: Its name, e.g. ``redis-persistence``; stable.
        level: ``ok``, ``skipped`` (could not be looked at), ``warning`` (works, at a risk) or ``error``.
        said: What was found, with the value.
        advice: What to do; empty unless it is a problem.
    """

    check: str
    level: Level
    said: str
    advice: str = ""

    @property
    def is_problem(self) -> bool:
        """Whether something is to be done."""
        return self.level in {"warning", "error"}


def ok(check: str, said: str) -> Finding:
    """Return that all is well."""
    return Finding(check, "ok", said)


def skipped(check: str, said: str) -> Finding:
    """Return that it could not be looked at, and why."""
    return Finding(check, "skipped", said)


def warning(check: str, said: str, advice: str) -> Finding:
    """Return a risk."""
    return Finding(check, "warning", said, advice)


def error(check: str, said: str, advice: str) -> Finding:
    """Return what keeps Hashreel from working."""
    return Finding(check, "error", said, advice)


def worst(findings: Iterable[Finding]) -> Level:
    """Return the worst level; "ok" of nothing."""
    return max((finding.level for finding in findings), key=_ORDER.index, default="ok")
