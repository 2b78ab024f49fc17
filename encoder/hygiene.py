"""Key-frames that a search gains little from: black, blank, frozen, and near-duplicates within a shot.

They are recognised from the pixels alone, before the network, and always counted; whether they get a code all
the same is the policy's ``drop``. What is found does not depend on what is dropped.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Iterator
from dataclasses import dataclass, field

import numpy as np
from PIL import Image as Pillow

from encoder.policies import Flaw
from encoder.scaling import Image
from encoder.video import KeyFrame

__all__ = ["Sieve"]

SIDE = 32
"""Frames are compared as grey pictures of SIDE x SIDE: small enough that coding noise averages out."""
BLACK_LUMA = 32.0
BLACK_SHARE = 0.98
"""Black: this share of the pixels is at most that bright, of 255; the defaults of FFmpeg's blackframe filter."""
BLANK_RANGE = 12.0
"""Blank: in every colour channel the pixels between the 2nd and the 98th percentile span at most so many levels."""
FROZEN_MEAN, FROZEN_MAX = 0.75, 6.0
"""Frozen: so little differs from the key-frame before, on average and at most, that only coding noise is left."""
DUPLICATE_MEAN, DUPLICATE_MAX = 4.0, 48.0
"""A near-duplicate: no more differs from the last distinct key-frame of the same shot."""


@dataclass
class Sieve:
    """Judges the key-frames of one chunk in their order.

    Args:
        drop: Kinds of frames that get no code.
        is_sequence: Whether each frame follows the one before in time. The pictures of a folder do not: they are
            judged one by one, as black or blank only.

    Attributes:
        found: How many frames of each kind there were, dropped or not.
    """

    drop: Collection[Flaw] = ()
    is_sequence: bool = True
    found: Counter[str] = field(default_factory=Counter)
    _before: np.ndarray | None = field(default=None, repr=False)
    _distinct: np.ndarray | None = field(default=None, repr=False)

    def keep(self, frames: Iterator[KeyFrame]) -> Iterator[KeyFrame]:
        """Yield the frames that get a code, and count the others with them."""
        for frame in frames:
            flaw = self.judge(frame.image)
            if flaw is not None:
                self.found[flaw] += 1
            if flaw not in self.drop:
                yield frame

    def judge(self, image: Image) -> Flaw | None:
        """Return what is the matter with the next frame, the first of FLAWS that fits; None if nothing is.

        Args:
            image: uint8 [h, w, 3] RGB.
        """
        luma, spread = _small(image)
        before, self._before = self._before, luma
        if np.mean(luma <= BLACK_LUMA) >= BLACK_SHARE:
            # What comes after black is another shot.
            self._distinct = None
            return "black"
        if spread <= BLANK_RANGE:
            self._distinct = None
            return "blank"
        if not self.is_sequence:
            return None
        if _differ_little(luma, before, FROZEN_MEAN, FROZEN_MAX):
            return "frozen"
        if _differ_little(luma, self._distinct, DUPLICATE_MEAN, DUPLICATE_MAX):
            return "duplicate"
        self._distinct = luma
        return None


def _small(image: Image) -> tuple[np.ndarray, float]:
    """Return the luma as float32 [SIDE, SIDE], and the widest range of a colour channel's middle 96 %."""
    small = np.asarray(Pillow.fromarray(image).resize((SIDE, SIDE), Pillow.Resampling.BOX), np.float32)
    low, high = np.percentile(small.reshape(-1, 3), (2, 98), axis=0)
    return small @ np.array([0.299, 0.587, 0.114], np.float32), float(np.max(high - low))


def _differ_little(luma: np.ndarray, other: np.ndarray | None, mean: float, most: float) -> bool:
    if other is None:
        return False
    difference = np.abs(luma - other)
    return bool(difference.mean() <= mean and difference.max() <= most)
