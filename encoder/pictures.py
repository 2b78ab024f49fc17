"""Pictures from files, uploads and arrays: to upright RGB, whatever the file holds, or a clear error."""

from __future__ import annotations

import io
import math
import os
import re
import struct
import zlib
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import IO, Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image as PilImage
from PIL import ImageOps, UnidentifiedImageError

from encoder.containers import check_file
from encoder.scaling import Image, check_image, scale_short_side
from hashreel.errors import BadInputError, DecodeError, HashreelError, NotFoundError, TooLargeError

__all__ = [
    "MAX_PIXELS",
    "PICTURE_SUFFIXES",
    "FolderPicture",
    "PictureSource",
    "crop_box",
    "crop_square",
    "encode_jpeg",
    "encode_png",
    "iter_picture_folder",
    "load_picture",
    "natural_key",
    "picture_names",
    "scale_short_side",
]

MAX_PIXELS = 80_000_000
"""Default limit on width × height; decoded, such a picture takes 240 MB. Below Pillow's own alarm."""

PICTURE_SUFFIXES = frozenset({".bmp", ".jpeg", ".jpg", ".png", ".tif", ".tiff", ".webp"})
"""What counts as a key-frame by its name. No .gif: a gif in an archive is a short film more often than a key-frame."""

# Only formats with decoders of their own: others (EPS, PDF, WMF, ...) start programs or draw vector graphics. And no
# icons: Pillow decodes what is inside of one before it says how large that is.
FORMATS = ("AVIF", "BMP", "GIF", "JPEG", "JPEG2000", "PNG", "PPM", "TGA", "TIFF", "WEBP")

PictureSource = bytes | str | os.PathLike[str] | NDArray[Any] | PilImage.Image

# What Pillow's decoders raise on damaged data; the warning where a program turns warnings into errors.
DAMAGE = (
    *(ArithmeticError, EOFError, LookupError, OSError, RuntimeError, SyntaxError, TypeError, ValueError),
    *(struct.error, zlib.error, UserWarning),
)
BOMB = (PilImage.DecompressionBombError, PilImage.DecompressionBombWarning)


@dataclass(frozen=True, slots=True, eq=False)
class FolderPicture:
    """One file of a folder of key-frames: the picture, or why there is none.

    Args:
        index: Place in the folder's order, from 0.
        name: The file's name.
        image: uint8 [h, w, 3] RGB, or None.
        error: What was wrong with the file, or None.
    """

    index: int
    name: str
    image: Image | None
    error: HashreelError | None


def load_picture(source: PictureSource, *, max_pixels: int = MAX_PIXELS) -> Image:
    """Return a picture as upright RGB.

    The camera's orientation (EXIF) is applied, transparent parts are put on white, grey and palette pictures,
    CMYK and 16 bits a channel are converted; of an animation or a multi-page file the first picture counts.

    Args:
        source: The bytes of a picture file, the path of one (str or path object), a Pillow image, or an
            array: uint8 or uint16, [h, w], [h, w, 1], [h, w, 3] RGB or [h, w, 4] RGBA.
        max_pixels: Limit on width × height, checked before any pixel is decoded.

    Returns:
        uint8 [h, w, 3], contiguous.

    Raises:
        DecodeError: If the data is empty, no picture of a known format, or damaged.
        TooLargeError: If the picture has more than ``max_pixels``.
        NotFoundError: If there is no such file.
        ForbiddenError: If it may not be read.
        UnavailableError: If reading it fails in another way.
        BadInputError: If an array has another dtype or shape.
    """
    if isinstance(source, np.ndarray):
        return _from_array(source, max_pixels)
    if isinstance(source, PilImage.Image):
        return _to_rgb(source, "picture", max_pixels)
    if isinstance(source, bytes | bytearray | memoryview):
        return _from_file(io.BytesIO(source), "picture", max_pixels)
    return _from_path(Path(source), max_pixels)


def crop_box(image: Image, box: tuple[float, float, float, float]) -> Image:
    """Return the part of a picture inside a box.

    Args:
        image: uint8 [h, w, 3].
        box: (x, y, w, h) in [0, 1], relative to the picture's width and height; x, y is the upper left corner.

    Returns:
        uint8 [h', w', 3], a copy; every pixel that the box touches, so at least one.

    Raises:
        BadInputError: If the box is not four finite numbers, has no area, or reaches outside the picture.
    """
    rows, columns = _box_pixels(image, box)
    return image[rows, columns].copy()


