"""Line charts as inline SVG: no scripts, no fonts to load, colours by class so that the page's style rules."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from html import escape

from search.evaluation.groups import FloatArray

__all__ = ["Series", "line_chart"]

WIDTH, HEIGHT = 460, 300
LEFT, RIGHT, TOP, BOTTOM = 52, 14, 48, 44
MAX_SERIES = 6
LEGEND_COLUMNS = 3


@dataclass(frozen=True)
class Series:
    """A line: its name and its points, float64 [m] each; points with NaN are left out."""

    name: str
    xs: FloatArray
    ys: FloatArray


def line_chart(title: str, x_label: str, y_label: str, series: Sequence[Series], *, x_log: bool = False) -> str:
    """Return an SVG chart of shares (y from 0 to 1) over x; up to six lines, told apart by colour and dash.

    Args:
        title: for readers who do not see it.
        x_label: below the axis.
        y_label: beside the axis.
        series: the lines.
        x_log: whether x runs by its logarithm; x must be positive then.
    """
    lines = [_points(s) for s in series[:MAX_SERIES]]
    xs = [x for line in lines for x, _ in line]
    low, high = (min(xs), max(xs)) if xs else (1.0, 10.0)
    scale = _Scale(low if x_log else min(0.0, low), high, x_log)
    parts = [
        f'<svg viewBox="0 0 {WIDTH} {HEIGHT}" role="img" aria-label="{escape(title)}" class="chart">',
        *_axes(scale, x_label, y_label),
        *(_line(line, scale, number) for number, line in enumerate(lines)),
        *_legend([s.name for s in series[:MAX_SERIES]]),
        "</svg>",
    ]
    return "".join(parts)


@dataclass(frozen=True)
class _Scale:
    low: float
    high: float
    log: bool

    def x(self, value: float) -> float:
        low, high, at = (math.log(v) if self.log else v for v in (self.low, self.high, value))
        share = (at - low) / (high - low) if high > low else 0.5
        return LEFT + share * (WIDTH - LEFT - RIGHT)

    def y(self, value: float) -> float:
        return TOP + (1 - value) * (HEIGHT - TOP - BOTTOM)

    def ticks(self) -> list[float]:
        if self.high <= self.low:
            return [self.low]
        if self.log:
            first, last = math.floor(math.log10(self.low)), math.ceil(math.log10(self.high))
            steps = (m * 10.0**e for e in range(first, last + 1) for m in (1, 2, 5))
            return [tick for tick in steps if self.low <= tick <= self.high]
        step = _nice_step((self.high - self.low) / 5)
        first_tick = math.ceil(self.low / step - 1e-9)
        return [step * i for i in range(first_tick, math.floor(self.high / step + 1e-9) + 1)]


def _nice_step(rough: float) -> float:
    unit = 10.0 ** math.floor(math.log10(rough))
    return next(m * unit for m in (1.0, 2.0, 5.0, 10.0) if m * unit >= rough * (1 - 1e-9))


def _points(series: Series) -> list[tuple[float, float]]:
    pairs = zip(series.xs.tolist(), series.ys.tolist(), strict=True)
    return [(float(x), float(y)) for x, y in pairs if math.isfinite(x) and math.isfinite(y)]


def _axes(scale: _Scale, x_label: str, y_label: str) -> list[str]:
    bottom, right = HEIGHT - BOTTOM, WIDTH - RIGHT
    parts = []
    for share in (0.0, 0.25, 0.5, 0.75, 1.0):
        y = scale.y(share)
        parts.append(f'<path class="grid" d="M{LEFT} {y:.1f}H{right}"/>')
        parts.append(f'<text class="tick" x="{LEFT - 6}" y="{y + 4:.1f}" text-anchor="end">{share:.0%}</text>')
    for tick in scale.ticks():
        x = scale.x(tick)
        parts.append(f'<path class="grid" d="M{x:.1f} {TOP}V{bottom}"/>')
        parts.append(f'<text class="tick" x="{x:.1f}" y="{bottom + 16}" text-anchor="middle">{tick:g}</text>')
    middle = (LEFT + right) / 2
    parts.append(f'<text x="{middle:.0f}" y="{HEIGHT - 8}" text-anchor="middle">{escape(x_label)}</text>')
    centre = (TOP + bottom) / 2
    turn = f'transform="rotate(-90 12 {centre:.0f})"'
    parts.append(f'<text x="12" y="{centre:.0f}" text-anchor="middle" {turn}>{escape(y_label)}</text>')
    return parts


def _line(points: Sequence[tuple[float, float]], scale: _Scale, number: int) -> str:
    path = "L".join(f"{scale.x(x):.1f} {scale.y(y):.1f}" for x, y in points)
    return f'<path class="line line{number}" d="M{path}"/>' if path else ""


def _legend(names: Sequence[str]) -> list[str]:
    parts = []
    step = (WIDTH - LEFT - RIGHT) // LEGEND_COLUMNS
    for number, name in enumerate(names):
        row, column = divmod(number, LEGEND_COLUMNS)
        x, y = LEFT + step * column, 16 + 18 * row
        parts.append(f'<path class="line line{number}" d="M{x} {y - 4}h22"/>')
        parts.append(f'<text class="tick" x="{x + 28}" y="{y}">{escape(name[:18])}</text>')
    return parts
