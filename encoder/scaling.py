"""Scaling and colour conversion through swscale: one path for frames of videos and for pictures.

A query picture that was cut from a video must get nearly the code of the frame it was cut from, so both go
through the same filter (area averaging) of the same scaler. All calls use one thread and the bit-exact code
paths: the same input gives the same bytes on every machine.
"""

from __future__ import annotations

from fractions import Fraction

import av
import numpy as np
from av.sidedata.sidedata import SideData
from av.video.reformatter import Colorspace, Interpolation
from numpy.typing import NDArray

from hashreel.errors import BadInputError

__all__ = [
    "LONGEST_OVER_SHORTEST",
    "DisplayMatrix",
    "Image",
    "check_image",
    "display_matrix",
    "display_size",
    "frame_to_rgb",
    "orient",
    "resize",
    "scale_short_side",
    "short_side_size",
]

Image = NDArray[np.uint8]
"""uint8 [h, w, 3], RGB."""

DisplayMatrix = tuple[int, int, int, int]
"""(a, b, c, d) of x' = a·x + c·y, y' = b·x + d·y, with y downwards; only their signs and order of size count."""

# Full chroma: else pairs of pixels share their colour, and a frame differs by several grey levels from a picture
# that was cut from it at full size and scaled then.
AREA = Interpolation.AREA | Interpolation.FULL_CHR_H_INT | Interpolation.ACCURATE_RND | Interpolation.BITEXACT

LONGEST_OVER_SHORTEST = 16
"""A scaled picture's long side is at most this many times the short side that was asked for."""

ODDEST_PIXEL = 16
"""Pixel aspect ratios beyond this, either way, are taken for damage and ignored."""


def check_image(image: NDArray[np.generic]) -> Image:
    """Return ``image`` after checking that it is uint8 [h, w, 3] with h, w >= 1.

    Raises:
        BadInputError: If dtype or shape differ.
    """
    if image.dtype != np.uint8 or image.ndim != 3 or image.shape[2] != 3 or 0 in image.shape:
        raise BadInputError(f"image has dtype {image.dtype} and shape {image.shape}; expected uint8 [h, w, 3]")
    return image.view(np.uint8)


def short_side_size(width: int, height: int, short_side: int) -> tuple[int, int]:
    """Return the (width, height) with the given shorter side and the same aspect.

    The long side is bounded: where it would pass ``LONGEST_OVER_SHORTEST`` times ``short_side``, both sides
    are made smaller, so a frame of 10000 × 1 pixels cannot ask for gigabytes.

    Raises:
        BadInputError: If ``short_side`` is below 1.
    """
    if short_side < 1:
        raise BadInputError(f"short_side is {short_side}; expected at least 1")
    long, short = max(width, height), min(width, height)
    scale = min(Fraction(short_side, short), Fraction(LONGEST_OVER_SHORTEST * short_side, long))
    return max(1, round(width * scale)), max(1, round(height * scale))


def display_size(width: int, height: int, pixel_aspect: Fraction | None) -> tuple[int, int]:
    """Return the size in square pixels of a coded frame, before any rotation.

    Args:
        width: Coded width in pixels.
        height: Coded height in pixels.
        pixel_aspect: Width over height of one pixel; None, 0 and absurd values count as 1.
    """
    if not pixel_aspect or not Fraction(1, ODDEST_PIXEL) <= pixel_aspect <= ODDEST_PIXEL:
        return width, height
    return max(1, round(width * pixel_aspect)), height


def resize(image: Image, width: int, height: int) -> Image:
    """Return ``image``, uint8 [h, w, 3], resized to uint8 [height, width, 3] by area averaging."""
    if (image.shape[1], image.shape[0]) == (width, height):
        return image
    frame = av.VideoFrame.from_ndarray(np.ascontiguousarray(image), format="rgb24")
    return _reformat(frame, width, height, "rgb24")


