"""The report's charts as SVG, each a function of plain numbers."""

from __future__ import annotations

import html
import math
from collections.abc import Sequence
from typing import Literal

import numpy as np
import numpy.typing as npt

from chainrule.display.format import number
from chainrule.display.lineplot import STYLES
from chainrule.display.svg import (
    BOTTOM,
    LEFT,
    RIGHT,
    TOP,
    Floats,
    Frame,
    axes,
    drawable,
    picture,
    widened,
)

WIDTH, HEIGHT = 460, 340  # two fit side by side; one is legible on a phone
BLUE, AMBER = STYLES[0][0], STYLES[1][0]
MAX_SCATTER_POINTS = 2000  # points above which a scatter shows density
MAX_TITLED_POINTS = 400  # up to which each has a tooltip with its numbers
CELL = 8  # pixels of a density cell
SHADES = 6
SMALL = (132, 24)  # a column's distribution within the table, pixels
MIN_CUT_VALUES = 20  # from which a few outliers may be left out of a chart
MAX_RANGE_RATIO = 3.0  # of the range to that of 99 % of the values; above, it is cut


def scatter(
    x: npt.ArrayLike,
    y: npt.ArrayLike,
    *,
    x_label: str,
    y_label: str,
    title: str,
    reference: Literal["equal", "zero"],
) -> str:
    """Points (n,) against (n,); above 2,000 the density of points in square cells.

    The axes leave out a few outliers, and the chart reports their number.

    Args:
        x, y: the numbers; pairs that are not finite are left out and counted with those outside.
        x_label, y_label, title: words, escaped here.
        reference: a dashed line where x equals y (both axes then have one range), or y is zero.
    """
    x, y = np.asarray(x, dtype=np.float64), np.asarray(y, dtype=np.float64)
    good = drawable(x) & drawable(y)
    across, up = limits(x[good]), limits(y[good])
    if reference == "equal":
        across = up = min(across[0], up[0]), max(across[1], up[1])
    inside = good & (x >= across[0]) & (x <= across[1]) & (y >= up[0]) & (y <= up[1])
    frame = Frame(WIDTH, HEIGHT, across, up, empty=not inside.any())
    parts = axes(frame, x_label, y_label)
    ends = across if reference == "equal" else (0.0, 0.0)
    parts.append(_dashed([(across[0], ends[0]), (across[1], ends[1])], frame, "perfect prediction"))
    n, outside = int(inside.sum()), int(len(x) - inside.sum())
    note = "each point a row"
    if n > MAX_SCATTER_POINTS:
        cells, most = _density(x[inside], y[inside], frame)
        parts += cells
        note = f"the fuller the colour, the more rows, up to {most:,} in a cell"
    else:
        parts += _points(x[inside], y[inside], frame, (x_label, y_label))
    if outside:
        note += f"; outliers not shown: {outside:,}"
    text = f"{n:,} rows, {x_label} from {number(across[0])} to {number(across[1])}; {note}."
    return picture(WIDTH, HEIGHT, title, text, [*parts, _note(note)])


def limits(values: Floats) -> tuple[float, float]:
    """The range of an axis: of all values, or without a few outliers."""
    if not len(values):
        return 0.0, 1.0
    ranked = np.sort(values)
    least, most = float(ranked[0]), float(ranked[-1])
    few = math.ceil(0.005 * (len(ranked) - 1)) if len(ranked) >= MIN_CUT_VALUES else 0
    low, high = float(ranked[few]), float(ranked[len(ranked) - 1 - few])
    if most - least > MAX_RANGE_RATIO * (high - low) > 0:
        least, most = low, high
    return widened(least, most)


