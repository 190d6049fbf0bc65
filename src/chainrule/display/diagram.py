"""Boxes with arrows between them as SVG: a graph in a notebook, on a page or in a file."""

from __future__ import annotations

import html
import os
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

from chainrule.display.layered import Item, layered
from chainrule.display.screen import cells
from chainrule.display.tables import clean
from chainrule.system.atomicfile import write_whole

CHARACTER, LINE, PADDING = 7.3, 17, 9
GAPS = (22.0, 34.0)
MARGIN = 14.0
LONGEST, NUMBERS = 48, 120
"""Characters of a name or formula, and of a line of numbers; longer ones are cut."""

CUT = 7.0
"""The pixels that are cut off the corners of a parameter's box."""

BACK = 4.0
"""The pixels by which the second edge of a layer stands out."""

KINDS = ("input", "parameter", "operation", "layer")
FONT = "ui-monospace, SFMono-Regular, Menlo, Consolas, 'DejaVu Sans Mono', monospace"
_COLOURS = {
    "page": ("#fff", "#171a21"), "ink": ("#1f2430", "#e4e7ee"), "faint": ("#59606e", "#9aa4b5"),
    "line": ("#7a8494", "#8b95a7"), "gradient": ("#a8340f", "#ff9a76"),
    "input": ("#e3eefb", "#1d3554"), "parameter": ("#fdf1d0", "#4a3a10"),
    "operation": ("#fff", "#20242d"), "layer": ("#f1f2f5", "#2b303b"),
}  # fmt: skip
"""Each in light and dark."""

_LIGHT = ";".join(f"--{name}:{light}" for name, (light, _) in _COLOURS.items())
_BOTH = ";".join(f"--{name}:light-dark({x},{y})" for name, (x, y) in _COLOURS.items())
_ROOT = ".chainrule-graph"
STYLE = (
    f"<style>{_ROOT}:root{{color-scheme:light dark}}{_ROOT}{{{_LIGHT}}}"
    f"@supports(color:light-dark(red,red)){{{_ROOT}{{{_BOTH}}}}}"
    f"{_ROOT} text{{font:12px {FONT};fill:var(--ink);white-space:pre;"
    "direction:ltr;unicode-bidi:embed}"
    f"{_ROOT} .name{{font-weight:bold}}{_ROOT} .faint{{fill:var(--faint)}}"
    f"{_ROOT} .gradient{{fill:var(--gradient)}}{_ROOT} .page{{fill:var(--page)}}"
    f"{_ROOT} .edge{{fill:none;stroke:var(--line);stroke-width:1.3}}"
    f"{_ROOT} .head{{fill:var(--line)}}{_ROOT} .box{{stroke:var(--line);stroke-width:1.2}}"
    + "".join(f"{_ROOT} .{kind}{{fill:var(--{kind})}}" for kind in KINDS)
    + f"{_ROOT} .fixed{{stroke-dasharray:4 3}}</style>"
)
"""Colours as the page around it is light or dark, such as that of a notebook, and of a file by the
reader's setting; no rule reaches beyond the picture."""


@dataclass(frozen=True, slots=True)
class Picture:
    """A picture that a notebook shows; `svg` is its text, `save` writes it as an SVG file."""

    svg: str

    def save(self, path: str | os.PathLike[str]) -> Path:
        """Write the stand-alone SVG file: all of it or nothing.

        Raises:
            OSError: the folder does not exist or cannot be written.
        """
        return write_whole(path, self.svg)

    def _repr_svg_(self) -> str:
        return self.svg

    def __repr__(self) -> str:
        return "Picture(shown in a notebook; .save('picture.svg') writes it)"


@dataclass(frozen=True)
class Box:
    """A rectangle with lines of text.

    Attributes:
        lines: each a text and its style: "name", "", "faint" or "gradient".
        kind: one of `KINDS`, told by shape and colour.
        reads: the numbers of the boxes that it is computed from, all before it.
        fixed: whether its border is dashed.
    """

    lines: tuple[tuple[str, str], ...]
    kind: str
    reads: tuple[int, ...] = ()
    fixed: bool = False

    @property
    def size(self) -> tuple[float, float]:
        """Width and height in pixels."""
        width = max((cells(text) for text, _ in self.lines), default=0) * CHARACTER
        return width + 2 * PADDING, len(self.lines) * LINE + 2 * PADDING - 4


def box(
    lines: Iterable[tuple[str, str]], kind: str, reads: Iterable[int] = (), *, fixed: bool = False
) -> Box:
    """A box whose lines are free of control characters, and cut where they are long."""
    most = {"name": LONGEST, "faint": LONGEST}
    cut = tuple((clean(text, most.get(style, NUMBERS)), style) for text, style in lines)
    return Box(cut, kind, tuple(reads), fixed)


