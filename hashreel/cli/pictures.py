"""Thumbnails in terminals that can show pictures: the protocols of kitty and of iTerm2, and sixel."""

from __future__ import annotations

import base64
import io
import os
import sys
from collections.abc import Mapping
from typing import TYPE_CHECKING, Literal

from hashreel.cli.sixel import COLOURS, sixels
from hashreel.cli.terminals import can_show_sixel

if TYPE_CHECKING:
    from PIL.Image import Image

__all__ = ["Protocol", "escape_picture", "protocol_of_terminal"]

Protocol = Literal["kitty", "iterm2", "sixel"]
KITTY_PROGRAMS = frozenset({"ghostty", "WezTerm"})
CHUNK = 4096  # the most that kitty takes in one sequence
COLUMNS = 24
SIXEL_WIDTH = 240  # pixels; about as wide, but a sixel has no other measure


def protocol_of_terminal(environment: Mapping[str, str] = os.environ) -> Protocol | None:
    """Return how the terminal on stdout is sent pictures; None where it cannot, or where stdout is no terminal."""
    if not sys.stdout.isatty():
        return None
    program = environment.get("TERM_PROGRAM", "")
    if program == "iTerm.app":
        return "iterm2"
    name = environment.get("TERM", "")
    if "kitty" in name or "KITTY_WINDOW_ID" in environment or program in KITTY_PROGRAMS:
        return "kitty"
    return "sixel" if can_show_sixel(name) else None


def escape_picture(jpeg: bytes, protocol: Protocol) -> str | None:
    """Return what a terminal shows a JPEG for, 24 columns wide; None if it cannot be had.

    kitty takes PNG and sixel pixels, so that Pillow (of the engine) is needed for them.
    """
    if protocol == "iterm2":
        text = base64.b64encode(jpeg).decode()
        return f"\x1b]1337;File=inline=1;size={len(jpeg)};width={COLUMNS}:{text}\a"
    picture = _opened(jpeg)
    if picture is None:
        return None
    return _kitty(_png(picture)) if protocol == "kitty" else _sixel(picture)


def _kitty(png: bytes) -> str:
    text = base64.b64encode(png).decode()
    parts = [text[start : start + CHUNK] for start in range(0, len(text), CHUNK)]
    sequences = []
    for number, part in enumerate(parts):
        keys = f"f=100,a=T,c={COLUMNS}," if number == 0 else ""
        sequences.append(f"\x1b_G{keys}m={int(number + 1 < len(parts))};{part}\x1b\\")
    return "".join(sequences)


def _sixel(picture: Image) -> str:
    scaled = picture.convert("RGB").resize((SIXEL_WIDTH, max(1, picture.height * SIXEL_WIDTH // picture.width)))
    few = scaled.quantize(COLOURS)
    values = few.getpalette() or []
    palette = [(values[n], values[n + 1], values[n + 2]) for n in range(0, len(values) - 2, 3)]
    return sixels(few.tobytes(), few.width, few.height, palette)


def _png(picture: Image) -> bytes:
    buffer = io.BytesIO()
    picture.save(buffer, "PNG")
    return buffer.getvalue()


def _opened(jpeg: bytes) -> Image | None:
    try:
        from PIL import Image
    except ImportError:
        return None
    return Image.open(io.BytesIO(jpeg))
