"""Learning curves: every epoch's figures as CSV, and drawn."""

from __future__ import annotations

import csv
from collections.abc import Mapping, Sequence
from pathlib import Path

from PIL import Image, ImageDraw

__all__ = ["draw_curves", "write_curves"]

WIDTH, HEIGHT, MARGIN = 480, 240, 40
INK, LINE = (40, 40, 40), (30, 90, 200)


def write_curves(folder: Path, history: Sequence[Mapping[str, float]]) -> None:
    """Write ``history.csv`` and ``history.png`` into ``folder``.

    Args:
        folder: exists.
        history: one record an epoch, all with the same keys.
    """
    with (folder / "history.csv").open("w", newline="", encoding="utf-8") as file:
        writer = csv.DictWriter(file, fieldnames=list(history[0]))
        writer.writeheader()
        writer.writerows(history)
    draw_curves(history).save(folder / "history.png")


def draw_curves(history: Sequence[Mapping[str, float]]) -> Image.Image:
    """Return one panel a figure, from its first epoch on the left to the last, least and greatest value beside it."""
    names = [name for name in history[0] if name not in ("epoch", "score")]
    image = Image.new("RGB", (WIDTH, HEIGHT * len(names)), "white")
    pen = ImageDraw.Draw(image)
    for number, name in enumerate(names):
        _draw_panel(pen, number * HEIGHT, name, [float(record[name]) for record in history])
    return image


def _draw_panel(pen: ImageDraw.ImageDraw, top: int, name: str, values: list[float]) -> None:
    low, high = min(values), max(values)
    span = high - low or 1.0
    step = (WIDTH - 2 * MARGIN) / max(len(values) - 1, 1)
    bottom = top + HEIGHT - MARGIN
    reach = HEIGHT - 2 * MARGIN
    points = [(MARGIN + i * step, bottom - (value - low) / span * reach) for i, value in enumerate(values)]
    pen.rectangle((MARGIN, top + MARGIN, WIDTH - MARGIN, bottom), outline=INK)
    pen.line(points, fill=LINE, width=2)
    pen.text((MARGIN, top + 12), f"{name}: {values[-1]:.4g} after {len(values)} epochs", fill=INK)
    pen.text((MARGIN + 4, top + MARGIN + 2), f"{high:.4g}", fill=INK)
    pen.text((MARGIN + 4, bottom - 14), f"{low:.4g}", fill=INK)