def crop_square(image: Image, box: tuple[float, float, float, float]) -> Image:
    """Return the smallest square around a box, moved into the picture; where it does not fit, as much of it as does.

    Networks look at squares: of a long box alone they would see its middle, or bars. What lies beside it tells them
    more (measured by ``benchmarks.default_model``).

    Args:
        image: uint8 [h, w, 3].
        box: as of :func:`crop_box`.

    Returns:
        uint8 [h', w', 3], a copy.

    Raises:
        BadInputError: as :func:`crop_box`.
    """
    rows, columns = _box_pixels(image, box)
    side = max(rows.stop - rows.start, columns.stop - columns.start)
    height, width = image.shape[:2]
    return image[_grown(rows, side, height), _grown(columns, side, width)].copy()


def _grown(part: slice, side: int, limit: int) -> slice:
    """Return ``side`` pixels around the middle of a part, moved and cut to lie within 0 to ``limit``."""
    side = min(side, limit)
    start = min(max(part.start - (side - (part.stop - part.start)) // 2, 0), limit - side)
    return slice(start, start + side)


def _box_pixels(image: Image, box: tuple[float, float, float, float]) -> tuple[slice, slice]:
    """Return rows and columns of the pixels that a box touches.

    Raises:
        BadInputError: If the box is not four finite numbers, has no area, or reaches outside the picture.
    """
    height, width = check_image(image).shape[:2]
    if len(box) != 4 or not all(math.isfinite(value) for value in box):
        raise BadInputError(f"box is {box}; expected four numbers x, y, w, h in [0, 1]")
    x, y, w, h = box
    # A hair of tolerance: 0.7 + 0.3 may come out just above 1.
    if x < 0 or y < 0 or w <= 0 or h <= 0 or x + w > 1 + 1e-6 or y + h > 1 + 1e-6:
        raise BadInputError(f"box is {box}; expected x, y >= 0, w, h > 0, x + w <= 1 and y + h <= 1")
    return _touched(y, h, height), _touched(x, w, width)


def encode_jpeg(image: Image, quality: int = 85) -> bytes:
    """Return a picture, uint8 [h, w, 3] RGB, as the bytes of a JPEG file.

    Raises:
        BadInputError: If the image is of another form, larger than JPEG's 65,535 pixels a side, or
            ``quality`` is outside 1 to 95.
    """
    if not 1 <= quality <= 95:
        raise BadInputError(f"JPEG quality is {quality}; accepted: 1 to 95")
    if max(check_image(image).shape) > 65_535:
        raise BadInputError(f"image has shape {image.shape}; JPEG allows 65535 pixels a side")
    buffer = io.BytesIO()
    PilImage.fromarray(np.ascontiguousarray(image)).save(buffer, "JPEG", quality=quality)
    return buffer.getvalue()


def encode_png(image: Image) -> bytes:
    """Return a picture as PNG, pixel for pixel.

    Args:
        image: uint8 [h, w, 3] RGB.
    """
    buffer = io.BytesIO()
    PilImage.fromarray(check_image(image)).save(buffer, "PNG", compress_level=3)
    return buffer.getvalue()


def picture_names(folder: str | os.PathLike[str]) -> list[str]:
    """Return the names of a folder's files in natural order (``frame2`` before ``frame10``).

    Sub-folders and hidden files are left out; every other file counts as a picture, whatever its suffix.

    Raises:
        NotFoundError: If there is no such folder.
        BadInputError: If it is not a folder.
    """
    path = Path(folder)
    try:
        entries = [entry.name for entry in os.scandir(path) if not entry.name.startswith(".") and entry.is_file()]
    except FileNotFoundError as exc:
        raise NotFoundError(f"{path.name}: there is no such folder") from exc
    except NotADirectoryError as exc:
        raise BadInputError(f"{path.name}: this is a file, not a folder of pictures") from exc
    return sorted(entries, key=natural_key)


def iter_picture_folder(folder: str | os.PathLike[str], *, max_pixels: int = MAX_PIXELS) -> Iterator[FolderPicture]:
    """Yield the pictures of a folder in natural order, one in memory at a time; damaged ones with their error.

    Raises:
        NotFoundError: If there is no such folder.
        BadInputError: If it is not a folder.
    """
    for index, name in enumerate(picture_names(folder)):
        try:
            image = load_picture(Path(folder) / name, max_pixels=max_pixels)
        except HashreelError as error:
            yield FolderPicture(index, name, None, error)
        else:
            yield FolderPicture(index, name, image, None)


def natural_key(name: str) -> tuple[list[tuple[int, int, str]], str]:
    """Return what names are sorted by in natural order: ``frame2`` before ``frame10``."""
    parts = re.split(r"(\d+)", name)
    key = [(1, int(part), "") if part.isdecimal() else (2, 0, part.casefold()) for part in parts if part]
    # Names that differ in case or leading zeros only still have one order.
    return key, name


def _touched(start: float, length: float, pixels: int) -> slice:
    first = min(int(start * pixels), pixels - 1)
    # 1e-6 again: 0.3 of 10 pixels is 3 pixels, not 3.0000000000000004.
    return slice(first, min(max(first + 1, math.ceil((start + length) * pixels - 1e-6)), pixels))


def _from_path(path: Path, max_pixels: int) -> Image:
    with check_file(path).open("rb") as file:
        return _from_file(file, path.name, max_pixels)


@cache
def _known_formats() -> list[str]:
    # A build of Pillow may lack one of them, and refuses even the others if it is named.
    PilImage.init()
    return [name for name in FORMATS if name in PilImage.OPEN]


def _from_file(file: IO[bytes], name: str, max_pixels: int) -> Image:
    if not file.read(1):
        raise DecodeError(f"{name}: the file is empty")
    file.seek(0)
    try:
        with PilImage.open(file, formats=_known_formats()) as picture:
            return _to_rgb(picture, name, max_pixels)
    except UnidentifiedImageError as exc:
        raise DecodeError(f"{name}: not a picture of a known format ({', '.join(_known_formats())})") from exc
    except BOMB as exc:
        raise TooLargeError(f"{name}: the picture has more pixels than {max_pixels}, the limit") from exc
    except HashreelError:
        raise
    except DAMAGE as exc:
        raise DecodeError(f"{name}: the picture is damaged ({exc})") from exc


def _to_rgb(picture: PilImage.Image, name: str, max_pixels: int) -> Image:
    _check_size(picture.width, picture.height, name, max_pixels)
    picture.load()
    picture = _upright(picture)
    if picture.mode.startswith("I"):
        return _from_array(_sixteen_bits(picture), max_pixels)
    if picture.mode == "F":
        raise DecodeError(f"{name}: pictures of floating point values are not accepted; convert it to 8 bits")
    if picture.has_transparency_data:
        white = PilImage.new("RGBA", picture.size, "white")
        picture = PilImage.alpha_composite(white, picture.convert("RGBA"))
    return np.array(picture.convert("RGB"))


def _upright(picture: PilImage.Image) -> PilImage.Image:
    try:
        return ImageOps.exif_transpose(picture)
    except DAMAGE:
        # The pixels are fine, only the note about the camera's orientation is not.
        return picture


def _sixteen_bits(picture: PilImage.Image) -> NDArray[np.uint16]:
    values: NDArray[np.uint16] = np.clip(np.asarray(picture), 0, 65_535).astype(np.uint16)
    return values


def _from_array(array: NDArray[Any], max_pixels: int) -> Image:
    if array.ndim not in (2, 3) or array.dtype not in (np.uint8, np.uint16) or 0 in array.shape:
        raise BadInputError(
            f"picture array has dtype {array.dtype} and shape {array.shape}; expected uint8 or uint16, [h, w], "
            "[h, w, 1], [h, w, 3] or [h, w, 4]"
        )
    _check_size(array.shape[1], array.shape[0], "picture array", max_pixels)
    if array.dtype == np.uint16:
        array = ((array.astype(np.uint32) + 128) // 257).astype(np.uint8)
    channels = 1 if array.ndim == 2 else array.shape[2]
    if channels == 1:
        return np.repeat(array.reshape(*array.shape[:2], 1), 3, axis=2)
    if channels == 4:
        return _to_rgb(PilImage.fromarray(np.ascontiguousarray(array)), "picture array", max_pixels)
    return np.ascontiguousarray(check_image(array))


def _check_size(width: int, height: int, name: str, max_pixels: int) -> None:
    if width * height > max_pixels:
        raise TooLargeError(f"{name}: the picture has {width} × {height} pixels; the limit is {max_pixels} in all")
    if width * height == 0:
        raise DecodeError(f"{name}: the picture has no pixels")