def scale_short_side(image: Image, size: int) -> Image:
    """Return the picture scaled so that its shorter side is ``size``; aspect kept, long side bounded.

    Args:
        image: uint8 [h, w, 3].
        size: Pixels, at least 1.

    Returns:
        uint8 [h', w', 3]; the same array where nothing is to be done.
    """
    image = check_image(image)
    return resize(image, *short_side_size(image.shape[1], image.shape[0], size))


def frame_to_rgb(
    frame: av.VideoFrame,
    pixel_aspect: Fraction | None = None,
    short_side: int | None = None,
    matrix: DisplayMatrix | None = None,
) -> Image:
    """Return a decoded frame as it is to be shown: RGB, square pixels, upright.

    Args:
        frame: As the decoder gave it, in any pixel format. Transparent pixels are put on white.
        pixel_aspect: The stream's sample aspect ratio, or None.
        short_side: Length of the shorter side in pixels, or None for the frame's own size.
        matrix: How to turn it, from :func:`display_matrix`.

    Returns:
        uint8 [h, w, 3], contiguous.

    Raises:
        av.FFmpegError: If swscale has no conversion from the frame's format.
    """
    width, height = display_size(frame.width, frame.height, pixel_aspect)
    if short_side is not None:
        width, height = short_side_size(width, height, short_side)
    if _is_transparent(frame):
        image = resize(_on_white(_reformat(frame, frame.width, frame.height, "rgba")), width, height)
    else:
        image = _reformat(frame, width, height, "rgb24")
    return orient(image, matrix)


def orient(image: Image, matrix: DisplayMatrix | None) -> Image:
    """Return the picture turned and mirrored as a display matrix says, to the nearest quarter turn.

    Args:
        image: uint8 [h, w, 3].
        matrix: See ``DisplayMatrix``; None for "as it is".
    """
    if matrix is None:
        return np.ascontiguousarray(image)
    a, b, c, d = matrix
    is_turned = abs(b) + abs(c) > abs(a) + abs(d)
    if is_turned:
        image = image.transpose(1, 0, 2)
    mirror_x, mirror_y = (c < 0, b < 0) if is_turned else (a < 0, d < 0)
    return np.ascontiguousarray(image[:: -1 if mirror_y else 1, :: -1 if mirror_x else 1])


def display_matrix(frame: av.VideoFrame) -> DisplayMatrix | None:
    """Return how the frame is to be turned, or None where nothing is said.

    Ask it of few frames: PyAV's list of a frame's side data and the frame hold each other, so the frame stays in
    memory until Python's cycle collector comes by.
    """
    data = frame.side_data.get("DISPLAYMATRIX")
    if not isinstance(data, SideData):
        return None
    a, b, _, c, d = np.frombuffer(bytes(data), dtype=np.int32)[:5].tolist()
    return a, b, c, d


def _reformat(frame: av.VideoFrame, width: int, height: int, pixel_format: str) -> Image:
    try:
        scaled = _scale(frame, width, height, pixel_format, None)
    except av.FFmpegError:
        # swscale knows few colour matrices. Shown with the commonest one, the picture is off in hue, not lost.
        scaled = _scale(frame, width, height, pixel_format, Colorspace.ITU709)
    return scaled.to_ndarray().astype(np.uint8, copy=False)


def _scale(
    frame: av.VideoFrame, width: int, height: int, pixel_format: str, colorspace: Colorspace | None
) -> av.VideoFrame:
    return frame.reformat(
        width=width,
        height=height,
        format=pixel_format,
        interpolation=AREA,
        src_colorspace=colorspace,
        dst_colorspace=colorspace,
        # The pool of workers beside us owns the other cores.
        threads=1,
    )


def _is_transparent(frame: av.VideoFrame) -> bool:
    return frame.format.has_palette or any(part.is_alpha for part in frame.format.components)


def _on_white(rgba: NDArray[np.uint8]) -> Image:
    """Return uint8 [h, w, 3] of uint8 [h, w, 4], laid over white."""
    alpha = rgba[..., 3:].astype(np.uint16)
    if alpha.min() == 255:
        return np.ascontiguousarray(rgba[..., :3])
    mixed = rgba[..., :3] * alpha + 255 * (255 - alpha) + 127
    return (mixed // 255).astype(np.uint8)
