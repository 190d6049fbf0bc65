"""The same elements in another shape or order."""

from __future__ import annotations

import operator
from collections.abc import Iterable, Sequence
from typing import Any

import numpy as np

from chainrule.errors import ShapeError
from chainrule.graph.attributes import PERMUTATION, SHAPE
from chainrule.graph.node import Axis, Node, NodeLike, Operation, apply
from chainrule.graph.op import View, function, op
from chainrule.ir.index import Place, reshape_index
from chainrule.ops.build import as_node, broadcast_to
from chainrule.types import (
    Dim,
    N,
    Names,
    Shape,
    TensorType,
    normalise_axes,
    normalise_axis,
    shape_of,
    show,
    static_size,
)

# ---------------------------------------------------------------- reshape


def _between_batches(shape: Shape) -> list[int]:
    """The sizes of the runs of static axes before, between and after the batch axes."""
    sizes = [1]
    for dim in shape:
        if dim is N:
            sizes.append(1)
        elif isinstance(dim, int):
            sizes[-1] *= dim
    return sizes


def _infer_reshape(x: TensorType, shape: Shape) -> TensorType:
    if _between_batches(x.shape) != _between_batches(shape):
        batch = N in x.shape or N in shape
        raise ShapeError(
            "reshape",
            "the batch axis N must keep its position, and the sizes before and after it"
            if batch
            else "the number of elements differs",
            expected=f"a shape for the elements of {x.sizes}",
            got=show(shape),
            fix="reshape(x, (cr.N, -1)) makes one row of each example" if batch else None,
        )
    return TensorType(shape, x.dtype, _kept_names(x, shape))


def _kept_names(x: TensorType, shape: Shape) -> Names:
    """The names of the axes at the front and at the end that stay as they are."""
    if not x.axes:
        return ()
    most = min(x.ndim, len(shape))
    front = next((k for k in range(most) if x.shape[k] != shape[k]), most)
    rest = most - front
    end = next((k for k in range(rest) if x.shape[-1 - k] != shape[-1 - k]), rest)
    between = len(shape) - front - end
    return (*x.names[:front], *(None,) * between, *x.names[x.ndim - end :])


RESHAPE = op(
    "reshape",
    "view",
    infer=_infer_reshape,
    attributes={"shape": SHAPE},
    forward=lambda x, shape: np.reshape(x, shape),  # NumPy 2.0 calls it `newshape`
    gradient=lambda gy, y, x, shape: (reshape(gy, x.shape),),
    lower=View(
        lambda node, place: reshape_index(place, node.shape, node.operands[0].shape),
        aligned=True,
        deep=True,
    ),
    formula="{0}",
)


@function
def reshape(x: NodeLike, shape: Dim | Sequence[Dim]) -> Node:
    """The elements of `x`, in row-major order, in another shape.

    Args:
        x: any node.
        shape: of the result. The batch axis, written `N` or -1, keeps its position: the elements
            of two examples never mix. One other size may be -1: it is inferred.

    Raises:
        ShapeError: the number of elements differs, or the batch axis would move or be merged.
    """
    x = as_node(x)
    wanted = _filled(x.shape, shape_of("reshape", shape))
    return x if x.shape == wanted else apply(RESHAPE, x, shape=wanted)


def _filled(have: Shape, want: Shape) -> Shape:
    """`want` with its one -1 replaced: by the batch axis where that is missing."""
    if want.count(-1) > 1:
        raise ShapeError("reshape", "one size may be -1", got=show(want))
    if -1 not in want:
        return want
    missing: Dim = N
    if want.count(N) == have.count(N):
        rest = -static_size(want)
        if rest == 0 or static_size(have) % rest:
            raise ShapeError(
                "reshape", "no size in place of -1 fits", expected=show(have), got=show(want)
            )
        missing = static_size(have) // rest
    at = want.index(-1)
    return want[:at] + (missing,) + want[at + 1 :]


@function
def expand_dims(x: NodeLike, axis: int | Sequence[int]) -> Node:
    """`x` with new axes of size 1; `axis` counts in the result, as in NumPy."""
    x = as_node(x)
    ndim = x.ndim + (len(axis) if isinstance(axis, Sequence) else 1)
    new = normalise_axes("expand_dims", axis, ndim)
    left = iter(x.shape)
    return reshape(x, tuple(1 if a in new else next(left) for a in range(ndim)))