def histogram(values: npt.ArrayLike, *, x_label: str, title: str) -> str:
    """A histogram with a line at zero; far values as in `scatter`."""
    values = np.asarray(values, dtype=np.float64)
    good = values[drawable(values)]
    low, high = limits(good)
    good = good[(good >= low) & (good <= high)]
    bins = int(np.clip(round(math.sqrt(len(good))), 5, 40))
    edges = np.linspace(low, high, bins + 1)
    counts = np.histogram(good, edges)[0]
    frame = Frame(WIDTH, HEIGHT, (low, high), (0.0, max(5.0, counts.max() * 1.05)),
                  empty=not len(good))  # fmt: skip
    parts = axes(frame, x_label, "rows")
    base = HEIGHT - BOTTOM
    for left, right, count in zip(edges[:-1], edges[1:], counts, strict=True):
        top, start, end = float(frame.py(float(count))), frame.px(left), frame.px(right)
        parts.append(
            f'<rect x="{start + 0.5:.1f}" y="{top:.1f}" width="{max(end - start - 1, 0.5):.1f}" '
            f'height="{base - top:.1f}" fill="{BLUE}" fill-opacity="0.75">'
            f"<title>{number(left)} to {number(right)}: {count:,} rows</title></rect>"
        )
    if low < 0 < high:
        top_y = frame.y_range[1]
        parts.append(_dashed([(0.0, 0.0), (0.0, top_y)], frame, "no error"))
    outside = len(values) - len(good)
    note = f"median {number(float(np.median(good)))}" if len(good) else ""
    if outside:
        note += f"; outliers not shown: {outside:,}"
    text = f"{len(good):,} rows from {number(low)} to {number(high)}; {note}."
    return picture(WIDTH, HEIGHT, title, text, [*parts, _note(note)])


def roc(
    false_rate: Floats, true_rate: Floats, area: float, chosen: tuple[float, float],
    threshold: float = 0.5,
) -> str:  # fmt: skip
    """The ROC curve (n,) against (n,), its area, and the point of the decision threshold."""
    frame = Frame(WIDTH, HEIGHT, (0.0, 1.0), (0.0, 1.0))
    parts = axes(frame, "false positive rate", "true positive rate")
    parts.append(_dashed([(0.0, 0.0), (1.0, 1.0)], frame, "guessing"))
    points = np.stack([frame.px(false_rate), frame.py(true_rate)], axis=1)
    points = np.round(points * 2) / 2  # half pixels: a million rows make a thousand points
    moved = np.any(np.diff(points, axis=0, prepend=-1.0) != 0, axis=1)
    drawn = " ".join(f"{x:.1f},{y:.1f}" for x, y in points[moved])
    parts.append(f'<polyline points="{drawn}" fill="none" stroke="{BLUE}" stroke-width="2"/>')
    rates = f"{percent(chosen[1])} of positives found, {percent(chosen[0])} of negatives flagged"
    at = f"probability {number(threshold)}"
    parts.append(_circle(frame, chosen, 4.5, f"at {at}: {rates}", 'fill-opacity="1"'))
    note = f"area under the curve {number(area)}; the dot: {at}"
    text = f"Area under the curve {number(area)}. At {at}, {rates}."
    return picture(WIDTH, HEIGHT, "ROC curve", text, [*parts, _note(note)])


def reliability(said: Floats, happened: Floats, rows: Floats, x_label: str, y_label: str) -> str:
    """Predicted probabilities against observed frequencies, in intervals of probability.

    Args:
        said, happened, rows: (bins,) mean probability, share of hits, number of rows; an interval
            without rows is left out. The bars are 95 % intervals (Wilson) of the share.
    """
    frame = Frame(WIDTH, HEIGHT, (0.0, 1.0), (0.0, 1.0))
    parts = axes(frame, x_label, y_label)
    parts.append(_dashed([(0.0, 0.0), (1.0, 1.0)], frame, "perfectly calibrated"))
    filled = np.flatnonzero(rows > 0)
    points = [(float(said[i]), float(happened[i])) for i in filled]
    drawn = " ".join(f"{frame.px(x):.1f},{float(frame.py(y)):.1f}" for x, y in points)
    parts.append(f'<polyline points="{drawn}" fill="none" stroke="{BLUE}" stroke-width="1.5"/>')
    text = []
    for (x, y), i in zip(points, filled, strict=True):
        low, high = wilson(y * rows[i], rows[i])
        parts.append(f'<path d="M{frame.px(x):.1f} {float(frame.py(low)):.1f}'
                     f'V{float(frame.py(high)):.1f}" stroke="{BLUE}" stroke-opacity="0.45" '
                     'stroke-width="1.5"/>')  # fmt: skip
        words = f"said {percent(x)}, was {percent(y)}, {rows[i]:,.0f} rows"
        radius = 2.5 + 5 * math.sqrt(rows[i] / rows.max())
        parts.append(_circle(frame, (x, y), radius, words, 'fill-opacity="0.8"'))
        text.append(words)
    note = "larger dots hold more rows; bars: 95 % intervals"
    return picture(WIDTH, HEIGHT, "Calibration", "; ".join(text), [*parts, _note(note)])


