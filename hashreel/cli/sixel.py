"""Pictures as sixels: text that terminals in the line of DEC's VT340 show as pixels.

A picture is bands of six rows. In a band each colour is written over its whole width, a character a column, whose six
bits say which of the rows have the colour there.

[0] VT330/VT340 Programmer Reference Manual, volume 2, chapter 14, 1988, https://vt100.net/docs/vt3xx-gp/chapter14.html
"""

from __future__ import annotations

from collections.abc import Sequence
from itertools import groupby

__all__ = ["sixels"]

BAND = 6
COLOURS = 256
LEAST_RUN = 4  # "!3?" is no shorter than "???"


def sixels(pixels: bytes, width: int, height: int, palette: Sequence[tuple[int, int, int]]) -> str:
    """Return the escape sequence that shows a picture.

    Args:
        pixels: Indices into the palette, row by row, ``width * height`` of them.
        width: In pixels.
        height: In pixels.
        palette: Red, green and blue of up to 256 colours, 0 to 255 each.
    """
    colours = "".join(f"#{n};2;{_percent(r)};{_percent(g)};{_percent(b)}" for n, (r, g, b) in enumerate(palette))
    bands = (_band(pixels[top * width : (top + BAND) * width], width) for top in range(0, height, BAND))
    return f'\x1bP0;1;0q"1;1;{width};{height}{colours}{"-".join(bands)}\x1b\\'


def _percent(value: int) -> int:
    return round(100 * value / 255)


def _band(pixels: bytes, width: int) -> str:
    """Return up to six rows; colours are parted by a return to the left margin."""
    columns: dict[int, bytearray] = {}
    for place, colour in enumerate(pixels):
        if colour not in columns:
            columns[colour] = bytearray(width)
        columns[colour][place % width] |= 1 << place // width
    return "$".join(f"#{colour}{_runs(bits)}" for colour, bits in sorted(columns.items()))


def _runs(bits: bytearray) -> str:
    parts = []
    for value, run in groupby(bits):
        length, letter = sum(1 for _ in run), chr(63 + value)
        parts.append(f"!{length}{letter}" if length >= LEAST_RUN else letter * length)
    return "".join(parts)
