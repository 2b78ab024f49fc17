"""What a segmenting model sees in an indexed frame, as a picture to lay over its thumbnail."""

from __future__ import annotations

import colorsys
import io
import threading
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray
from PIL import Image as PilImage

from encoder.analysis import BACKGROUND
from encoder.pictures import load_picture
from hashreel.errors import NotFoundError, UnavailableError
from search.catalogue import Catalogue

if TYPE_CHECKING:
    from encoder.model import Model
    from encoder.transforms import Transform
    from indexer.records import Generation

__all__ = ["Masks", "concept_colour", "draw_mask", "place_masks"]

WIDTH = 480  # of the picture that is looked at: its short side is above what networks take
AT_A_TIME = 1  # forward passes for masks; searches come first
WAIT_S = 10.0
OPACITY = 150
GOLDEN_ANGLE = 137.508 / 360  # neighbours in the list get hues that are far apart

Mask = NDArray[np.uint8]


class Masks(Catalogue):
    """Draws the predicted segmentation of frames, and keeps the pictures beside the thumbnails."""

    _drawing = threading.BoundedSemaphore(AT_A_TIME)

    def mask(self, frame_id: int) -> bytes:
        """Return the predicted mask of an indexed frame: a PNG of the frame's shape, transparent where nothing is seen.

        Raises:
            NotFoundError: If there is no such frame, its source is gone, or its model does not segment.
            UnavailableError: If too many masks are being drawn.
        """
        generation = self._store.generation(self._store.video(frame_id >> 32).generation)
        if not generation.concepts:
            raise NotFoundError(f"model {generation.model} predicts no masks; models of the psp family do")
        return self._thumbnails.get(frame_id, "mask", lambda: self._draw(frame_id, generation))

    def _draw(self, frame_id: int, generation: Generation) -> bytes:
        picture = load_picture(self.thumbnail(frame_id, WIDTH))
        if not self._drawing.acquire(timeout=WAIT_S):
            raise UnavailableError("too many masks are being drawn; try again in a moment")
        try:
            model = self._model_of(generation)
            masks = model.analyse([picture]).masks
        finally:
            self._drawing.release()
        if masks is None:
            raise NotFoundError(f"model {generation.model} predicts no masks")
        height, width = picture.shape[:2]
        return draw_mask(place_masks(masks[0], model.transform, height, width), model.manifest.concepts)

    def _model_of(self, generation: Generation) -> Model:
        raise NotImplementedError


def place_masks(masks: Mask, transform: Transform, height: int, width: int) -> Mask:
    """Return the masks of a picture's crops where they belong in the picture, uint8 [height, width].

    Args:
        masks: uint8 [crops, s, s], class numbers.
        transform: How the picture became crops.
        height: Of the picture.
        width: Of the picture.

    Returns:
        Class numbers; 0 where no crop was.
    """
    canvas = np.zeros((height, width), np.uint8)
    if transform.kind == "letterbox":
        size = transform.size
        w, h = (max(1, round(side * size / max(height, width))) for side in (width, height))
        y, x = (size - h) // 2, (size - w) // 2
        return _resized(masks[0][y : y + h, x : x + w], height, width)
    side = min(height, width)
    for mask, place in zip(masks, (0.5,) if len(masks) == 1 else (0.0, 0.5, 1.0), strict=True):
        y, x = int((height - side) * place), int((width - side) * place)
        canvas[y : y + side, x : x + side] = _resized(mask, side, side)
    return canvas


def draw_mask(mask: Mask, classes: tuple[str, ...] | list[str]) -> bytes:
    """Return a PNG of a mask, one colour a concept; the background is transparent.

    Args:
        mask: uint8 [h, w], class numbers; 0 is transparent, too, where the first class is the background.
        classes: Names by number, the background included.
    """
    picture = PilImage.fromarray(mask)  # putpalette makes it one of mode P
    concepts = [name for name in classes if name != BACKGROUND]
    colours = [concept_colour(concepts.index(name)) if name != BACKGROUND else (0, 0, 0) for name in classes]
    picture.putpalette([channel for colour in colours for channel in colour])
    opacity = bytes(0 if name == BACKGROUND else OPACITY for name in classes)
    buffer = io.BytesIO()
    picture.save(buffer, "PNG", transparency=opacity, optimize=True)
    return buffer.getvalue()


def concept_colour(number: int) -> tuple[int, int, int]:
    """Return the colour of a model's concept, RGB; the page computes the same one (``search/page/concepts.js``)."""
    red, green, blue = colorsys.hls_to_rgb(number * GOLDEN_ANGLE % 1, 0.55, 0.75)
    return round(255 * red), round(255 * green), round(255 * blue)


def _resized(mask: Mask, height: int, width: int) -> Mask:
    return np.asarray(PilImage.fromarray(mask).resize((width, height), PilImage.Resampling.NEAREST))