def sparkline(counts: Sequence[int], label: str) -> str:
    """A small histogram for a table's cell."""
    width, height = SMALL
    most, step = max([*counts, 1]), width / max(len(counts), 1)
    bars = "".join(
        f"M{i * step:.1f} {height}h{max(step - 0.8, 0.6):.1f}"
        f"v{-max(count / most * (height - 2), 1):.1f}h{-max(step - 0.8, 0.6):.1f}z"
        for i, count in enumerate(counts)
        if count
    )
    line = f'<path d="M0 {height - 0.5}h{width}" stroke="currentColor" stroke-opacity="0.3"/>'
    return _small(f'{line}<path d="{bars}" fill="{BLUE}" fill-opacity="0.8"/>', label)


def level_bar(shares: Sequence[tuple[str, float]], label: str) -> str:
    """A small bar divided by the shares of the first levels; the rest is grey."""
    width = SMALL[0]
    parts = [f'<rect y="6" width="{width}" height="12" fill="currentColor" fill-opacity="0.15"/>']
    x = 0.0
    for index, (name, share) in enumerate(shares):
        wide = min(share, 1.0) * width
        parts.append(
            f'<rect x="{x:.1f}" y="6" width="{max(wide - 1, 0.5):.1f}" height="12" fill="{BLUE}" '
            f'fill-opacity="{max(0.9 - 0.16 * index, 0.25):.2f}">'
            f"<title>{html.escape(name)}: {percent(share)}</title></rect>"
        )
        x += wide
    return _small("".join(parts), label)


def drop_bar(value: float, most: float) -> str:
    """A small bar from the left, relative to the largest drop; amber below zero."""
    width = SMALL[0]
    share = abs(value) / most if most > 0 and math.isfinite(value) else 0.0
    bar = (f'<rect y="6" width="{max(share * width, 0.5):.1f}" height="12" '
           f'fill="{AMBER if value < 0 else BLUE}" fill-opacity="0.8"/>')  # fmt: skip
    stretched = _small(bar, number(value), hidden=True)
    return stretched.replace(f'width="{width}"', 'width="100%" preserveAspectRatio="none"', 1)


def intervals(rows: Sequence[tuple[str, float, tuple[float, float]]]) -> str:
    """Differences with their intervals about zero, a line each; each line has a scale of its own.

    Args:
        rows: name, difference, and the ends of its interval.
    """
    height = TOP + 34 * len(rows)
    left, middle, half = 130, 290.0, 145.0
    parts = [f'<path d="M{middle} {TOP - 12}V{height}" stroke="currentColor" stroke-opacity="0.6" '
             'stroke-dasharray="5 4"><title>no difference</title></path>']  # fmt: skip
    said = []
    for k, (name, value, (low, high)) in enumerate(rows):
        y, most = TOP + 34 * k + 10, max(abs(low), abs(high), abs(value)) or 1.0
        x, start, end = (middle + half * v / most for v in (value, low, high))
        words = f"{name}: {number(value)}, interval {number(low)} to {number(high)}"
        noise = low <= 0 <= high
        colour = "currentColor" if noise else BLUE
        parts += [
            f'<text x="{left - 8}" y="{y + 4}" text-anchor="end">{html.escape(name)}</text>',
            f'<path d="M{start:.1f} {y}H{end:.1f}M{start:.1f} {y - 5}v10M{end:.1f} {y - 5}v10" '
            f'stroke="{colour}" stroke-width="2" fill="none"><title>{html.escape(words)}</title>'
            "</path>",
            f'<circle cx="{x:.1f}" cy="{y}" r="4" fill="{colour}"/>',
        ]
        said.append(words + (", within noise" if noise else ""))
    parts.append('<text x="130" y="14" font-size="11.5" opacity="0.8">dot: difference; bar: 95 % '
                 "interval; dashed: none</text>")  # fmt: skip
    return picture(WIDTH, height, "Differences with intervals", "; ".join(said), parts)


