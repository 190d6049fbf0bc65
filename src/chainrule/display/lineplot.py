"""Line plots as SVG: loss curves in a notebook, a report or a file."""

from __future__ import annotations

import html
import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt

from chainrule.display.format import number
from chainrule.display.svg import BOTTOM, LEFT, TOP, Floats, Frame, axes, drawable, picture
from chainrule.system.atomicfile import write_whole

# Legible on white and on black, distinct for the colour-blind; in grey the dashes differ.
STYLES = (("#2f81f7", ""), ("#d97706", "7 3"), ("#0d9a72", "2 3"), ("#c45bb8", "9 3 2 3"))


@dataclass(frozen=True, slots=True)
class Plot:
    """A picture that a notebook shows; `save` writes it as an SVG file."""

    svg: str

    def save(self, path: str | os.PathLike[str]) -> Path:
        """Writes the picture on a white background as a stand-alone SVG file."""
        background = '<rect width="100%" height="100%" fill="white"/>'
        head, tail = self.svg.split(">", 1)
        return write_whole(path, f"{head}>{background}{tail}\n")

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

    Text inherits the colour of the page, so it is legible on light and dark pages. The y axis is
    logarithmic, and labelled so, if all values are positive and their range is large. Values that
    are not finite leave a gap.

    Args:
        x: (n,), increasing, such as epochs.
        lines: label to values (n,).
        x_label, y_label: the titles of the axes, with units if any.
        best: an x to mark, and the label that is best there.
        starts: the x at which continued runs began, marked by thin lines.
        width, height: pixels.
    """
    across = np.asarray(x, dtype=np.float64)
    series = {label: np.asarray(values, dtype=np.float64) for label, values in lines.items()}
    frame = Frame.around(across, list(series.values()), width, height)
    title = f"{y_label} by {x_label}: " + (", ".join(series) or "no lines yet")
    parts = [
        *axes(frame, x_label, y_label),
        *(_rule(frame, start, "2 4", "run continued") for start in starts),
    ]
    if best is not None:
        parts.append(_rule(frame, best[0], "5 4", f"best {best[1]}: {x_label} {number(best[0])}"))
    for index, (label, values) in enumerate(series.items()):
        parts += _line(frame, across, values, index, label, best)
    parts += _legend(frame, list(series), best, x_label)
    return picture(width, height, title, _described(across, series, x_label, best), parts)


def _rule(frame: Frame, x: float, dashes: str, title: str) -> str:
    return (f'<path d="M{frame.px(x):.1f} {TOP}V{frame.height - BOTTOM}" stroke="currentColor" '
            f'stroke-opacity="0.5" stroke-dasharray="{dashes}"><title>{html.escape(title)}'
            "</title></path>")  # fmt: skip


def _line(
    frame: Frame,
    x: Floats,
    y: Floats,
    index: int,
    label: str,
    best: tuple[float, str] | None,
) -> list[str]:
    """One series: a polyline for each run of finite values, a dot for a run of one."""
    colour, dashes = STYLES[index % len(STYLES)]
    good = drawable(y)
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
    frame: Frame, labels: list[str], best: tuple[float, str] | None, x_label: str
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
    """The picture in words, for screen readers."""
    sentences = []
    for label, values in series.items():
        good = np.flatnonzero(drawable(values))
        if len(good):
            first, last = good[0], good[-1]
            begin = f"{number(values[first])} at {x_label} {number(x[first])}"
            sentences.append(f"{label}: {begin}, {number(values[last])} at {number(x[last])}.")
    if best is not None:
        sentences.append(f"The best {best[1]} is at {x_label} {number(best[0])}.")
    return " ".join(sentences)
