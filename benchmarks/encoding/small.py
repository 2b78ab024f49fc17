"""Units of work with next to no work."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from PIL import Image

__all__ = ["small_pictures"]


def small_pictures(folder: Path, count: int = 200) -> None:
    """Write folders of one small picture each."""
    for number in range(count):
        (folder / f"{number:03}").mkdir(parents=True)
        pixels = np.random.default_rng(number).integers(0, 256, (16, 16, 3), dtype=np.uint8)
        Image.fromarray(pixels).save(folder / f"{number:03}/0.png")
