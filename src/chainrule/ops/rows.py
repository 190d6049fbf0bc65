"""The table rows that a minibatch uses: their gradients summed, their new values written back.

Updates by rows are made of these ops, after differentiation: none of them has a gradient. Indices
have the shape (N, l): l look-ups an example. An entry has a position, `n * l + k`.
"""

from __future__ import annotations

import numpy as np

from chainrule.errors import DTypeError, ShapeError
from chainrule.graph.attributes import FLAG, NATURAL
from chainrule.graph.node import Array, Node, Operation, apply
from chainrule.graph.op import Element, LastEqual, ScatterAdd, Values, op
from chainrule.ir.index import Place, call, div_mod, flatten_index
from chainrule.ir.kernel import Expr
from chainrule.ops.build import accumulator
from chainrule.ops.index import checked, require_integers
from chainrule.types import TensorType, static_size

DENSE_ROWS = 2048
"""A table of more rows is large: it is updated by rows where that is exact."""

# ---------------------------------------------------------------- last_equal


def _infer_last_equal(indices: TensorType, size: int) -> TensorType:
    require_integers("last_equal", indices)
    if indices.ndim != 2:
        raise ShapeError("last_equal", "indices have two axes", expected="(N, l)", got=indices)
    return TensorType(indices.shape, "int32")


def _forward_last_equal(indices: Array, size: int) -> Array:
    _, which = np.unique(checked("last_equal", indices, size), return_inverse=True)
    which = which.reshape(-1)
    last = np.zeros(which.max(initial=-1) + 1, np.int32)
    last[which] = np.arange(which.size)  # of several at one position, the last one remains
    return last[which].reshape(indices.shape)


LAST_EQUAL = op(
    "last_equal",
    "index",
    infer=_infer_last_equal,
    attributes={"size": NATURAL},
    forward=_forward_last_equal,
    gradient=None,
    lower=LastEqual(),
    formula="last_equal({0})",
    convention="An index below 0 or beyond the end is an error.",
)


def last_equal(indices: Node, size: int) -> Node:
    """For each index, from 0 to `size` - 1, the position of the last one that is equal."""
    return apply(LAST_EQUAL, indices, size=size)


# ---------------------------------------------------------------- is_last


def _infer_is_last(positions: TensorType) -> TensorType:
    if positions.dtype != "int32":
        raise DTypeError("is_last", "positions are int32", got=positions)
    return TensorType(positions.shape, "bool")


def _lower_is_last(node: Operation, place: Place, value: Values) -> Expr:
    position = call("cast", "int32", flatten_index(place, node.shape))
    return call("eq", "bool", value(node.operands[0], place), position)


IS_LAST = op(
    "is_last",
    "index",
    infer=_infer_is_last,
    forward=lambda positions: positions == np.arange(positions.size).reshape(positions.shape),
    gradient=None,
    lower=Element(_lower_is_last),
    formula="is_last({0})",
)


def is_last(positions: Node) -> Node:
    """Whether each entry of `last_equal` is its own position: True once for each row in use."""
    return apply(IS_LAST, positions)


# ---------------------------------------------------------------- add_at, read_at


def _infer_at(x: TensorType, positions: TensorType) -> TensorType:
    require_integers("add_at", positions)
    if positions.ndim != 2 or x.shape[:2] != positions.shape:
        raise ShapeError("add_at", "the first axes differ", expected=positions, got=x)
    return x


def _split(node: Operation, position: Expr) -> tuple[Expr, Expr]:
    """The indices along the first two axes of an entry's position."""
    return div_mod(call("cast", "int64", position), static_size(node.shape[1:2]))


def _forward_add_at(x: Array, positions: Array) -> Array:
    flat = x.reshape(-1, *x.shape[2:])
    total = np.zeros(flat.shape, accumulator(x))
    np.add.at(total, positions.reshape(-1), flat)
    return total.astype(x.dtype, copy=False).reshape(x.shape)


ADD_AT = op(
    "add_at",
    "index",
    infer=_infer_at,
    forward=_forward_add_at,
    gradient=None,
    lower=ScatterAdd(_split),
    formula="add_at({0}, {1})",
    convention="float32 is accumulated in float64.",
)


def add_at(x: Node, positions: Node) -> Node:
    """Zeros like `x`, (N, l, ...), to which its slices are added at the positions in order."""
    return apply(ADD_AT, x, positions)


def _lower_read_at(node: Operation, place: Place, value: Values) -> Expr:
    x, positions = node.operands
    return value(x, (*_split(node, value(positions, place[:2])), *place[2:]))


READ_AT = op(
    "read_at",
    "index",
    infer=_infer_at,
    forward=lambda x, positions: x.reshape(-1, *x.shape[2:])[positions],
    gradient=None,
    lower=Element(_lower_read_at, spreads=True),
    formula="read_at({0}, {1})",
)


def read_at(x: Node, positions: Node) -> Node:
    """The slices of `x`, (N, l, ...), at the positions."""
    return apply(READ_AT, x, positions)


# ---------------------------------------------------------------- put_rows


def _infer_put_rows(
    table: TensorType, indices: TensorType, rows: TensorType, exact: bool
) -> TensorType:
    require_integers("put_rows", indices)
    if not table.ndim:
        raise ShapeError("put_rows", "a table has rows", got=table)
    expected = TensorType((*indices.shape, *table.shape[1:]), table.dtype)
    if rows != expected:
        raise ShapeError("put_rows", "the rows do not fit", expected=expected, got=rows)
    return table


def _forward_put_rows(table: Array, indices: Array, rows: Array, exact: bool) -> Array:
    new = table.copy()
    new[checked("put_rows", indices, len(table))] = rows
    return new


PUT_ROWS = op(
    "put_rows",
    "index",
    infer=_infer_put_rows,
    attributes={"exact": FLAG},
    forward=_forward_put_rows,
    gradient=None,
    formula="put_rows({0}, {1}, {2})",
    convention="An index below 0 or beyond the end is an error. Equal indices need equal rows.",
)


def put_rows(table: Node, indices: Node, rows: Node, *, exact: bool = False) -> Node:
    """`table` with `rows`, (N, l, ...), in the place of its rows at `indices`, (N, l).

    exact: whether the other rows are as an update of the whole table would leave them.
    """
    return apply(PUT_ROWS, table, indices, rows, exact=exact)
