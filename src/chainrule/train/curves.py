"""A line plot as an SVG of its own: loss curves in a notebook, a report or a file."""

from __future__ import annotations

import html
import math
import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt

from chainrule.train.words import number

Floats = npt.NDArray[np.float64]

# Legible on white and on black, and apart for the colour-blind; dashes tell them apart in grey.
STYLES = (("#2f81f7", ""), ("#d97706", "7 3"), ("#0d9a72", "2 3"), ("#c45bb8", "9 3 2 3"))
LOG_RANGE = 30.0  # above this ratio of largest to smallest the axis is logarithmic
LARGEST, SMALLEST = 1e300, 1e-300  # beyond them a value leaves a gap, or the axis is linear
LEFT, RIGHT, TOP, BOTTOM = 64, 18, 34, 46  # margins, pixels


@dataclass(frozen=True, slots=True)
class Plot:
    """A picture that a notebook shows; `save` writes it as an SVG file."""

    svg: str

    def save(self, path: str | os.PathLike[str]) -> Path:
        """Write the picture on a white ground as a stand-alone SVG file."""
        ground = '<rect width="100%" height="100%" fill="white"/>'
        head, tail = self.svg.split(">", 1)
        Path(path).write_text(f"{head}>{ground}{tail}\n", encoding="utf-8")
        return Path(path)

    def _repr_html_(self) -> str:
        return self.svg

    def __repr__(self) -> str:
        return "Plot(shown in a notebook; .save('curves.svg') writes it)"


def curves_svg(
    x: npt.ArrayLike,
    lines: Mapping[str, npt.ArrayLike],
    *,
    x_label: str = "epoch",
    y_label: str = "loss",
    best: tuple[float, str] | None = None,
    starts: Sequence[float] = (),
    width: int = 640,
    height: int = 360,
) -> str:
    """An SVG of lines over one x axis, with labelled axes, ticks and legend.

    Text takes the colour of its surroundings, so it is legible on light and dark pages. The y axis
    is logarithmic where all values are positive and their range is large, and says so. Values that
    are not finite leave a gap.

    Args:
        x: (n,), rising, as epochs.
        lines: label to values (n,).
        x_label, y_label: the axes' titles, with their units where they have one.
        best: an x to mark, and what is best there.
        starts: x where a continued run began, marked by thin lines.
        width, height: pixels.
    """
    across = np.asarray(x, dtype=np.float64)
    series = {label: np.asarray(values, dtype=np.float64) for label, values in lines.items()}
    frame = _Frame.around(across, list(series.values()), width, height)
    title = f"{y_label} by {x_label}: " + (", ".join(series) or "no lines yet")
    parts = [
        f'<svg xmlns="http://www.w3.org/2000/svg" role="img" width="{width}" height="{height}" '
        f'viewBox="0 0 {width} {height}" font-family="system-ui, sans-serif" font-size="12" '
        f'fill="currentColor" style="max-width:100%;height:auto">',
        f"<title>{html.escape(title)}</title>",
        f"<desc>{html.escape(_described(across, series, x_label, best))}</desc>",
        *_axes(frame, x_label, y_label),
        *(_rule(frame, start, "2 4", "run continued") for start in starts),
    ]
    if best is not None:
        parts.append(_rule(frame, best[0], "5 4", f"best {best[1]}: {x_label} {number(best[0])}"))
    for index, (label, values) in enumerate(series.items()):
        parts += _line(frame, across, values, index, label, best)
    parts += _legend(frame, list(series), best, x_label)
    return "".join(parts) + "</svg>"