@function
def pairs(x: NodeLike, y: NodeLike | None = None) -> tuple[Node, Node]:
    """All pairs of examples: `a` and `b` with `a[i, j] = x[i]` and `b[i, j] = y[j]`.

        a, b = pairs(x)                              # (N, N, k) of x (N, k)
        distance = sqrt(sum(square(a - b), axis=-1) + 1e-12)   # (N, N)

    Without this, batch axes at different places in an elementwise operation are an error.

    Args:
        x, y: with the batch axis first, (N, ...); y is x by default. The sizes of the others
            may differ.

    Returns:
        Two nodes (N, N, ...); their values are read where they are used, not copied.

    Raises:
        ShapeError: an operand has no batch axis, or not first.
    """
    first = as_node(x)
    second = first if y is None else as_node(y)
    for node in (first, second):
        if node.shape.count(N) != 1 or node.shape[0] is not N:
            raise ShapeError(
                "pairs", "pairs are made of examples: the batch axis comes first, and once",
                expected="(N, ...)", got=f"{node.label!r} {show(node.shape)}",
            )  # fmt: skip
    along = broadcast_to(expand_dims(first, 1), (N, N, *first.shape[1:]))
    return along, broadcast_to(expand_dims(second, 0), (N, N, *second.shape[1:]))


@function
def squeeze(x: NodeLike, axis: Axis = None) -> Node:
    """`x` without axes of size 1: all of them, or those named.

    Raises:
        ShapeError: a named axis has another size, or is the batch axis.
    """
    x = as_node(x)
    ones = tuple(a for a, dim in enumerate(x.shape) if dim == 1)
    gone = ones if axis is None else normalise_axes("squeeze", axis, x.ndim)
    if not set(gone) <= set(ones):
        raise ShapeError(
            "squeeze", "only axes of size 1 can be removed", got=f"axis {axis} of {x.type.sizes}"
        )
    return reshape(x, tuple(dim for a, dim in enumerate(x.shape) if a not in gone))


# ---------------------------------------------------------------- transpose


def _infer_transpose(x: TensorType, axes: tuple[int, ...]) -> TensorType:
    if sorted(axes) != list(range(x.ndim)):
        raise ShapeError(
            "transpose", "each axis is named once", expected=f"{x.ndim} axes", got=axes
        )
    names = tuple(x.axes[a] for a in axes) if x.axes else ()
    return TensorType(tuple(x.shape[a] for a in axes), x.dtype, names)


def _lower_transpose(node: Operation, place: Place) -> Place:
    axes = node.attributes["axes"]
    return tuple(place[axes.index(a)] for a in range(len(axes)))


TRANSPOSE = op(
    "transpose",
    "view",
    infer=_infer_transpose,
    attributes={"axes": PERMUTATION},
    forward=np.transpose,
    gradient=lambda gy, y, x, axes: (transpose(gy, tuple(map(axes.index, range(x.ndim)))),),
    lower=View(_lower_transpose),
    formula="transpose({0})",
)


@function
def transpose(x: NodeLike, axes: Sequence[int] | None = None) -> Node:
    """`x` with its axes in the order `axes`; None reverses them. The batch axis may move."""
    x = as_node(x)
    order = range(x.ndim)[::-1] if axes is None else axes if isinstance(axes, Iterable) else (axes,)
    permutation = tuple(normalise_axis("transpose", a, x.ndim) for a in order)
    return x if permutation == tuple(range(x.ndim)) else apply(TRANSPOSE, x, axes=permutation)


@function
def swapaxes(x: NodeLike, axis1: int, axis2: int) -> Node:
    """`x` with two axes exchanged."""
    x = as_node(x)
    one, two = (normalise_axis("swapaxes", a, x.ndim) for a in (axis1, axis2))
    order = list(range(x.ndim))
    order[one], order[two] = two, one
    return transpose(x, order)


# ---------------------------------------------------------------- repetition


@function
def repeat(x: NodeLike, repeats: int, axis: int) -> Node:
    """`x` with each element along `axis` repeated `repeats` times, next to each other.

    Raises:
        ShapeError: `axis` is the batch axis, or `repeats` is negative.
    """
    x = as_node(x)
    axis = static_axis("repeat", x, axis)
    if operator.index(repeats) < 0:
        raise ShapeError("repeat", "a number of repetitions is 0 or more", got=repeats)
    before, dim, after = x.shape[:axis], x.shape[axis], x.shape[axis + 1 :]
    apart = broadcast_to(expand_dims(x, axis + 1), (*before, dim, repeats, *after))
    return reshape(apart, (*before, int(dim) * repeats, *after))  # type: ignore[arg-type]


def static_axis(where: str, x: Node, axis: Any) -> int:
    """`axis` counted from the front, if it is not the batch axis. Raises ShapeError."""
    axis = normalise_axis(where, axis, x.ndim)
    if x.shape[axis] is N:
        raise ShapeError(
            where,
            "not possible along the batch axis: its length is known only when a step runs",
            got=f"axis {axis} of {x.type.sizes}",
        )
    return int(axis)


def without_axis(shape: Shape, axis: int) -> Shape:
    """`shape` without one of its axes, which is counted from the front."""
    return shape[:axis] + shape[axis + 1 :]
