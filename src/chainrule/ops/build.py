"""Helpers of user-level functions: literals to nodes, one dtype, explicit broadcasting."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import numpy as np
import numpy.typing as npt

from chainrule.errors import ChainruleError, DTypeError, GraphError, ShapeError, short
from chainrule.graph.attributes import ARRAY, DTYPE, SHAPE
from chainrule.graph.node import Array, Node, NodeLike, Operation, apply
from chainrule.graph.op import Fixed, Scalar, View, function, op
from chainrule.graph.source import user_line
from chainrule.ir.index import Place, const
from chainrule.types import (
    DTYPES,
    FLOATS,
    Dim,
    Shape,
    TensorType,
    broadcast_shapes,
    joined_names,
    shape_of,
    show,
)

_DEFAULT = {"f": "float32", "i": "int32", "u": "int32", "b": "bool"}

# ---------------------------------------------------------------- constant, cast, broadcast_to

CONSTANT = op(
    "constant",
    "view",
    infer=lambda value: TensorType(value.shape, str(value.dtype)),
    attributes={"value": ARRAY},
    forward=lambda value: value,
    gradient=None,
    lower=Fixed(),
    formula="{value}",
)


@function
def constant(value: npt.ArrayLike, dtype: str | None = None) -> Node:
    """A fixed array as a node.

    Args:
        value: a number, a nested list or an array.
        dtype: its element type; None keeps that of an array, and gives float32, int32 or bool
            to numbers and lists.

    Raises:
        DTypeError: the values are not numbers or do not fit in `dtype`.
    """
    try:
        array = np.asarray(value)
    except ValueError:
        raise DTypeError(
            "constant", "rows differ in length", got=short(value), at="line " + user_line()
        ) from None
    if dtype is None:
        literal = not isinstance(value, (np.ndarray, np.generic))
        dtype = _DEFAULT.get(array.dtype.kind, "") if literal else str(array.dtype)
    if dtype not in DTYPES or array.dtype.kind not in "fiub":
        raise DTypeError(
            "constant",
            "not an array of numbers",
            expected="one of " + ", ".join(DTYPES),
            got=f"{array.dtype} {short(value)}",
            at="line " + user_line(),
        )
    with np.errstate(all="ignore"):
        converted = np.array(array, dtype=dtype, order="C")
    floats = dtype in FLOATS
    fits = np.isfinite(converted) | ~np.isfinite(array) if floats else converted == array
    if not fits.all():
        integer_fix = 'use an integer value, or cast the other operand: cast(x, "float32")'
        raise DTypeError(
            "constant",
            f"the value does not fit in {dtype}",
            got=short(value),
            at="line " + user_line(),
            fix='use "float64"' if floats else integer_fix,
        )
    converted.flags.writeable = False
    return apply(CONSTANT, value=converted)


CAST = op(
    "cast",
    "map",
    infer=lambda x, dtype: TensorType(x.shape, dtype, x.axes),
    attributes={"dtype": DTYPE},
    forward=lambda x, dtype: x.astype(dtype),
    gradient=lambda gy, y, x, dtype: (cast(gy, x.dtype) if x.type.floating else None,),
    lower=Scalar("cast"),
    formula="{dtype}({0})",
    convention="Rounds to nearest even; a float becomes an integer by dropping its fraction.",
)


@function
def cast(x: NodeLike, dtype: str) -> Node:
    """`x` with another element type. Gradients flow between float32 and float64."""
    x = as_node(x)
    return x if x.dtype == dtype else apply(CAST, x, dtype=dtype)


def _infer_broadcast(x: TensorType, shape: Shape) -> TensorType:
    if len(shape) < x.ndim or broadcast_shapes("broadcast_to", x.shape, shape) != shape:
        raise ShapeError(
            "broadcast_to", "the shape does not broadcast", expected=show(shape), got=x.sizes
        )
    lead = len(shape) - x.ndim
    kept = (n if x.shape[a] == shape[lead + a] else None for a, n in enumerate(x.names))
    return TensorType(shape, x.dtype, (*(None,) * lead, *kept) if x.axes else ())


def _stretched(node: Operation, place: Place) -> Place:
    shape = node.operands[0].shape
    lead = len(place) - len(shape)
    return tuple(
        const(0) if dim == 1 and node.shape[lead + a] != 1 else place[lead + a]
        for a, dim in enumerate(shape)
    )


BROADCAST_TO = op(
    "broadcast_to",
    "view",
    infer=_infer_broadcast,
    attributes={"shape": SHAPE},
    forward=lambda x, shape: np.broadcast_to(x, shape),  # NumPy's own takes `subok` too
    gradient=lambda gy, y, x, shape: (sum_to(gy, x.shape),),
    lower=View(_stretched, aligned=True, spreads=True),
    formula="{0}",
)


@function
def broadcast_to(x: NodeLike, shape: tuple[Dim, ...]) -> Node:
    """`x` repeated along new axes and axes of size 1 until it has `shape` (`N` is allowed)."""
    x, shape = as_node(x), shape_of("broadcast_to", shape)
    return x if x.shape == shape else apply(BROADCAST_TO, x, shape=shape)


def _infer_sum_to(x: TensorType, shape: Shape) -> TensorType:
    _infer_broadcast(TensorType(shape, numeric("sum_to")(x).dtype), x.shape)
    return TensorType(shape, x.dtype)


def _forward_sum_to(x: Array, shape: tuple[int, ...]) -> Array:
    return accurate_sum(x, _added_axes(x.shape, shape)).reshape(shape)


def _added_axes(wide: Shape, shape: Shape) -> tuple[int, ...]:
    """The axes that broadcasting from `shape` to `wide` added or repeated."""
    lead = len(wide) - len(shape)
    repeated = (a for a in range(lead, len(wide)) if shape[a - lead] == 1 and wide[a] != 1)
    return (*range(lead), *repeated)


def accurate_sum(x: Array, axes: tuple[int, ...] | None, keepdims: bool = False) -> Array:
    """Sum over axes; float32 is accumulated in float64, so that long sums stay accurate."""
    out = np.sum(x, axis=axes, dtype=accumulator(x), keepdims=keepdims)
    return np.asarray(out).astype(x.dtype, copy=False)


def accumulator(x: Array) -> np.dtype[Any]:
    """The dtype in which elements of `x` are accumulated: float64 for float32."""
    return np.dtype(np.float64) if x.dtype == np.float32 else x.dtype


SUM_TO = op(
    "sum_to",
    "reduce",
    infer=_infer_sum_to,
    attributes={"shape": SHAPE},
    forward=_forward_sum_to,
    gradient=lambda gy, y, x, shape: (broadcast_to(gy, x.shape),),
    decompose=lambda x, shape: x.sum(_added_axes(x.shape, shape)).reshape(shape),
    formula="sum({0})",
    convention="The adjoint of broadcast_to: sums over the axes that broadcasting added.",
)


def sum_to(x: Node, shape: Shape) -> Node:
    """`x` summed over the axes along which `shape` was broadcast to it."""
    return x if x.shape == shape else apply(SUM_TO, x, shape=shape)


# ---------------------------------------------------------------- operands


def as_node(value: NodeLike, dtype: str | None = None) -> Node:
    """Returns a node unchanged; a literal as a constant of `dtype`."""
    return value if isinstance(value, Node) else constant(value, dtype)


def promote(where: str, *values: NodeLike) -> tuple[Node, ...]:
    """Nodes of one dtype. Literals take the dtype of the nodes; nodes are never cast silently.

    Raises:
        DTypeError: the nodes differ in dtype, or a literal does not fit.
    """
    nodes = [v for v in values if isinstance(v, Node)]
    dtypes = list(dict.fromkeys(x.dtype for x in nodes))
    if len(dtypes) > 1:
        meant = next((d for d in dtypes if d in FLOATS), dtypes[0])
        raise DTypeError(
            where,
            "element types differ",
            expected="one dtype for all operands",
            got=" and ".join(f"{x.dtype} {x.label!r}" for x in nodes),
            at="line " + user_line(),
            fix=f'say which you mean: cast(x, "{meant}")',
        )
    if not nodes:
        joint = np.result_type(*(np.asarray(v) for v in values))
        dtypes = [_DEFAULT.get(joint.kind, "float32")]
    return tuple(as_node(v, dtypes[0]) for v in values)


def broadcast(where: str, *values: NodeLike) -> tuple[Node, ...]:
    """Nodes of one dtype and one shape, as every elementwise function needs them."""
    nodes = promote(where, *values)
    try:
        shape = broadcast_shapes(where, *(x.shape for x in nodes))
    except ChainruleError as error:
        error.at = ", ".join(["line " + user_line(), *(f"operand {x.label!r}" for x in nodes)])
        if any(x.type.axes for x in nodes):
            error.got = " and ".join(x.type.sizes for x in nodes)
        raise
    return tuple(broadcast_to(x, shape) for x in nodes)


def same(*types: TensorType, **_: Any) -> TensorType:
    """The infer rule of elementwise ops: operands and result have the same type."""
    if types.count(types[0]) < len(types):
        raise ShapeError("map", "operands differ", got=" and ".join(map(str, types)))
    names = joined_names(*types)
    return types[0] if names == types[0].axes else replace(types[0], axes=names)


def numeric(name: str) -> Callable[..., TensorType]:
    """The infer rule of elementwise ops that are defined for floats and integers, not bools."""

    def infer(*types: TensorType, **_: Any) -> TensorType:
        result = same(*types)
        if result.dtype == "bool":
            raise DTypeError(
                name,
                "defined for numbers",
                expected="a float or an integer",
                got="bool",
                fix='cast first: cast(x, "float32")',
            )
        return result

    return infer


def floating(name: str) -> Callable[..., TensorType]:
    """The infer rule of elementwise ops that are defined only for float32 and float64."""

    def infer(*types: TensorType, **_: Any) -> TensorType:
        result = same(*types)
        if not result.floating:
            raise DTypeError(
                name,
                "defined for floating-point numbers",
                expected="float32 or float64",
                got=result.dtype,
                fix='cast first: cast(x, "float32")',
            )
        return result

    return infer


def require_scalar(where: str, node: Node) -> Node:
    """`node`, if it is a floating-point scalar, as a loss must be. Raises GraphError."""
    if not isinstance(node, Node):
        raise GraphError(
            where,
            "a loss is a node",
            got=repr(node),
            fix="such as cr.squared_error(prediction, target)",
        )
    if node.shape != () or not node.type.floating:
        raise GraphError(
            where,
            "a loss is a floating-point scalar",
            expected="float32() or float64()",
            got=f"{node.type} of {node.label!r}",
            at=f"line {node.source}" if node.source else f"operand {node.label!r}",
            fix="reduce it: mean(loss) or sum(loss)",
        ).about(node)
    return node