@dataclass(frozen=True, slots=True)
class _Frame:
    """The rectangle of the plot: data coordinates to pixels, and where the ticks are."""

    width: int
    height: int
    x_range: tuple[float, float]
    y_range: tuple[float, float]  # of log10 y where the axis is logarithmic
    log: bool
    empty: bool

    @classmethod
    def around(cls, x: Floats, series: list[Floats], width: int, height: int) -> _Frame:
        flat = np.concatenate([np.zeros(0), *series])
        values = flat[_drawable(flat)]
        xs = (float(x.min()), float(x.max())) if len(x) else (0.0, 1.0)
        if xs[0] == xs[1]:
            xs = (xs[0] - 1, xs[1] + 1)
        if not len(values):
            return cls(width, height, xs, (0.0, 1.0), False, True)
        low, high = float(values.min()), float(values.max())
        log = low > SMALLEST and high / low > LOG_RANGE
        if log:
            low, high = math.log10(low), math.log10(high)
        room = (high - low) * 0.05 or abs(high) * 0.1 or 1.0
        room = max(room, abs(high) * 1e-9, SMALLEST)
        return cls(width, height, xs, (low - room, high + room), log, False)

    def px(self, x: float) -> float:
        low, high = self.x_range
        return LEFT + (x - low) / (high - low) * (self.width - LEFT - RIGHT)

    def py(self, y: Floats | float) -> Floats:
        low, high = self.y_range
        share = ((np.log10(y) if self.log else y) - low) / (high - low)
        return np.asarray(self.height - BOTTOM - share * (self.height - TOP - BOTTOM))

    def x_ticks(self) -> list[float]:
        ticks = nice_ticks(*self.x_range, max(2, (self.width - LEFT - RIGHT) // 80))
        return [tick for tick in ticks if tick == int(tick)] or ticks

    def y_ticks(self) -> list[float]:
        low, high = self.y_range
        wanted = max(2, (self.height - TOP - BOTTOM) // 45)
        if not self.log:
            return nice_ticks(low, high, wanted)
        exponents = range(math.ceil(low), math.floor(high) + 1)
        every = max(1, math.ceil(len(exponents) / wanted))
        digits = (1, 2, 5) if len(exponents) < 4 else (1,)
        powers = range(math.floor(low), math.floor(high) + 1)
        ticks = [d * 10.0**e for e in powers for d in digits if e % every == 0]
        return [tick for tick in ticks if low <= math.log10(tick) <= high]


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
    """The ticks as text, with as many digits as it takes to tell them apart."""
    for digits in range(4, 16):
        labels = [number(tick) if tick == int(tick) else f"{tick:.{digits}g}" for tick in ticks]
        if len(set(labels)) == len(ticks):
            break
    return labels


def _drawable(values: Floats) -> npt.NDArray[np.bool_]:
    return np.asarray(np.abs(values) < LARGEST)


def _axes(frame: _Frame, x_label: str, y_label: str) -> list[str]:
    right, base = frame.width - RIGHT, frame.height - BOTTOM
    parts = ['<g stroke="currentColor" stroke-opacity="0.15" stroke-width="1">']
    y_ticks = [] if frame.empty else frame.y_ticks()
    heights = [float(frame.py(tick)) for tick in y_ticks]
    parts += [f'<path d="M{LEFT} {y:.1f}H{right}"/>' for y in heights]
    parts.append("</g>")
    parts.append(f'<path d="M{LEFT} {TOP}V{base}H{right}" fill="none" stroke="currentColor" '
                 'stroke-opacity="0.6"/>')  # fmt: skip
    for tick, y in zip(y_ticks, heights, strict=True):
        parts.append(
            f'<text x="{LEFT - 7}" y="{y + 4:.1f}" text-anchor="end">{number(tick)}</text>'
        )
    for tick in frame.x_ticks():
        x = frame.px(tick)
        parts.append(f'<path d="M{x:.1f} {base}v5" stroke="currentColor" stroke-opacity="0.6"/>')
        parts.append(
            f'<text x="{x:.1f}" y="{base + 18}" text-anchor="middle">{number(tick)}</text>'
        )
    middle = (LEFT + right) / 2
    scale = f"{y_label} (log scale)" if frame.log else y_label
    parts.append(f'<text x="{middle:.1f}" y="{frame.height - 8}" text-anchor="middle">'
                 f"{html.escape(x_label)}</text>")  # fmt: skip
    half = (TOP + base) / 2
    parts.append(f'<text x="14" y="{half:.1f}" text-anchor="middle" '
                 f'transform="rotate(-90 14 {half:.1f})">{html.escape(scale)}</text>')  # fmt: skip
    if frame.empty:
        parts.append(f'<text x="{middle:.1f}" y="{half:.1f}" text-anchor="middle" opacity="0.7">'
                     "nothing to draw yet</text>")  # fmt: skip
    return parts


def _rule(frame: _Frame, x: float, dashes: str, title: str) -> str:
    return (f'<path d="M{frame.px(x):.1f} {TOP}V{frame.height - BOTTOM}" stroke="currentColor" '
            f'stroke-opacity="0.5" stroke-dasharray="{dashes}"><title>{html.escape(title)}'
            "</title></path>")  # fmt: skip


def _line(
    frame: _Frame,
    x: Floats,
    y: Floats,
    index: int,
    label: str,
    best: tuple[float, str] | None,
) -> list[str]:
    """One series: a stroke for each stretch of finite values, a dot for a stretch of one."""
    colour, dashes = STYLES[index % len(STYLES)]
    good = _drawable(y)
    edges = np.flatnonzero(np.diff(good.astype(np.int8), prepend=0, append=0))
    parts = [f'<g fill="none" stroke="{colour}" stroke-width="2" stroke-linejoin="round">']
    for start, end in zip(edges[::2], edges[1::2], strict=True):
        across = [frame.px(value) for value in x[start:end]]
        points = _thinned(np.array(across), frame.py(y[start:end]))
        if end - start == 1:
            parts.append(_dot(points[0], colour))
        else:
            path = " ".join(f"{a:.1f},{b:.1f}" for a, b in points)
            dash = f' stroke-dasharray="{dashes}"' if dashes else ""
            parts.append(f'<polyline points="{path}"{dash}/>')
    if best is not None and label == best[1]:
        marked = np.flatnonzero((x == best[0]) & good)
        parts += [_dot((frame.px(x[i]), float(frame.py(y[i]))), colour) for i in marked]
    parts.append("</g>")
    return parts


def _dot(point: tuple[float, float], colour: str) -> str:
    return f'<circle cx="{point[0]:.1f}" cy="{point[1]:.1f}" r="3.5" fill="{colour}"/>'


def _thinned(x: Floats, y: Floats) -> list[tuple[float, float]]:
    """At most the first, lowest, highest and last point of each pixel column, in order."""
    columns = np.floor(x)
    starts = np.flatnonzero(np.diff(columns, prepend=-1.0))
    keep: set[int] = set()
    for start, end in zip(starts, np.append(starts[1:], len(x)), strict=True):
        part = y[start:end]
        keep |= {int(start), int(end) - 1, int(start + part.argmin()), int(start + part.argmax())}
    return [(float(x[i]), float(y[i])) for i in sorted(keep)]


def _legend(
    frame: _Frame, labels: list[str], best: tuple[float, str] | None, x_label: str
) -> list[str]:
    parts, x = [], float(LEFT)
    for index, label in enumerate(labels):
        colour, dashes = STYLES[index % len(STYLES)]
        parts.append(f'<path d="M{x:.0f} 16h22" stroke="{colour}" stroke-width="2" '
                     f'stroke-dasharray="{dashes or "none"}"/>')  # fmt: skip
        parts.append(f'<text x="{x + 28:.0f}" y="20">{html.escape(label)}</text>')
        x += 28 + 6.6 * len(label) + 20
    if best is not None:
        text = f"best {x_label} {number(best[0])}"
        parts.append(f'<path d="M{x:.0f} 16h22" stroke="currentColor" stroke-opacity="0.5" '
                     'stroke-dasharray="5 4"/>')  # fmt: skip
        parts.append(f'<text x="{x + 28:.0f}" y="20">{text}</text>')
    return parts


def _described(
    x: Floats, series: Mapping[str, Floats], x_label: str, best: tuple[float, str] | None
) -> str:
    """The picture in words, for those who cannot see it."""
    told = []
    for label, values in series.items():
        good = np.flatnonzero(_drawable(values))
        if len(good):
            first, last = good[0], good[-1]
            begin = f"{number(values[first])} at {x_label} {number(x[first])}"
            told.append(f"{label}: {begin}, {number(values[last])} at {number(x[last])}.")
    if best is not None:
        told.append(f"The best {best[1]} is at {x_label} {number(best[0])}.")
    return " ".join(told)
