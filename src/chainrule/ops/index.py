"""Elements selected by indices that are data: look-up tables, labels, classes."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import numpy as np

from chainrule.errors import DTypeError, FeedError, ShapeError
from chainrule.graph.attributes import AXIS, DTYPE, NATURAL, SHAPE
from chainrule.graph.node import Array, Node, NodeLike, Operation, apply
from chainrule.graph.op import Element, Reduce, ScatterAdd, Values, function, op
from chainrule.ir.index import Place, call, clamp, in_bounds, scalar
from chainrule.ir.kernel import Const, Expr
from chainrule.ops.build import accumulator, as_node, broadcast_to
from chainrule.ops.shape import without_axis
from chainrule.types import (
    FLOATS,
    INTEGERS,
    Dim,
    Shape,
    TensorType,
    broadcast_shapes,
    distinct,
    joined_names,
    normalise_axis,
    show,
)

# ---------------------------------------------------------------- what they share


def require_integers(where: str, indices: TensorType) -> None:
    """Raises DTypeError where indices are not integers."""
    if indices.dtype not in INTEGERS:
        raise DTypeError(
            where,
            "indices are integers",
            expected=" or ".join(INTEGERS),
            got=str(indices),
            fix='cast them: cast(indices, "int32")',
        )


def checked(where: str, indices: Array, size: int) -> Array:
    """`indices`, if all are from 0 to `size` - 1. Raises FeedError, naming the first other."""
    bad = (indices < 0) | (indices >= size)
    if bad.any():
        place = tuple(int(k) for k in np.argwhere(bad)[0])
        raise FeedError(
            where,
            "an index is out of range",
            expected=f"0 to {size - 1}" if size else "no index: there are no elements",
            got=int(indices[place]),
            at=f"row {place[0]}" + (f", element {place[1:]}" if place[1:] else "")
            if place
            else None,
            fix="count from 0; negative indices do not count from the end",
        )
    return indices


def _adjoint(where: str, infer: Callable[..., TensorType]) -> Callable[..., TensorType]:
    """The infer rule of the adjoint of a look-up; `infer` is that of the look-up."""

    def rule(x: TensorType, indices: TensorType, axis: int, shape: Shape) -> TensorType:
        if axis >= len(shape):
            raise ShapeError(where, "no such axis", expected=f"below {len(shape)}", got=axis)
        expected = infer(TensorType(shape, x.dtype), indices, axis)
        if expected != x:
            raise ShapeError(where, "the shape does not fit", expected=expected, got=x)
        return TensorType(shape, x.dtype)

    return rule


def _added_up(x: Array, places: tuple[Any, ...], shape: tuple[int, ...]) -> Array:
    """Zeros of `shape` to which `x` is added at `places`, which may repeat."""
    total = np.zeros(shape, accumulator(x))
    np.add.at(total, places, x)
    return total.astype(x.dtype, copy=False)


def _along_axis(node: Operation) -> tuple[Node, Dim]:
    """The indices of `take` and `gather`, and the size of the axis that they index."""
    x, indices = node.operands
    return indices, x.shape[node.attributes["axis"]]


def _or_nan(element: Expr, index: Expr, size: Dim) -> Expr:
    """The element at an index; NaN where it is out of range, which stops a training step."""
    if element.dtype not in FLOATS:
        return element
    return scalar("select", in_bounds(index, size), element, Const(math.nan, element.dtype))


# ---------------------------------------------------------------- take, scatter_add


def _infer_take(table: TensorType, indices: TensorType, axis: int) -> TensorType:
    require_integers("take", indices)
    lead, after = table.shape[:axis], table.shape[axis + 1 :]
    axes = distinct((*table.names[:axis], *indices.names, *table.names[axis + 1 :]))
    return TensorType((*lead, *indices.shape, *after), table.dtype, axes)


def _lower_take(node: Operation, place: Place, value: Values) -> Expr:
    table, indices = node.operands
    axis = node.attributes["axis"]
    end, size = axis + indices.ndim, table.shape[axis]
    index = call("cast", "int64", value(indices, place[axis:end]))
    return _or_nan(value(table, (*place[:axis], clamp(index, size), *place[end:])), index, size)


TAKE = op(
    "take",
    "index",
    infer=_infer_take,
    attributes={"axis": AXIS},
    forward=lambda table, indices, axis: np.take(
        table, checked("take", indices, table.shape[axis]), axis=axis
    ),
    gradient=lambda gy, y, table, indices, axis: (
        scatter_add(gy, indices, axis=axis, shape=table.shape),
        None,
    ),
    lower=Element(_lower_take, spreads=True, choice=_along_axis),
    formula="take({0}, {1}, axis={axis})",
    convention="An index below 0 or beyond the end is an error.",
)


@function
def take(table: NodeLike, indices: NodeLike, axis: int = 0) -> Node:
    """Slices of `table` along one axis: `table[indices]` for axis 0, a look-up of rows.

    Args:
        table: the array to select from.
        indices: integers of any shape, from 0; their shape takes the place of the axis.
        axis: of `table`.

    Raises:
        DTypeError: the indices are not integers. FeedError, in a run: one is out of range.
    """
    table, indices = as_node(table), as_node(indices)
    return apply(TAKE, table, indices, axis=normalise_axis("take", axis, table.ndim))


def _forward_scatter_add(x: Array, indices: Array, axis: int, shape: tuple[int, ...]) -> Array:
    place = checked("scatter_add", indices, shape[axis])
    return _added_up(x, (*(slice(None),) * axis, place), shape)


SCATTER_ADD = op(
    "scatter_add",
    "index",
    infer=_adjoint("scatter_add", _infer_take),
    attributes={"axis": NATURAL, "shape": SHAPE},
    forward=_forward_scatter_add,
    gradient=lambda gy, y, x, indices, axis, shape: (take(gy, indices, axis), None),
    lower=ScatterAdd(),
    formula="scatter_add({0}, {1}, axis={axis}, to {shape})",
    convention="The adjoint of take. float32 is accumulated in float64.",
)


def scatter_add(x: Node, indices: Node, *, axis: int, shape: Shape) -> Node:
    """Zeros of `shape` to which the slices of `x` are added at `indices` along `axis`."""
    return apply(SCATTER_ADD, x, indices, axis=axis, shape=shape)


# ---------------------------------------------------------------- gather, scatter_add_along


def _infer_gather(x: TensorType, indices: TensorType, axis: int) -> TensorType:
    require_integers("gather", indices)
    if without_axis(x.shape, axis) != without_axis(indices.shape, axis):
        raise ShapeError(
            "gather",
            f"the shapes differ on another axis than {axis}",
            got=f"{show(x.shape)} and {show(indices.shape)}",
        )
    return TensorType(indices.shape, x.dtype, joined_names(x, indices))


def _lower_gather(node: Operation, place: Place, value: Values) -> Expr:
    x, indices = node.operands
    axis = node.attributes["axis"]
    size = x.shape[axis]
    index = call("cast", "int64", value(indices, place))
    return _or_nan(value(x, (*place[:axis], clamp(index, size), *place[axis + 1 :])), index, size)


GATHER = op(
    "gather",
    "index",
    infer=_infer_gather,
    attributes={"axis": AXIS},
    forward=lambda x, indices, axis: np.take_along_axis(
        x, checked("gather", indices, x.shape[axis]), axis=axis
    ),
    gradient=lambda gy, y, x, indices, axis: (
        scatter_add_along(gy, indices, axis=axis, shape=x.shape),
        None,
    ),
    lower=Element(_lower_gather, choice=_along_axis),
    formula="gather({0}, {1}, axis={axis})",
    convention="An index below 0 or beyond the end is an error.",
)


@function
def gather(x: NodeLike, indices: NodeLike, axis: int = -1) -> Node:
    """Elements of each row by its own indices: `y[n, j] = x[n, indices[n, j]]` for the last axis.

    Args:
        x: the array to select from.
        indices: integers with as many axes as `x`; the axes other than `axis` broadcast.
        axis: along which the indices count.

    Raises:
        DTypeError: the indices are not integers. ShapeError: the shapes do not fit. FeedError,
            in a run: an index is out of range.
    """
    x, indices = as_node(x), as_node(indices)
    if x.ndim != indices.ndim:
        raise ShapeError(
            "gather",
            "x and indices differ in their number of axes",
            got=f"{show(x.shape)} and {show(indices.shape)}",
            fix="one index a row: expand_dims(indices, -1)" if x.ndim > indices.ndim else None,
        )
    axis = normalise_axis("gather", axis, x.ndim)
    others = broadcast_shapes(
        "gather", without_axis(x.shape, axis), without_axis(indices.shape, axis)
    )
    x, indices = (
        broadcast_to(node, (*others[:axis], node.shape[axis], *others[axis:]))
        for node in (x, indices)
    )
    return apply(GATHER, x, indices, axis=axis)


def _forward_scatter_along(x: Array, indices: Array, axis: int, shape: tuple[int, ...]) -> Array:
    places = list(np.ogrid[tuple(slice(n) for n in indices.shape)])
    places[axis] = checked("scatter_add_along", indices, shape[axis])
    return _added_up(x, tuple(places), shape)


def _lower_scatter_along(
    node: Operation, place: Place, value: Values, loop: Callable[[Dim], Expr]
) -> Expr:
    x, indices = node.operands
    axis = node.attributes["axis"]
    inner = (*place[:axis], loop(x.shape[axis]), *place[axis + 1 :])
    index = call("cast", "int64", value(indices, inner))
    hit = call("eq", "bool", index, place[axis])
    return scalar("select", hit, value(x, inner), Const(0, node.dtype))


SCATTER_ADD_ALONG = op(
    "scatter_add_along",
    "index",
    infer=_adjoint("scatter_add_along", _infer_gather),
    attributes={"axis": AXIS, "shape": SHAPE},
    forward=_forward_scatter_along,
    gradient=lambda gy, y, x, indices, axis, shape: (gather(gy, indices, axis), None),
    lower=Reduce("sum", _lower_scatter_along),
    formula="scatter_add_along({0}, {1}, axis={axis}, to {shape})",
    convention="The adjoint of gather. float32 is accumulated in float64.",
)


def scatter_add_along(x: Node, indices: Node, *, axis: int, shape: Shape) -> Node:
    """Zeros of `shape` to which each element of `x` is added where `gather` would read it."""
    return apply(SCATTER_ADD_ALONG, x, indices, axis=axis, shape=shape)


# ---------------------------------------------------------------- one_hot


def _infer_one_hot(indices: TensorType, depth: int, dtype: str) -> TensorType:
    require_integers("one_hot", indices)
    return TensorType((*indices.shape, depth), dtype)


def _lower_one_hot(node: Operation, place: Place, value: Values) -> Expr:
    index = call("cast", "int64", value(node.operands[0], place[:-1]))
    hit = call("cast", node.dtype, call("eq", "bool", index, place[-1]))
    return _or_nan(hit, index, node.attributes["depth"])


ONE_HOT = op(
    "one_hot",
    "index",
    infer=_infer_one_hot,
    attributes={"depth": NATURAL, "dtype": DTYPE},
    forward=lambda indices, depth, dtype: np.equal(
        checked("one_hot", indices, depth)[..., None], np.arange(depth)
    ).astype(dtype),
    gradient=None,
    lower=Element(
        _lower_one_hot,
        spreads=True,
        choice=lambda node: (node.operands[0], node.attributes["depth"]),
    ),
    formula="one_hot({0}, {depth})",
    convention="An index below 0 or beyond the end is an error.",
)


@function
def one_hot(indices: NodeLike, depth: int, dtype: str = "float32") -> Node:
    """For each index a vector of `depth` zeros with a 1 at that position, along a new last axis.

    Raises:
        DTypeError: the indices are not integers. FeedError, in a run: one is out of range.
    """
    return apply(ONE_HOT, as_node(indices), depth=depth, dtype=dtype)