def diagram(
    boxes: Sequence[Box], title: str, legend: Sequence[tuple[str, str]] = (), description: str = ""
) -> Picture:
    """The picture of boxes, those that are read above their readers.

    Args:
        boxes: in an order in which each comes after those that it reads.
        title, description: for screen readers.
        legend: texts below the legend of kinds, each with its style.
    """
    layers = layered([x.size for x in boxes], [x.reads for x in boxes], GAPS)
    items = [item for layer in layers for item in layer]
    drawn = [_edge(up, down, boxes) for up in items for down in up.below]
    drawn += [_box(boxes[x.box], x) for x in items if x.box is not None]
    bottom = max((x.y + x.height for x in items), default=0.0) + MARGIN
    right = max((x.x + x.width / 2 for x in items), default=0.0)
    kinds = [kind for kind in KINDS if any(x.kind == kind for x in boxes)]
    below, size = _legend(kinds, legend, bottom + LINE)
    width, height = round(max(right, size[0]) + 2 * MARGIN), round(size[1] + MARGIN)
    body = f'<g transform="translate({MARGIN:g} {MARGIN:g})">{"".join(drawn)}{"".join(below)}</g>'
    said = f"<desc>{html.escape(clean(description, 2000))}</desc>" if description else ""
    return Picture(
        f'<svg xmlns="http://www.w3.org/2000/svg" class="{_ROOT[1:]}" role="img" '
        f'viewBox="0 0 {width} {height}" width="{width}" height="{height}" '
        f'style="max-width:100%;height:auto">\n'
        f"<title>{html.escape(clean(title, 300))}</title>{said}{STYLE}\n"
        f'<rect class="page" width="{width}" height="{height}" rx="8"/>\n{body}\n</svg>\n'
    )


def _edge(start: Item, end: Item, boxes: Sequence[Box]) -> str:
    """A line down to the next layer, with an arrow where it ends at a box."""
    x1, y1 = start.x, start.y + start.height
    x2, y2 = end.x, end.y
    if end.box is not None and len(end.above) > 1:  # side by side, in the order of their sources
        order = sorted(end.above, key=lambda item: item.x)
        x2 += end.width * 0.7 * (order.index(start) / (len(order) - 1) - 0.5)
    if start.box is None:
        y1 -= start.height
    tip = 6 if end.box is not None else 0
    y2 -= BACK if end.box is not None and boxes[end.box].kind == "layer" else 0
    bend = max(y2 - (start.y + start.height), GAPS[1]) * 0.6
    straight = f" L{x1:.1f} {start.y + start.height:.1f}" if start.box is None else ""
    top = start.y + start.height
    path = (
        f'<path class="edge" d="M{x1:.1f} {y1:.1f}{straight} C{x1:.1f} {top + bend:.1f} '
        f'{x2:.1f} {y2 - bend:.1f} {x2:.1f} {y2 - tip:.1f}"/>'
    )
    head = f'<path class="head" d="M{x2:.1f} {y2:.1f}l-4 -8h8z"/>' if tip else ""
    return path + head + "\n"


def _box(drawn: Box, at: Item) -> str:
    left = at.x - at.width / 2
    parts = [_outline(drawn.kind, left, at.y, at.width, at.height, drawn.fixed)]
    for k, (text, style) in enumerate(drawn.lines, start=1):
        place = f'x="{left + PADDING:.1f}" y="{at.y + PADDING - 8 + k * LINE:.1f}"'
        named = f' class="{style}"' if style else ""
        parts.append(f'<text {place}{named} xml:space="preserve">{html.escape(text)}</text>')
    return "".join(parts) + "\n"


def _outline(kind: str, x: float, y: float, w: float, h: float, fixed: bool = False) -> str:
    """The shape of a kind: round, without corners, square, or square with a second edge."""
    named = f'class="box {kind}{" fixed" if fixed else ""}"'
    if kind == "parameter":
        c = min(CUT, h / 3)
        return (
            f'<path {named} d="M{x + c:.1f} {y:.1f}h{w - 2 * c:.1f}l{c:g} {c:g}v{h - 2 * c:.1f}'
            f'l-{c:g} {c:g}h-{w - 2 * c:.1f}l-{c:g} -{c:g}v-{h - 2 * c:.1f}z"/>'
        )
    place = f'x="{x:.1f}" y="{y:.1f}" width="{w:.1f}" height="{h:.1f}"'
    rounded = {"input": min(14.0, h / 2), "layer": 3.0}.get(kind, 1.0)
    outline = f'<rect {named} {place} rx="{rounded:g}"/>'
    if kind == "layer":
        back = f'x="{x + BACK:.1f}" y="{y - BACK:.1f}" width="{w:.1f}" height="{h:.1f}"'
        return f'<rect {named} {back} rx="{rounded:g}"/>{outline}'
    return outline


def _legend(
    kinds: Sequence[str], texts: Sequence[tuple[str, str]], y: float
) -> tuple[list[str], tuple[float, float]]:
    """The kinds with their shapes, then the texts, a line each; with the size of the picture."""
    parts, x, widest = [], 0.0, 0.0
    for kind in kinds:
        parts.append(_outline(kind, x, y - 11, 22, 13))
        parts.append(f'<text x="{x + 30:.1f}" y="{y:.1f}">{kind}</text>')
        x += 30 + len(kind) * CHARACTER + 20
    widest = x
    for text, style in texts:
        y += LINE + 2
        said = clean(text, 120)
        named = f' class="{style}"' if style else ""
        parts.append(f'<text x="0" y="{y:.1f}"{named}>{html.escape(said)}</text>')
        widest = max(widest, cells(said) * CHARACTER)
    return parts, (widest, y + MARGIN)
