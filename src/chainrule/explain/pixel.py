"""One element of a convolution or a pooling layer: its window, weights, products and their sum."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np

from chainrule.display.tables import facts_html
from chainrule.errors import GraphError, ShapeError, did_you_mean
from chainrule.explain.formula import number
from chainrule.graph.graph import Graph
from chainrule.graph.node import Array, Node, Operation
from chainrule.nn.kinds import channels_first, image_kind
from chainrule.system.checks import as_integer
from chainrule.types import N

CHANNELS = 8
"""Channels of a window that are written."""


@dataclass(frozen=True)
class Pixel:
    """One element of a layer and all that it is made of; `str(pixel)` shows it as grids.

    Attributes:
        layer: its name.
        kind: of the layer, such as "conv 3x3".
        row, at, channel: of the element.
        window: the elements of the operand that it sees, padding included, (*size, channels); of
            a transposed convolution the element that each weight brings here, 0 where there is
            none.
        weights: of the filter, in the same shape; None for pooling.
        products: element by element.
        bias: of the filter, or None.
        z: what goes into the activation; without one, the result.
        value: the element.
    """

    layer: str
    kind: str
    row: int
    at: tuple[int, ...]
    channel: int
    window: Array
    weights: Array | None
    bias: float | None
    z: float
    value: float
    digits: int = 4

    @property
    def products(self) -> Array | None:
        """The window times the weights, element by element."""
        return None if self.weights is None else self.window * self.weights

    @property
    def total(self) -> float:
        """The sum of the products, in float64."""
        products = self.window if self.products is None else self.products
        return float(np.sum(products, dtype=np.float64))

    def __str__(self) -> str:
        place = ", ".join(map(str, (self.row, *self.at)))
        lines = [f"{self.layer}[{place}], channel {self.channel}: {self.kind}"]
        shown = min(self.window.shape[-1], CHANNELS)
        for c in range(shown):
            many = self.window.shape[-1] > 1
            lines += self._grids(c, f" of channel {c}" if many else "")
        left = self.window.shape[-1] - shown
        lines += [f"  and {left} more channels"] if left else []
        return "\n".join([*lines, *self._sum()])

    def _grids(self, channel: int, of: str) -> list[str]:
        grids = [("window" + of, self.window)]
        if self.weights is not None and self.products is not None:
            grids += [("weights", self.weights), ("products", self.products)]
        columns = [[title, *_grid(array[..., channel], self.digits)] for title, array in grids]
        widths = [max(map(len, column)) for column in columns]
        rows = zip(*columns, strict=True)
        return ["  " + "   ".join(map(str.ljust, row, widths)).rstrip() for row in rows]

    def _sum(self) -> list[str]:
        def text(x: float) -> str:
            return number(np.asarray(x), self.digits)

        value = text(self.value)
        if self.weights is None:
            return [f"  {'the largest of them' if 'max' in self.kind else 'the mean'}: {value}"]
        lines = [f"  sum of the {self.window.size} products: {text(self.total)}"]
        if self.bias is not None:
            lines.append(f"  plus the bias {text(self.bias)}: {text(self.z)}")
        if self.z != self.value:
            lines.append(f"  after the activation: {value}")
        return lines

    def _repr_html_(self) -> str:
        first, *lines = str(self).splitlines()
        return facts_html(first, ("", "\n".join(lines)))


def _grid(array: Array, digits: int) -> list[str]:
    """The numbers of a window in rows and columns; planes of a volume follow each other."""
    table = array.reshape(-1, array.shape[-1]) if array.ndim > 1 else array.reshape(1, -1)
    texts = [[number(np.asarray(x), digits) for x in row] for row in table]
    widths = [max(map(len, column)) for column in zip(*texts, strict=True)]
    return ["  ".join(map(str.rjust, row, widths)) for row in texts]


def pixel(
    graph: Graph, value: Callable[[Node], Array], rows: int, layer: str, at: int | Sequence[int],
    channel: int, row: int, digits: int,
) -> Pixel:  # fmt: skip
    """The pixel of a trace; see `Trace.pixel`."""
    head = graph.find(layer)
    group = [x for x in graph if x.scope is head.scope]
    kind = image_kind(group) or ""
    if kind.split(" ")[0] not in _KINDS:
        known = dict.fromkeys(graph.scopes[x.scope] for x in graph if x.suffix == ".windows")
        raise GraphError(
            "pixel", f"{layer!r} is not a convolution or a pooling layer", got=kind or None,
            fix=did_you_mean(layer, list(known)) if known else None,
        )  # fmt: skip
    result = next(x for x in reversed(group) if not x.suffix)
    first = channels_first(group)
    spatial = result.shape[2:] if first else result.shape[1:-1]
    count = result.shape[1 if first else -1]
    place = tuple(at) if isinstance(at, Sequence) else (at,)
    sizes = (rows, *spatial, count)
    _check(layer, (row, *place, channel), tuple(d for d in sizes if isinstance(d, int)))
    index = (row, channel, *place) if first else (row, *place, channel)
    window = _window(value, group, first, row, place)  # (*size, channels)
    w = next((x for x in group if x.suffix == ".w"), None)
    element = float(value(result)[index])
    if w is None:
        return Pixel(
            layer, kind, row, place, channel, window[..., channel : channel + 1], None, None,
            element, element, digits,
        )  # fmt: skip
    weights = value(w)
    i, o = weights.shape[-2:]
    group_of = channel // (o // (window.shape[-1] // i))
    b = next((x for x in group if x.suffix == ".b"), None)
    z = next((x for x in group if x.suffix == ".z"), result)
    return Pixel(
        layer, kind, row, place, channel, window[..., group_of * i : (group_of + 1) * i],
        weights[..., channel], None if b is None else float(value(b)[channel]),
        float(value(z)[index]), element, digits,
    )  # fmt: skip


_KINDS = ("conv", "depthwise_conv", "conv_transpose", "max_pool", "average_pool")


def _window(
    value: Callable[[Node], Array], group: Sequence[Node], first: bool, row: int,
    place: tuple[int, ...],
) -> Array:  # fmt: skip
    """The window of a place, (*size, channels)."""
    made: dict[str, Operation] = {}
    for node in group:
        if isinstance(node, Operation):
            made.setdefault(node.op.name, node)
    if "windows" in made:
        found: Array = value(made["windows"])[(row, *place)]
        return found.reshape(*found.shape[: len(place)], -1)  # the channels of all groups
    inside = set(group)
    x = next(y for node in group for y in node.inputs if y not in inside and y.shape[:1] == (N,))
    array = (np.moveaxis(value(x), 1, -1) if first else value(x))[row]
    if "overlap_add" in made:
        w = next(x for x in group if x.suffix == ".w")
        return _brought(array, made["overlap_add"], value(w).shape[:-2], place)
    alone: Array = array[place].reshape(*(1,) * len(place), -1)
    return alone


def _brought(
    x: Array, spread: Operation, size: tuple[int, ...], place: tuple[int, ...]
) -> Array:  # fmt: skip
    """The elements that the weights of a transposed convolution bring to a place."""
    stride, dilation, before = (spread.attributes[k] for k in ("stride", "dilation", "before"))
    window = np.zeros((*size, x.shape[-1]), x.dtype)
    for k in np.ndindex(size):
        steps = [
            divmod(p + b - i * d, s)
            for p, b, i, d, s in zip(place, before, k, dilation, stride, strict=True)
        ]
        inside = zip(steps, x.shape[:-1], strict=True)
        if all(rest == 0 and 0 <= at < n for (at, rest), n in inside):
            window[k] = x[tuple(at for at, _ in steps)]
    return window


def _check(layer: str, index: Sequence[object], sizes: Sequence[int]) -> None:
    fits = len(index) == len(sizes) and all(
        (number := as_integer(k)) is not None and 0 <= number < n
        for k, n in zip(index, sizes, strict=False)
    )
    if not fits:
        rows, *places, channels = sizes
        raise ShapeError(
            "pixel", f"{layer!r} has no such element",
            expected=f"row below {rows}, at below {tuple(places)}, channel below {channels}",
            got=f"row {index[0]}, at {tuple(index[1:-1])}, channel {index[-1]}",
        )  # fmt: skip
