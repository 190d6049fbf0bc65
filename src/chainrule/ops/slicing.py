"""Slices of an array, and padding to a larger one."""

from __future__ import annotations

import builtins
import operator
from collections.abc import Sequence
from types import EllipsisType
from typing import Any

import numpy as np

from chainrule.errors import DTypeError, ShapeError
from chainrule.graph.attributes import FILL, PLACES, SHAPE
from chainrule.graph.node import Array, Axis, Node, NodeLike, Operation, apply
from chainrule.graph.op import Element, Values, View, function, op
from chainrule.ir.index import Place, add, call, clamp, const, div_mod, in_bounds, mul, scalar
from chainrule.ir.kernel import Const, Expr
from chainrule.ops.build import as_node, constant
from chainrule.ops.shape import reshape, static_axis
from chainrule.types import Dim, N, Shape, TensorType, normalise_axes, show

Starts = tuple[int, ...]

# ---------------------------------------------------------------- slice, pad: each other's adjoint
# Both hold, for each axis, the start of the part in the larger array, and its step.


def _check_part(where: str, shape: Shape, start: Starts, step: Starts, part: Shape) -> None:
    fits = len(shape) == len(start) == len(step) == len(part) and all(
        dim is size is N and (a, s) == (0, 1)
        if not isinstance(dim, int) or not isinstance(size, int)
        else s != 0 and (size == 0 or (0 <= a < dim and 0 <= a + s * (size - 1) < dim))
        for dim, a, s, size in zip(shape, start, step, part, strict=True)
    )
    if not fits:
        raise ShapeError(
            where,
            "the part is out of range",
            expected=f"a part of {show(shape)}",
            got=f"start {start}, step {step}, shape {show(part)}",
        )


def _part(start: Starts, step: Starts, shape: tuple[int, ...]) -> tuple[builtins.slice, ...]:
    ends = [a + s * size for a, s, size in zip(start, step, shape, strict=True)]
    return tuple(
        builtins.slice(a, end if end >= 0 else None, s)
        for a, end, s in zip(start, ends, step, strict=True)
    )


def _infer_slice(x: TensorType, start: Starts, step: Starts, shape: Shape) -> TensorType:
    _check_part("slice", x.shape, start, step, shape)
    return TensorType(shape, x.dtype, x.axes)


def _lower_slice(node: Operation, place: Place) -> Place:
    parts = zip(place, node.attributes["start"], node.attributes["step"], strict=True)
    return tuple(add(mul(p, step), const(start)) for p, start, step in parts)


SLICE = op(
    "slice",
    "view",
    infer=_infer_slice,
    attributes={"start": PLACES, "step": PLACES, "shape": SHAPE},
    forward=lambda x, start, step, shape: x[_part(start, step, shape)],
    gradient=lambda gy, y, x, start, step, shape: (_within(gy, start, step, x.shape),),
    lower=View(_lower_slice),
    formula="slice({0}, from {start}, step {step}, shape {shape})",
)


def _within(part: Node, start: Starts, step: Starts, shape: Shape) -> Node:
    """Zeros of `shape` with `part` at its position: the adjoint of slicing."""
    return apply(PAD, part, start=start, step=step, shape=shape, value=0.0)


def _infer_pad(
    x: TensorType, start: Starts, step: Starts, shape: Shape, value: float
) -> TensorType:
    _check_part("pad", shape, start, step, x.shape)
    return TensorType(shape, x.dtype, x.axes)


def _forward_pad(
    x: Array, start: Starts, step: Starts, shape: tuple[int, ...], value: float
) -> Array:
    y = np.full(shape, value, x.dtype)
    y[_part(start, step, x.shape)] = x
    return y


def _lower_pad(node: Operation, place: Place, value: Values) -> Expr:
    x, fill = node.operands[0], Const(node.attributes["value"], node.dtype)
    inner: list[Expr] = []
    inside: Expr | None = None
    parts = zip(place, node.attributes["start"], node.attributes["step"], strict=True)
    for (p, start, step), dim, size in zip(parts, x.shape, node.shape, strict=True):
        if dim is N or (start == 0 and step == 1 and dim == size):
            inner.append(p)
            continue
        if dim == 0:
            return fill
        away = add(p, const(-start))
        turn, rest = div_mod(away if step > 0 else mul(away, -1), builtins.abs(step))
        here = in_bounds(turn, dim)
        if builtins.abs(step) != 1:
            here = call("and", "bool", here, call("eq", "bool", rest, const(0)))
        inner.append(clamp(turn, dim))
        inside = here if inside is None else call("and", "bool", inside, here)
    part = value(x, tuple(inner))
    return part if inside is None else scalar("select", inside, part, fill)


PAD = op(
    "pad",
    "view",
    infer=_infer_pad,
    attributes={"start": PLACES, "step": PLACES, "shape": SHAPE, "value": FILL},
    forward=_forward_pad,
    gradient=lambda gy, y, x, start, step, shape, value: (
        apply(SLICE, gy, start=start, step=step, shape=x.shape),
    ),
    lower=Element(_lower_pad, spreads=True, deep=True),
    formula="pad({0}, with {value}, from {start}, step {step}, to {shape})",
)


