"""The frame of a chart as SVG: coordinates, ticks, axes and the enclosing picture."""

from __future__ import annotations

import html
import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import TypeVar

import numpy as np
import numpy.typing as npt

from chainrule.display.format import number, short

Floats = npt.NDArray[np.float64]
Number = TypeVar("Number", float, Floats)

LOG_RANGE = 30.0  # above this ratio of largest to smallest the axis is logarithmic
LARGEST, SMALLEST = 1e300, 1e-300  # beyond them a value leaves a gap, or the axis is linear
LEFT, RIGHT, TOP, BOTTOM = 84, 18, 34, 46  # margins, pixels


@dataclass(frozen=True, slots=True)
class Frame:
    """The rectangle of the plot: maps data coordinates to pixels, and chooses the ticks.

    Attributes:
        width, height: the size of the picture in pixels.
        x_range: x at the left and right end.
        y_range: y at the lower and upper end; log10 y if the axis is logarithmic.
        log: whether the y axis is logarithmic.
        empty: whether there is nothing to draw; then the axes say so.
        integer_x: whether x is a count, so that its ticks are integers.
    """

    width: int
    height: int
    x_range: tuple[float, float]
    y_range: tuple[float, float]
    log: bool = False
    empty: bool = False
    integer_x: bool = False

    @classmethod
    def around(cls, x: Floats, series: list[Floats], width: int, height: int) -> Frame:
        """The frame of several lines over an x axis of integers, such as epochs."""
        flat = np.concatenate([np.zeros(0), *series])
        values = flat[drawable(flat)]
        xs = (float(x.min()), float(x.max())) if len(x) else (0.0, 1.0)
        if xs[0] == xs[1]:
            xs = (xs[0] - 1, xs[1] + 1)
        if not len(values):
            return cls(width, height, xs, (0.0, 1.0), empty=True, integer_x=True)
        low, high = float(values.min()), float(values.max())
        log = low > SMALLEST and high / low > LOG_RANGE
        if log:
            low, high = math.log10(low), math.log10(high)
        return cls(width, height, xs, widened(low, high), log, integer_x=True)

    def px(self, x: Number) -> Number:
        """The pixels of x, from the left."""
        low, high = self.x_range
        return LEFT + (x - low) / (high - low) * (self.width - LEFT - RIGHT)

    def py(self, y: Floats | float) -> Floats:
        """The pixels of y, from the top."""
        low, high = self.y_range
        share = ((np.log10(y) if self.log else y) - low) / (high - low)
        return np.asarray(self.height - BOTTOM - share * (self.height - TOP - BOTTOM))

    def x_ticks(self) -> list[float]:
        """Round numbers along the x axis, about one every 64 pixels."""
        ticks = nice_ticks(*self.x_range, max(2, (self.width - LEFT - RIGHT) // 64))
        return [tick for tick in ticks if not self.integer_x or tick == int(tick)] or ticks

    def y_ticks(self) -> list[float]:
        """Round numbers along the y axis, about one every 40 pixels; powers of ten if `log`."""
        low, high = self.y_range
        wanted = max(2, (self.height - TOP - BOTTOM) // 40)
        if not self.log:
            return nice_ticks(low, high, wanted)
        exponents = range(math.ceil(low), math.floor(high) + 1)
        stride = max(1, math.ceil(len(exponents) / wanted))
        digits = (1, 2, 5) if len(exponents) < 4 else (1,)
        powers = range(math.floor(low), math.floor(high) + 1)
        ticks = [d * 10.0**e for e in powers for d in digits if e % stride == 0]
        return [tick for tick in ticks if low <= math.log10(tick) <= high]


def widened(low: float, high: float) -> tuple[float, float]:
    """The range with a margin at both ends, also if both are equal."""
    margin = (high - low) * 0.05 or abs(high) * 0.1 or 1.0
    margin = max(margin, abs(high) * 1e-9, SMALLEST)
    return low - margin, high + margin


def nice_ticks(low: float, high: float, wanted: int) -> list[float]:
    """About `wanted` round numbers (1, 2, 5 times a power of ten) from low to high."""
    rough = (high - low) / wanted
    if not (rough > 0 and math.isfinite(rough)):
        return [low]
    power = 10.0 ** math.floor(math.log10(rough))
    step = next(factor * power for factor in (1, 2, 5, 10) if factor * power >= rough * 0.999)
    first = math.ceil(low / step - 1e-9)
    last = math.floor(high / step + 1e-9)
    return [round(i * step, 12 - math.floor(math.log10(step))) for i in range(first, last + 1)]


def tick_labels(ticks: Sequence[float]) -> list[str]:
    """The ticks as text, with as many digits as are needed to distinguish them."""
    labels: list[str] = []
    for digits in range(4, 16):
        labels = [
            number(tick) if tick == int(tick) else short(f"{tick:.{digits}g}") for tick in ticks
        ]
        if len(set(labels)) == len(ticks):
            break
    return labels


def drawable(values: Floats) -> npt.NDArray[np.bool_]:
    """A mask of the values that are finite and small enough to draw."""
    return np.asarray(np.abs(values) < LARGEST)


def axes(frame: Frame, x_label: str, y_label: str) -> list[str]:
    """Both axes with ticks, labels and titles, and faint lines across at the y ticks."""
    right, base = frame.width - RIGHT, frame.height - BOTTOM
    parts = ['<g stroke="currentColor" stroke-opacity="0.15" stroke-width="1">']
    y_ticks = [] if frame.empty else frame.y_ticks()
    heights = [float(frame.py(tick)) for tick in y_ticks]
    parts += [f'<path d="M{LEFT} {y:.1f}H{right}"/>' for y in heights]
    parts.append("</g>")
    parts.append(f'<path d="M{LEFT} {TOP}V{base}H{right}" fill="none" stroke="currentColor" '
                 'stroke-opacity="0.6"/>')  # fmt: skip
    for label, y in zip(tick_labels(y_ticks), heights, strict=True):
        parts.append(f'<text x="{LEFT - 7}" y="{y + 4:.1f}" text-anchor="end">{label}</text>')
    x_ticks = frame.x_ticks()
    for tick, label in zip(x_ticks, tick_labels(x_ticks), strict=True):
        x = frame.px(tick)
        parts.append(f'<path d="M{x:.1f} {base}v5" stroke="currentColor" stroke-opacity="0.6"/>')
        parts.append(f'<text x="{x:.1f}" y="{base + 18}" text-anchor="middle">{label}</text>')
    return parts + _titles(frame, x_label, f"{y_label} (log scale)" if frame.log else y_label)


def _titles(frame: Frame, x_label: str, y_label: str) -> list[str]:
    """The titles of the axes, and a note if there is nothing to show."""
    middle, half = (LEFT + frame.width - RIGHT) / 2, (TOP + frame.height - BOTTOM) / 2
    parts = [
        f'<text x="{middle:.1f}" y="{frame.height - 8}" text-anchor="middle">'
        f"{html.escape(x_label)}</text>",
        f'<text x="12" y="{half:.1f}" text-anchor="middle" '
        f'transform="rotate(-90 12 {half:.1f})">{html.escape(y_label)}</text>',
    ]
    if frame.empty:
        parts.append(f'<text x="{middle:.1f}" y="{half:.1f}" text-anchor="middle" opacity="0.7">'
                     "nothing to draw yet</text>")  # fmt: skip
    return parts


def picture(width: int, height: int, title: str, description: str, parts: Iterable[str]) -> str:
    """An SVG with a title and a description, in the text colour of the page."""
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" role="img" width="{width}" height="{height}" '
        f'viewBox="0 0 {width} {height}" font-family="system-ui, sans-serif" font-size="12" '
        f'fill="currentColor" style="max-width:100%;height:auto">'
        f"<title>{html.escape(title)}</title><desc>{html.escape(description)}</desc>"
        f"{''.join(parts)}</svg>"
    )
