"""Thumbnails in terminals that can show pictures: the protocols of kitty and of iTerm2."""

from __future__ import annotations

import base64
import io
import os
import sys
from collections.abc import Callable, Mapping
from typing import Literal

__all__ = ["Protocol", "escape_picture", "protocol_of_terminal"]

Protocol = Literal["kitty", "iterm2"]
KITTY_PROGRAMS = frozenset({"ghostty", "WezTerm"})
CHUNK = 4096  # the most that kitty takes in one sequence
COLUMNS = 24


def protocol_of_terminal(environment: Mapping[str, str] = os.environ) -> Protocol | None:
    """Return how the terminal on stdout is sent pictures; None where it cannot, or where stdout is no terminal."""
    if not sys.stdout.isatty():
        return None
    program = environment.get("TERM_PROGRAM", "")
    if program == "iTerm.app":
        return "iterm2"
    is_kitty = "kitty" in environment.get("TERM", "") or "KITTY_WINDOW_ID" in environment
    return "kitty" if is_kitty or program in KITTY_PROGRAMS else None


def escape_picture(jpeg: bytes, protocol: Protocol) -> str | None:
    """Return what a terminal shows a JPEG for, 24 columns wide; None if it cannot be had.

    kitty takes PNG, so that Pillow (of the engine) is needed there.
    """
    if protocol == "iterm2":
        text = base64.b64encode(jpeg).decode()
        return f"\x1b]1337;File=inline=1;size={len(jpeg)};width={COLUMNS}:{text}\a"
    to_png = _converter()
    return None if to_png is None else _kitty(to_png(jpeg))


def _kitty(png: bytes) -> str:
    text = base64.b64encode(png).decode()
    parts = [text[start : start + CHUNK] for start in range(0, len(text), CHUNK)]
    sequences = []
    for number, part in enumerate(parts):
        keys = f"f=100,a=T,c={COLUMNS}," if number == 0 else ""
        sequences.append(f"\x1b_G{keys}m={int(number + 1 < len(parts))};{part}\x1b\\")
    return "".join(sequences)


def _converter() -> Callable[[bytes], bytes] | None:
    try:
        from PIL import Image
    except ImportError:
        return None

    def to_png(jpeg: bytes) -> bytes:
        buffer = io.BytesIO()
        with Image.open(io.BytesIO(jpeg)) as picture:
            picture.save(buffer, "PNG")
        return buffer.getvalue()

    return to_png
