"""From a picture of any size to the network's square input: the transform is part of a model.

Every transform first scales the shorter side to its own size and works on from there. Frames of a video that
were decoded at that short side already, and pictures of any size, thus take the same way: applying a transform
to a picture and to the same picture scaled by ``scale_short_side`` gives the same bytes. Against a frame that
was scaled straight from the decoder's YUV the difference is the scaler's rounding, one or two grey levels.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal, get_args

import numpy as np
from numpy.typing import NDArray

from encoder.scaling import Image, resize, scale_short_side
from hashreel.errors import BadInputError

__all__ = ["MAX_SIZE", "MIN_SIZE", "Transform", "TransformKind"]

TransformKind = Literal["centre", "letterbox", "three"]

MIN_SIZE = 8
MAX_SIZE = 1024

PADDING = 128
"""Grey level of a letterbox's bars: about the mean that networks subtract."""


@dataclass(frozen=True, slots=True)
class Transform:
    """How a picture becomes the network's input.

    Args:
        kind: "centre": the square window at the centre with the picture's smaller dimension [0].
            "letterbox": the whole picture, with grey bars. "three": three square windows along the longer
            side, at its start, centre and end; the model averages their outputs.
        size: Side of the network's input in pixels, 8 to 1024.

    Raises:
        BadInputError: If kind or size is not accepted.

    Source:
        [0] Gkountakos et al., Incorporation of Semantic Segmentation Information in Deep Hashing Techniques
        for Image Retrieval, 2018.
    """

    kind: TransformKind = "centre"
    size: int = 224

    def __post_init__(self) -> None:
        if self.kind not in get_args(TransformKind):
            raise BadInputError(f"transform kind is {self.kind!r}; accepted: {', '.join(get_args(TransformKind))}")
        if isinstance(self.size, bool) or not isinstance(self.size, int):
            raise BadInputError(f"transform size is {self.size!r}; expected a whole number of pixels")
        if not MIN_SIZE <= self.size <= MAX_SIZE:
            raise BadInputError(f"transform size is {self.size}; accepted: {MIN_SIZE} to {MAX_SIZE}")

    @property
    def num_crops(self) -> int:
        """How many inputs one picture gives: 3 for "three", else 1."""
        return 3 if self.kind == "three" else 1

    def apply(self, image: Image) -> NDArray[np.uint8]:
        """Return the network's inputs for one picture.

        Args:
            image: uint8 [h, w, 3] RGB, any size.

        Returns:
            uint8 [num_crops, size, size, 3], contiguous.

        Raises:
            BadInputError: If the image is of another dtype or shape.
        """
        scaled = scale_short_side(image, self.size)
        if self.kind == "letterbox":
            return self._letterbox(scaled)[None]
        places = (0.0, 0.5, 1.0) if self.kind == "three" else (0.5,)
        return np.stack([self._window(scaled, place) for place in places])

    def to_json(self) -> dict[str, Any]:
        """Return the transform as a plain JSON document; :meth:`from_json` reads it back."""
        return {"kind": self.kind, "size": self.size}

    @classmethod
    def from_json(cls, document: Mapping[str, Any]) -> Transform:
        """Return the transform that :meth:`to_json` wrote.

        Raises:
            BadInputError: If a field is missing, unknown or out of range.
        """
        if set(document) != {"kind", "size"}:
            raise BadInputError(f"transform has fields {sorted(document)}; expected kind and size")
        return cls(document["kind"], document["size"])

    def _window(self, image: Image, place: float) -> Image:
        """Return the square window at ``place`` (0 start, 1 end) of the longer side, size × size."""
        height, width = image.shape[:2]
        side = min(height, width)
        y, x = int((height - side) * place), int((width - side) * place)
        # A side other than `size` is left only where the scaler's bound on the long side came in.
        return resize(image[y : y + side, x : x + side], self.size, self.size)

    def _letterbox(self, image: Image) -> Image:
        height, width = image.shape[:2]
        longest = max(height, width)
        inner_w = max(1, round(width * self.size / longest))
        inner_h = max(1, round(height * self.size / longest))
        canvas = np.full((self.size, self.size, 3), PADDING, dtype=np.uint8)
        y, x = (self.size - inner_h) // 2, (self.size - inner_w) // 2
        canvas[y : y + inner_h, x : x + inner_w] = resize(image, inner_w, inner_h)
        return canvas
