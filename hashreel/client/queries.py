"""Turns what a user searches with into a query: files, bytes, pictures in memory, frames and codes."""

from __future__ import annotations

import base64
import binascii
import io
import os
import struct
import zlib
from pathlib import Path
from typing import Any, TypeAlias

from pydantic import ValidationError

from hashreel.errors import BadInputError
from hashreel.schemas import HitModel, Query

__all__ = ["QueryLike", "query_of"]

QueryLike: TypeAlias = "str | os.PathLike[str] | bytes | HitModel | Any | None"
"""A path, picture bytes, a PIL or numpy picture, a hit, ``"frame:ID"``, ``"code:HEX"`` or a picture's URL."""

ACCEPTED = "accepted are a path, picture bytes, a PIL or numpy picture, a hit, 'frame:ID', 'code:HEX' and URLs"


def query_of(value: QueryLike, box: tuple[float, float, float, float] | None = None) -> Query:
    """Return the query for ``value``; text that names an existing file is that file.

    Args:
        value: What to search for; None where concepts are searched for by themselves, or frames like marked ones.
        box: x, y, width, height in [0, 1] of the part of the picture to search for.

    Raises:
        BadInputError: if the file is missing or the value is of no accepted form.
    """
    fields = _fields(value)
    try:
        return Query.model_validate({**fields, "box": box})
    except ValidationError as exc:
        reasons = "; ".join(item["msg"] for item in exc.errors(include_url=False))
        raise BadInputError(f"the query is refused: {reasons}") from exc


def _fields(value: QueryLike) -> dict[str, str]:
    if value is None:
        return {}
    if isinstance(value, HitModel):
        return {"frame": value.frame_id}
    if isinstance(value, str | os.PathLike):
        return _from_text(os.fspath(value))
    return {"image": base64.b64encode(_picture_bytes(value)).decode()}


def _from_text(text: str) -> dict[str, str]:
    path = Path(text)
    if "\0" not in text and path.is_file():
        return {"image": base64.b64encode(path.read_bytes()).decode()}
    prefix, _, rest = text.partition(":")
    if prefix.lower() in {"http", "https"} and rest.startswith("//"):
        return {"url": f"{prefix.lower()}:{rest}"}
    if prefix in {"frame", "code"} and rest:
        return {prefix: rest}
    what = "is a folder, not a picture" if "\0" not in text and path.is_dir() else "does not exist"
    raise BadInputError(f"{text[:200]!r} {what}; {ACCEPTED}")


def _picture_bytes(value: Any) -> bytes:
    if isinstance(value, bytes | bytearray | memoryview):
        return bytes(value)
    if hasattr(value, "save") and hasattr(value, "mode"):
        buffer = io.BytesIO()
        picture = value if value.mode in {"1", "L", "LA", "RGB", "RGBA", "P"} else value.convert("RGB")
        # PNG, since a second lossy step would move the picture away from what is indexed.
        picture.save(buffer, "PNG", compress_level=1)
        return buffer.getvalue()
    if hasattr(value, "__array_interface__"):
        return _png(value)
    raise BadInputError(f"a query of type {type(value).__name__} is not understood; {ACCEPTED}")


def _png(array: Any) -> bytes:
    """Return a numpy picture as PNG, without needing Pillow.

    Args:
        array: uint8[height, width], or uint8[height, width, 1, 3 (RGB) or 4 (RGBA)].
    """
    shape = tuple(array.shape)
    channels = shape[2] if len(shape) == 3 else 1
    if str(array.dtype) != "uint8" or len(shape) not in {2, 3} or channels not in {1, 3, 4} or 0 in shape:
        raise BadInputError(
            f"the array is {array.dtype}{list(shape)}; accepted are uint8[height, width] and "
            "uint8[height, width, 3] in RGB order (or 4 with alpha)"
        )
    height, width = shape[:2]
    pixels = array.tobytes()
    stride = width * channels
    lines = b"".join(b"\0" + pixels[row * stride : (row + 1) * stride] for row in range(height))
    color_type = {1: 0, 3: 2, 4: 6}[channels]
    header = struct.pack(">IIBBBBB", width, height, 8, color_type, 0, 0, 0)
    chunks = ((b"IHDR", header), (b"IDAT", zlib.compress(lines, 1)), (b"IEND", b""))
    return b"\x89PNG\r\n\x1a\n" + b"".join(_png_chunk(kind, data) for kind, data in chunks)


def _png_chunk(kind: bytes, data: bytes) -> bytes:
    return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", binascii.crc32(kind + data))
