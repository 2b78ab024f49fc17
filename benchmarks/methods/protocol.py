"""What all methods have in common: data, trunk, split, scores, tuning budget."""

from __future__ import annotations

import hashlib
import json
from dataclasses import asdict, dataclass

__all__ = ["GATES", "MAIN_LENGTH", "Protocol"]

MAIN_LENGTH = 48

GATES = {"itq": 0.45, "lin2015": 0.70}
"""MAP@1000 over hits at 48 bits that the default protocol must reach, or the command fails."""


@dataclass(frozen=True)
class Protocol:
    """The one protocol of a table.

    Attributes:
        trunk: frozen, with its packaged ImageNet weights.
        size: side of the network's input in pixels; CIFAR-10's 32 are scaled up to it.
        gallery: training pictures, which are also what methods learn from; 50,000 is all.
        queries: test pictures, none of them seen before the last evaluation; 10,000 is all.
        held_out: training pictures that judge the trials of tuning, as queries.
        tuning_pictures: further training pictures that the trials learn from and search in.
        tuning_epochs: passes over them in a trial.
        trials: settings that each method may try at most; the best by MAP@1000 / min(K, R) is kept.
        epochs: passes over the gallery in the final training; the rate falls to a tenth after two thirds.
        batch: pictures a step.
        hidden: width of the full layer between inputs and hash layer of trained heads.
        mask_epochs: passes of the segmentation module over the pictures with masks.
        cutoffs: K of the scores.
    """

    trunk: str = "efficientnet-lite0"
    size: int = 112
    gallery: int = 50_000
    queries: int = 10_000
    held_out: int = 2_000
    tuning_pictures: int = 10_000
    tuning_epochs: int = 15
    trials: int = 6
    epochs: int = 15
    batch: int = 128
    hidden: int = 1024
    mask_epochs: int = 30
    cutoffs: tuple[int, ...] = (10, 50, 1000)

    def digest(self) -> str:
        """Return a short name of these settings; results of other settings are never mixed in."""
        return hashlib.sha256(json.dumps(asdict(self), sort_keys=True).encode()).hexdigest()[:12]
