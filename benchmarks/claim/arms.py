"""The five arms. They differ in one thing at a time, so that a gain can be put down to something."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

__all__ = ["ARMS", "BASELINES", "PRIMARIES", "PROPOSED", "ArmKind", "arm_names"]

Pretraining = Literal["none", "tags", "masks", "shuffled"]


@dataclass(frozen=True)
class ArmKind:
    """An arm: its letter, what it is, whether it has the pyramid, and what that learned from before the hash phase."""

    name: str
    title: str
    has_pyramid: bool
    pretraining: Pretraining


ARMS: dict[str, ArmKind] = {
    arm.name: arm
    for arm in (
        ArmKind("A", "[18], image-level", has_pyramid=False, pretraining="none"),
        ArmKind("B", "pyramid, untrained", has_pyramid=True, pretraining="none"),
        ArmKind("C", "pyramid, trained on tags", has_pyramid=True, pretraining="tags"),
        ArmKind("D", "pyramid, trained on masks", has_pyramid=True, pretraining="masks"),
        ArmKind("E", "pyramid, trained on shuffled masks", has_pyramid=True, pretraining="shuffled"),
    )
}

PROPOSED = "D"
PRIMARIES = ("C", "B")
"""The claim holds if masks beat both: tags of the same pictures (data) and the bare pyramid (capacity)."""

BASELINES = (*PRIMARIES, "E", "A")


def arm_names() -> list[str]:
    """Return the letters of the arms in order."""
    return list(ARMS)
