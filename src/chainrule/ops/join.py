"""Concatenation and splitting of arrays along an axis."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from itertools import pairwise

import numpy as np

from chainrule.errors import ShapeError
from chainrule.graph.attributes import AXIS
from chainrule.graph.node import Node, NodeLike, Operation, apply
from chainrule.graph.op import Element, Values, function, op
from chainrule.ir.index import Place, add, call, clamp, const, scalar
from chainrule.ir.kernel import Const, Expr
from chainrule.ops.build import as_node, promote
from chainrule.ops.shape import expand_dims, static_axis, without_axis
from chainrule.system.checks import as_integer
from chainrule.types import TensorType, joined_names, show


def _infer_concat(*xs: TensorType, axis: int) -> TensorType:
    first = xs[0]
    for x in xs:
        alike = (x.dtype, x.ndim) == (first.dtype, first.ndim)
        if not alike or without_axis(x.shape, axis) != without_axis(first.shape, axis):
            raise ShapeError(
                "concat",
                f"the parts differ on another axis than {axis}",
                got=" and ".join(dict.fromkeys(str(x) for x in xs)),
            )
    sizes = [d for x in xs if isinstance(d := x.shape[axis], int)]
    if len(sizes) < len(xs):
        raise ShapeError("concat", "not possible along the batch axis", got=str(first))
    cut = (TensorType((*x.shape[:axis], 1, *x.shape[axis + 1 :]), x.dtype, x.axes) for x in xs)
    shape = (*first.shape[:axis], sum(sizes), *first.shape[axis + 1 :])
    return TensorType(shape, first.dtype, joined_names(*cut))


def _lower_concat(node: Operation, place: Place, value: Values) -> Expr:
    axis = node.attributes["axis"]
    at, sizes = place[axis], [int(x.shape[axis]) for x in node.operands]
    out: Expr | None = None
    for x, size, end in reversed(list(zip(node.operands, sizes, _ends(sizes), strict=True))):
        if not size:
            continue
        inner = clamp(add(at, const(size - end)), size)
        part = value(x, (*place[:axis], inner, *place[axis + 1 :]))
        inside = call("lt", "bool", at, const(end))
        out = part if out is None else scalar("select", inside, part, out)
    return Const(0, node.dtype) if out is None else out


CONCAT = op(
    "concat",
    "view",
    infer=_infer_concat,
    attributes={"axis": AXIS},
    forward=lambda *xs, axis: np.concatenate(xs, axis=axis),
    gradient=lambda gy, y, *xs, axis: tuple(split(gy, _ends(x.shape[axis] for x in xs)[:-1], axis)),
    lower=Element(_lower_concat, spreads=True, deep=True, joins="axis"),
    formula="concat({0}, ..., axis={axis})",
)


def _ends(sizes: Iterable[object]) -> list[int]:
    return [int(end) for end in np.cumsum(list(sizes))]


@function
def concat(nodes: Sequence[NodeLike], axis: int = -1) -> Node:
    """Arrays joined along an axis that they all have; not the batch axis.

    Raises:
        ShapeError: there are none, they differ on another axis, or the axis is the batch axis.
    """
    parts = _several("concat", nodes)
    if any(x.ndim != parts[0].ndim for x in parts):
        raise ShapeError(
            "concat",
            "the parts have different numbers of axes",
            got=" and ".join(show(x.shape) for x in parts),
        )
    axes = {static_axis("concat", x, axis) for x in parts}
    return apply(CONCAT, *parts, axis=axes.pop()) if len(parts) > 1 else parts[0]


@function
def stack(nodes: Sequence[NodeLike], axis: int = -1) -> Node:
    """Arrays of one shape joined along a new axis; `axis` counts in the result."""
    parts = _several("stack", nodes)
    if any(x.shape != parts[0].shape for x in parts):
        raise ShapeError(
            "stack",
            "the parts have different shapes",
            got=" and ".join(show(x.shape) for x in parts),
        )
    return concat([expand_dims(x, axis) for x in parts], axis)


def _several(where: str, nodes: Sequence[NodeLike] | Node) -> tuple[Node, ...]:
    if isinstance(nodes, Node) or not isinstance(nodes, Iterable) or not (nodes := tuple(nodes)):
        raise ShapeError(
            where,
            "needs a list of one node or more",
            got=repr(nodes),
        )
    return promote(where, *nodes)


@function
def split(x: NodeLike, sections: int | Sequence[int], axis: int = -1) -> list[Node]:
    """`x` cut along an axis into parts.

    Args:
        x: any node.
        sections: the number of equal parts, or the positions of the cuts, ascending.
        axis: not the batch axis.

    Raises:
        ShapeError: equal parts are not possible, or the positions are out of order or range.
    """
    x = as_node(x)
    axis = static_axis("split", x, axis)
    size = int(x.shape[axis])  # type: ignore[arg-type]
    if isinstance(sections, int):
        if sections < 1 or size % sections:
            raise ShapeError(
                "split", f"{size} elements do not make {sections} equal parts", got=show(x.shape)
            )
        sections = range(size // sections, size, size // sections) if size else [0] * (sections - 1)
    given = tuple(sections) if isinstance(sections, Iterable) else (None,)
    cuts = [x for x in map(as_integer, given) if x is not None]
    ends = [0, *cuts, size]
    if len(cuts) != len(given) or ends != sorted(ends):
        raise ShapeError(
            "split",
            "cuts must be ascending and in range",
            expected=f"0 to {size}",
            got=repr(sections),
        )
    lead = (slice(None),) * axis
    return [x[(*lead, slice(a, b))] for a, b in pairwise(ends)]