@function
def slice(x: NodeLike, key: Any) -> Node:
    """`x[key]` for integers, slices (negative steps too), `...` and None, as in NumPy.

    Raises:
        ShapeError: an integer is out of range, there are too many axes, or the key cuts the batch
            axis. DTypeError: the key holds something else, such as an array.
    """
    x = as_node(x)
    keys = _one_per_axis(x, key if isinstance(key, tuple) else (key,))
    start, step, size, shape = [], [], [], list[Dim]()
    axis = 0
    for k in keys:
        if k is None:
            shape.append(1)
            continue
        first, by, count = _range(x, axis, k)
        start.append(first)
        step.append(by)
        size.append(count)
        if isinstance(k, builtins.slice):
            shape.append(count)
        axis += 1
    complete = all(b == 1 for b in step) and tuple(size) == x.shape
    attributes = {"start": tuple(start), "step": tuple(step), "shape": tuple(size)}
    return reshape(x if complete else apply(SLICE, x, **attributes), shape)


def _one_per_axis(x: Node, key: tuple[Any, ...]) -> list[Any]:
    """`key` with `...` written out, one entry an axis of `x`, and None for each new axis."""
    for k in key:
        if isinstance(k, (bool, np.bool_)) or not (
            k is None or isinstance(k, (EllipsisType, builtins.slice)) or hasattr(k, "__index__")
        ) or isinstance(k, np.ndarray):  # fmt: skip
            raise DTypeError(
                "slice",
                "a key must consist of integers, slices, ... and None",
                got=repr(k),
                fix="take(x, indices, axis) selects by an array, where(condition, x, 0) by a bool",
            )
    given = builtins.sum(k is not None and k is not ... for k in key)
    dots = [a for a, k in enumerate(key) if k is ...]
    if given > x.ndim or len(dots) > 1:
        raise ShapeError(
            "slice",
            "'...' occurs more than once" if len(dots) > 1 else "more indices than axes",
            expected=f"a key for {x.type.sizes}",
            got=f"{given} indices",
        )
    at = dots[0] if dots else len(key)
    return [*key[:at], *[builtins.slice(None)] * (x.ndim - given), *key[at + 1 :]]


def _range(x: Node, axis: int, key: Any) -> tuple[int, int, Dim]:
    """Start, step and number of elements that a key takes along an axis."""
    dim = x.shape[axis]
    if not isinstance(dim, int):
        if key in (builtins.slice(None), builtins.slice(None, None, 1)):
            return 0, 1, dim
        raise ShapeError(
            "slice",
            "the batch axis cannot be sliced: the data selects the examples, not the graph",
            expected=f"':' for axis {axis} of {x.type.sizes}",
            got=_shown(key),
            fix="x[:, 0] is the first element of each example",
        )
    if isinstance(key, builtins.slice):
        places = range(dim)[key]
        return (places.start, places.step, len(places)) if places else (0, 1, 0)
    place = operator.index(key)
    if not -dim <= place < dim:
        raise ShapeError(
            "slice",
            f"an index is out of range for axis {axis} of {x.type.sizes}",
            expected=f"{-dim} to {dim - 1}" if dim else "no index: there are no elements",
            got=place,
        )
    return place % dim, 1, 1


def _shown(key: Any) -> str:
    if not isinstance(key, builtins.slice):
        return str(key)
    ends = f"{'' if key.start is None else key.start}:{'' if key.stop is None else key.stop}"
    return ends if key.step is None else f"{ends}:{key.step}"


@function
def flip(x: NodeLike, axis: Axis = None) -> Node:
    """`x` in reverse order along `axis`; None: along all axes but the batch axis."""
    x = as_node(x)
    static = tuple(a for a, dim in enumerate(x.shape) if dim is not N)
    axes = static if axis is None else normalise_axes("flip", axis, x.ndim)
    axes = tuple(static_axis("flip", x, a) for a in axes)
    back, on = builtins.slice(None, None, -1), builtins.slice(None)
    return slice(x, tuple(back if a in axes else on for a in range(x.ndim)))


@function
def pad(x: NodeLike, widths: int | Sequence[int | tuple[int, int]], value: float = 0.0) -> Node:
    """`x` with a margin of `value` around it.

    Args:
        x: any node.
        widths: of the margin: one integer for both ends of every axis but the batch axis; or for
            each axis, the batch axis included, an integer or a pair (before, after).
        value: of the elements in the margin.

    Raises:
        ShapeError: a width is negative, the batch axis gets a margin, or `widths` does not have
            one entry an axis. DTypeError: `value` does not fit in the dtype of `x`.
    """
    x = as_node(x)
    if isinstance(widths, int):
        widths = [0 if dim is N else widths for dim in x.shape]
    pairs = [(w, w) if isinstance(w, int) else tuple(w) for w in widths]
    sizes = [w for pair in pairs for w in pair]
    batch = [pair for pair, dim in zip(pairs, x.shape, strict=False) if dim is N]
    wrong = len(pairs) != x.ndim or any(len(pair) != 2 for pair in pairs)
    if wrong or any(w < 0 for w in sizes) or any(pair != (0, 0) for pair in batch):
        raise ShapeError(
            "pad",
            "widths do not fit",
            expected=f"for each axis of {x.type.sizes} a pair (before, after), 0 or more, "
            "and (0, 0) for the batch axis",
            got=widths,
        )
    shape = tuple(
        dim + a + b if isinstance(dim, int) else dim
        for dim, (a, b) in zip(x.shape, pairs, strict=True)
    )
    if shape == x.shape:
        return x
    fill = constant(value, x.dtype).attributes["value"].item()  # type: ignore[attr-defined]
    start = tuple(a for a, _ in pairs)
    return apply(PAD, x, start=start, step=(1,) * x.ndim, shape=shape, value=fill)
