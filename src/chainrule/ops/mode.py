"""Ops that distinguish training from prediction, and that stop gradients."""

from __future__ import annotations

from typing import Any

import numpy as np

from chainrule.errors import DTypeError, GraphError, ShapeError
from chainrule.graph.attributes import DTYPE, FLAG, SHAPE
from chainrule.graph.node import Array, Node, NodeLike, Operation, Parameter, apply
from chainrule.graph.op import Element, Exchange, Values, function, op
from chainrule.graph.step import ROW_COUNT
from chainrule.ir.index import Place, call, scalar, size
from chainrule.ir.kernel import Const, Expr
from chainrule.ops.build import as_node, broadcast, constant, same
from chainrule.types import N, Shape, TensorType, show

WHEN_TRAINING = op(
    "when_training",
    "map",
    infer=same,
    attributes={"training": FLAG.or_none()},
    forward=lambda a, b, training: a if training else b,
    gradient=lambda gy, y, a, b, training: (when_training(gy, 0.0), when_training(0.0, gy)),
    formula="({0} in training, else {1})",
)


@function
def when_training(a: NodeLike, b: NodeLike) -> Node:
    """`a` in a training step, `b` in prediction and evaluation; without a switch."""
    return apply(WHEN_TRAINING, *broadcast("when_training", a, b), training=None)


TRACKED = op(
    "tracked",
    "view",
    infer=same,
    forward=lambda present, new: present,
    gradient=None,
    decompose=lambda present, new: present,
    price=0,
    formula="{0}",
    convention="Its value is the parameter's; a training step then writes the second operand.",
)


@function
def tracked(parameter: Node, new: NodeLike) -> Node:
    """The value of a parameter that each training step replaces by `new`.

    Statistics such as a running mean are parameters of this kind: the step updates them, not the
    optimizer.

    Args:
        parameter: made with `trainable=False`.
        new: a node of the same type.

    Raises:
        GraphError: `parameter` is something else, or is trained by the optimizer.
    """
    if not isinstance(parameter, Parameter) or parameter.trainable:
        raise GraphError(
            "tracked",
            "the first operand must be a parameter that is not trained",
            got=repr(parameter),
            fix="parameter(name, value, trainable=False)",
        )
    return apply(TRACKED, parameter, as_node(new, parameter.dtype))


STOP_GRADIENT = op(
    "stop_gradient",
    "view",
    infer=same,
    forward=lambda x: x,
    gradient=None,
    decompose=lambda x: x,
    price=0,
    formula="{0}",
)


@function
def stop_gradient(x: NodeLike) -> Node:
    """`x` itself, which differentiation treats as a constant."""
    return apply(STOP_GRADIENT, as_node(x))


DATA_TOTAL = op(
    "data_total",
    "view",
    infer=same,
    forward=lambda x: x,
    gradient=lambda gy, y, x: (gy,),
    decompose=lambda x: x,
    price=0,
    formula="{0}",
    convention="In a training step it is the mean over all training rows, times the step's rows.",
)


@function
def data_total(total: NodeLike) -> Node:
    """A sum over the batch axis of numbers that the data decide, such as weights of examples.

    In prediction and evaluation it is `total` itself. In a training step it is the minibatch's
    equal share of the sum over all training rows: the mean of a row times the number of rows. A
    sum over a minibatch divided by it thus adds up, over an epoch, to the weighted mean over the
    data set. Where parameters or random numbers decide too, it is `total` in training as well.
    """
    return apply(DATA_TOTAL, as_node(total))


EXCHANGE = op(
    "exchange",
    "view",
    infer=same,
    forward=lambda x: x,
    gradient=None,
    lower=Exchange(),
    formula="{0}",
)


def exchange(x: Node) -> Node:
    """`x` itself, as a cut of the step: its readers may be computed from another value."""
    return apply(EXCHANGE, x)


def _infer_count(*rows: TensorType, shape: Shape, dtype: str) -> TensorType:
    if rows not in ((), (ROW_COUNT.type,)):
        raise DTypeError("count", "the rows are one number", got=", ".join(map(str, rows)))
    if N in shape[1:] and rows:
        raise ShapeError("count", "the batch axis is the first axis", got=show(shape))
    return TensorType((), dtype)


def _lower_count(node: Operation, place: Place, value: Values) -> Expr:
    shape = node.attributes["shape"]
    product: Expr = Const(size(d for d in shape if d is not N), node.dtype)
    for _ in range(shape.count(N)):
        rows = call("count", node.dtype)
        if node.operands:
            rows = call("cast", node.dtype, value(node.operands[0], ()))
        product = rows if product == Const(1, node.dtype) else scalar("mul", rows, product)
    return product


def _forward_count(*rows: Array, shape: tuple[int, ...], dtype: str) -> Array:
    """The first size is the minibatch's, unless there is an operand with the row count."""
    sizes = (int(rows[0]), *shape[1:]) if rows else shape
    return np.asarray(np.prod(sizes, dtype=np.float64), dtype=dtype)


COUNT = op(
    "count",
    "view",
    infer=_infer_count,
    attributes={"shape": SHAPE, "dtype": DTYPE},
    forward=_forward_count,
    gradient=None,
    lower=Element(_lower_count),
    formula="count{shape}",
)


def count(shape: tuple[Any, ...], dtype: str) -> Node:
    """The number of elements of a shape as a scalar; `N` is the size of this step's minibatch."""
    sizes = [d for d in shape if isinstance(d, int)]
    if len(sizes) == len(shape):
        return constant(float(np.prod(sizes, dtype=np.float64)), dtype)
    return apply(COUNT, shape=tuple(shape), dtype=dtype)
