"""Products of matrices."""

from __future__ import annotations

import numpy as np

from chainrule.errors import ShapeError
from chainrule.graph.node import Node, NodeLike, apply
from chainrule.graph.op import function, op
from chainrule.ops.bfloat16 import as_factor
from chainrule.ops.build import promote
from chainrule.ops.einsum import einsum
from chainrule.types import TensorType, broadcast_shapes, distinct


def _infer_matmul(x: TensorType, w: TensorType) -> TensorType:
    if x.ndim != 2 or w.ndim != 2 or x.dtype != w.dtype:
        raise ShapeError("matmul", "needs two matrices of one dtype", got=f"{x} and {w}")
    if x.shape[1] != w.shape[0]:
        raise _inner_sizes(x, w)
    axes = distinct((x.names[0], w.names[1]))
    return TensorType((x.shape[0], w.shape[1]), x.dtype, axes)


def _inner_sizes(x: TensorType, w: TensorType) -> ShapeError:
    return ShapeError(
        "matmul",
        "inner sizes differ",
        expected="x.shape[-1] == w.shape[0]" if w.ndim < 3 else "x.shape[-1] == w.shape[-2]",
        got=f"{x.sizes} and {w.sizes}",
    )


MATMUL = op(
    "matmul",
    "contract",
    infer=_infer_matmul,
    forward=np.matmul,
    gradient=lambda gy, y, x, w: (
        matmul(as_factor(gy, w), w.T),  # (n, o) @ (o, i) -> (n, i)
        matmul(x.T, as_factor(gy, x)),  # (i, n) @ (n, o) -> (i, o)
    ),
    decompose=lambda x, w: einsum("ik,kj->ij", x, w),
    formula="{0} @ {1}",
)


@function
def matmul(x: NodeLike, w: NodeLike) -> Node:
    """`x @ w`, as in NumPy: of vectors, matrices, and batches of matrices that broadcast.

    Raises:
        ShapeError: the inner sizes differ, or an operand is a scalar.
    """
    x, w = promote("matmul", x, w)
    if x.ndim == 0 or w.ndim == 0:
        raise ShapeError(
            "matmul",
            "a scalar has no inner axis",
            got=f"{x.type.sizes} and {w.type.sizes}",
            fix="multiply by it: x * w",
        )
    if x.ndim == w.ndim == 2:
        return apply(MATMUL, x, w)
    if x.shape[-1] != w.shape[-2 if w.ndim > 1 else 0]:
        raise _inner_sizes(x.type, w.type)
    broadcast_shapes("matmul", x.shape[:-2], w.shape[:-2])
    left, right = "...ik" if x.ndim > 1 else "...k", "...kj" if w.ndim > 1 else "...k"
    return einsum(f"{left},{right}->...{left[3:-1]}{right[4:]}", x, w)