def percent(share: float) -> str:
    """A share in percent with one decimal, or none for an integer: 92.1 %, 44 %."""
    if not math.isfinite(share):
        return "unknown"
    return f"{100 * share:.1f}".removesuffix(".0") + "\u00a0%"


def wilson(hits: float, n: float) -> tuple[float, float]:
    """The 95 % score interval of a share (Wilson 1927)."""
    z = 1.959964
    share, spread = hits / n, z * z / n
    middle = (share + spread / 2) / (1 + spread)
    half = z / (1 + spread) * math.sqrt(max(share * (1 - share), 0.0) / n + spread / (4 * n))
    return max(middle - half, 0.0), min(middle + half, 1.0)


def _small(inside: str, label: str, hidden: bool = False) -> str:
    width, height = SMALL
    said = 'aria-hidden="true"' if hidden else f'role="img" aria-label="{html.escape(label)}"'
    return (f'<svg xmlns="http://www.w3.org/2000/svg" {said} width="{width}" height="{height}" '
            f'viewBox="0 0 {width} {height}">{inside}</svg>')  # fmt: skip


def _note(text: str) -> str:
    return f'<text x="{LEFT}" y="{TOP - 14}" font-size="11.5" opacity="0.8">{text}</text>'


def _dashed(points: list[tuple[float, float]], frame: Frame, title: str) -> str:
    (x0, y0), (x1, y1) = ((frame.px(x), float(frame.py(y))) for x, y in points)
    return (
        f'<path d="M{x0:.1f} {y0:.1f}L{x1:.1f} {y1:.1f}" stroke="currentColor" '
        f'stroke-opacity="0.55" stroke-dasharray="5 4"><title>{title}</title></path>'
    )


def _circle(frame: Frame, point: tuple[float, float], radius: float, title: str, extra: str) -> str:
    x, y = frame.px(point[0]), float(frame.py(point[1]))
    return (f'<circle cx="{x:.1f}" cy="{y:.1f}" r="{radius:.1f}" fill="{BLUE}" {extra}>'
            f"<title>{html.escape(title)}</title></circle>")  # fmt: skip


def _points(x: Floats, y: Floats, frame: Frame, names: tuple[str, str]) -> list[str]:
    across, down = frame.px, frame.py(y)
    parts = [f'<g fill="{BLUE}" fill-opacity="0.5">']
    for value, other, height in zip(x, y, down, strict=True):
        title = ""
        if len(x) <= MAX_TITLED_POINTS:
            words = f"{names[0]} {number(value)}, {names[1]} {number(other)}"
            title = f"<title>{html.escape(words)}</title>"
        parts.append(f'<circle cx="{across(value):.1f}" cy="{height:.1f}" r="2.6">{title}</circle>')
    return [*parts, "</g>"]


def _density(x: Floats, y: Floats, frame: Frame) -> tuple[list[str], int]:
    """Square cells shaded by the root of their row counts, and the largest count."""
    columns, rows = (WIDTH - LEFT - RIGHT) // CELL, (HEIGHT - TOP - BOTTOM) // CELL
    counts, left, low = np.histogram2d(x, y, (columns, rows), (frame.x_range, frame.y_range))
    shades = np.ceil(SHADES * np.sqrt(counts / counts.max())).astype(int)
    wide, tall = frame.px(left[1]) - frame.px(left[0]), float(frame.py(low[0]) - frame.py(low[1]))
    parts = []
    for shade in range(1, SHADES + 1):
        path = "".join(
            f"M{frame.px(left[i]):.1f} {float(frame.py(low[j + 1])):.1f}"
            f"h{wide:.2f}v{tall:.2f}h{-wide:.2f}z"
            for i, j in np.argwhere(shades == shade)
        )
        parts.append(f'<path d="{path}" fill="{BLUE}" fill-opacity="{shade / SHADES:.2f}"/>')
    return parts, int(counts.max())
