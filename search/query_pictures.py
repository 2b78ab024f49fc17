"""From a query's picture to pixels."""

from __future__ import annotations

import base64

from encoder.pictures import crop_square, load_picture
from encoder.scaling import Image
from hashreel.errors import BadInputError, TooLargeError
from hashreel.schemas import Query

__all__ = ["query_picture"]


def query_picture(query: Query, max_pixels: int) -> Image:
    """Return the picture of a query, or the square around its box, uint8 [h, w, 3].

    Raises:
        BadInputError: If it is not base64, or the box lies outside.
        DecodeError: If it is no picture.
        TooLargeError: If it has more than ``max_pixels``; the message names the setting.
    """
    try:
        raw = base64.b64decode(query.image or "", validate=True)
    except ValueError as exc:  # binascii.Error, or a letter beyond ASCII
        raise BadInputError("image is not base64; send the bytes of a picture file, base64-encoded") from exc
    try:
        picture = load_picture(raw, max_pixels=max_pixels)
    except TooLargeError as exc:
        raise TooLargeError(f"{exc} (max_picture_pixels, HASHREEL_MAX_PICTURE_PIXELS)") from exc
    return picture if query.box is None else crop_square(picture, query.box)
