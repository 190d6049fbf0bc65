"""A picture of a small graph: every node with its formula, its value and its gradient, as SVG."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from html import escape

from chainrule import Node, Trace
from chainrule.explain.formula import expression, number
from chainrule.graph.node import Array, Input, Parameter

CHARACTER, LINE, PADDING, GAP = 7.3, 17, 9, 34
MARGIN, BETWEEN = 14.0, 18.0
FONT = "ui-monospace, SFMono-Regular, Menlo, Consolas, 'DejaVu Sans Mono', monospace"
AXES = re.compile(r", axis=\([^)]*\)")
FILLS = {Input: "#e3eefb", Parameter: "#fdf1d0"}
STYLE = f"""<style>
text {{ font: 12px {FONT}; fill: #1f2430 }}
.name {{ font-weight: bold }}
.formula {{ fill: #59606e }}
.gradient {{ fill: #b03a13 }}
.edge {{ fill: none; stroke: #8a93a3; stroke-width: 1.3 }}
</style>"""


@dataclass
class Box:
    """A node as a rectangle with lines of text, each with its class."""

    node: Node
    lines: list[tuple[str, str]]
    x: float = 0.0
    y: float = 0.0
    width: float = 0.0

    def __post_init__(self) -> None:
        self.width = max(len(text) for text, _ in self.lines) * CHARACTER + 2 * PADDING

    @property
    def height(self) -> float:
        """The height of all lines."""
        return len(self.lines) * LINE + 2 * PADDING - 4


def picture(trace: Trace, shown: Sequence[Node], loss: str, title: str) -> str:
    """The SVG text of a trace after its backward pass.

    Args:
        trace: with values and gradients.
        shown: the nodes to draw; formulas are expanded down to these.
        loss: the name of the loss.
        title: for screen readers.
    """
    names = {x: trace.graph.name(x) for x in shown}
    parents = {x: _parents(x, names) for x in shown}
    boxes = {x: Box(x, _lines(trace, x, names, loss)) for x in shown}
    layers = _layers(shown, parents)
    width, height = _place([[boxes[x] for x in layer] for layer in layers])
    edges = [edge for x in shown for edge in _edges([boxes[p] for p in parents[x]], boxes[x])]
    body = [STYLE, f'<rect width="{width:g}" height="{height:g}" rx="8" fill="#ffffff"/>']
    body += edges + [_drawn(box) for box in boxes.values()] + [_legend(height, loss)]
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" role="img" viewBox="0 0 {width:g} {height:g}" '
        f'width="{width:g}" height="{height:g}">\n<title>{escape(title)}</title>\n'
        + "\n".join(body)
        + "\n</svg>\n"
    )


def _parents(node: Node, names: dict[Node, str]) -> list[Node]:
    """The drawn nodes that `node` is computed from, directly or through others."""
    parents: dict[Node, None] = {}
    stack = list(reversed(node.inputs))
    while stack:
        x = stack.pop()
        if x in names:
            parents.setdefault(x)
        else:
            stack.extend(reversed(x.inputs))
    return list(parents)


def _lines(trace: Trace, node: Node, names: dict[Node, str], loss: str) -> list[tuple[str, str]]:
    title = names[node]
    if node.inputs:
        formula = expression(node, names.get)
        title += " = " + AXES.sub("", formula)
    lines = [(title, "name"), *((text, "value") for text in _rows(trace.value(node)))]
    gradient = _rows(trace.gradient(node))
    mark = f"∂{loss} "
    lines.append((mark + gradient[0], "gradient"))
    return lines + [(" " * len(mark) + row, "gradient") for row in gradient[1:]]


def _rows(array: Array) -> list[str]:
    """An array as text, a matrix row by row."""
    if array.ndim == 2 and min(array.shape) > 1:
        return [number(row, 3) for row in array]
    return [number(array, 3)]


def _layers(shown: Sequence[Node], parents: dict[Node, list[Node]]) -> list[list[Node]]:
    """Layers with each node below its parents; nodes without parents right above their readers."""
    depth: dict[Node, int] = {}
    for node in shown:
        depth[node] = 1 + max((depth[x] for x in parents[node]), default=-1)
    for node in shown:
        if not parents[node]:
            depth[node] = min(depth[x] for x in shown if node in parents[x]) - 1
    layers: list[list[Node]] = [[] for _ in range(max(depth.values()) + 1)]
    for node in sorted(shown, key=lambda x: isinstance(x, Input) + 2 * isinstance(x, Parameter)):
        layers[depth[node]].append(node)
    return layers


def _place(layers: list[list[Box]]) -> tuple[float, float]:
    """Places the boxes, layer below layer in columns; returns the size of the picture."""
    widths = [
        max(layer[k].width for layer in layers if k < len(layer))
        for k in range(max(map(len, layers)))
    ]
    y = MARGIN
    for layer in layers:
        y += max(box.height for box in layer)
        for k, box in enumerate(layer):
            box.x, box.y = MARGIN + sum(widths[:k]) + k * BETWEEN, y - box.height
            box.width = widths[k]
        y += GAP
    width = sum(widths) + BETWEEN * (len(widths) - 1) + 2 * MARGIN
    return round(width), round(y - GAP + 3 * LINE + MARGIN)


def _edges(starts: list[Box], end: Box) -> list[str]:
    """Arrows to the top of a box, side by side in the order of their sources."""
    paths = []
    for k, start in enumerate(sorted(starts, key=lambda box: box.x)):
        x1, y1 = start.x + start.width / 2, start.y + start.height
        x2, y2 = end.x + end.width * (0.5 + 0.4 * k / max(len(starts) - 1, 1)), end.y
        bend = max(y2 - y1, GAP) * 0.6
        paths.append(
            f'<path class="edge" d="M{x1:.1f} {y1:.1f} C{x1:.1f} {y1 + bend:.1f} '
            f'{x2:.1f} {y2 - bend:.1f} {x2:.1f} {y2 - 6:.1f}"/>'
            f'<path d="M{x2:.1f} {y2:.1f} l-4 -8 h8 z" fill="#8a93a3"/>'
        )
    return paths


def _drawn(box: Box) -> str:
    fill = FILLS.get(type(box.node), "#ffffff")
    parts = [
        f'<rect x="{box.x:.1f}" y="{box.y:.1f}" width="{box.width:.1f}" '
        f'height="{box.height:.1f}" rx="5" fill="{fill}" stroke="#8a93a3"/>'
    ]
    for k, (text, style) in enumerate(box.lines, start=1):
        at = f'x="{box.x + PADDING:.1f}" y="{box.y + PADDING - 5 + k * LINE - 3:.1f}"'
        parts.append(f'<text {at} class="{style}" xml:space="preserve">{escape(text)}</text>')
    return "\n".join(parts)


def _legend(height: float, loss: str) -> str:
    entries = [("input", "#e3eefb"), ("parameter", "#fdf1d0"), ("operation", "#ffffff")]
    parts, x, y = [], MARGIN, height - MARGIN - LINE
    for text, fill in entries:
        parts.append(
            f'<rect x="{x:.1f}" y="{y - 10:.1f}" width="14" height="12" rx="2" fill="{fill}" '
            f'stroke="#8a93a3"/><text x="{x + 20:.1f}" y="{y:.1f}">{text}</text>'
        )
        x += 20 + len(text) * CHARACTER + 24
    text = f"∂{loss}: gradient of {loss} by the box, computed backward"
    x, y = MARGIN, height - MARGIN + 2
    parts.append(f'<text x="{x:.1f}" y="{y:.1f}">value, computed forward</text>')
    x += 23 * CHARACTER + 24
    parts.append(f'<text x="{x:.1f}" y="{y:.1f}" class="gradient">{escape(text)}</text>')
    return "\n".join(parts)
