"""Layers: functions that take a node and return the output node of a layer."""

from __future__ import annotations

import math

from chainrule.errors import ShapeError
from chainrule.graph.node import Node
from chainrule.nn.arguments import (
    Activation,
    activated,
    activation_name,
    add_bias,
    between,
    features,
    floats,
    integers,
    new_parameter,
    new_table,
    node,
    operand_at,
    positive,
)
from chainrule.nn.init import InitSpec
from chainrule.nn.naming import as_layer, layer_scope
from chainrule.ops import random
from chainrule.ops.contract import matmul
from chainrule.ops.index import take
from chainrule.ops.mode import when_training
from chainrule.ops.shape import reshape
from chainrule.types import N, TensorType, is_number, show, static_size


def dense(
    x: Node,
    width: int,
    activation: Activation = None,
    *,
    name: str | None = None,
    init: InitSpec = None,
    bias: bool | InitSpec = True,
    trainable: bool = True,
) -> Node:
    """`activation(x @ w + b)`: every output is connected to every feature of `x`.

    Its nodes are named after the layer: `hidden` the result, `hidden.w` (i, o), `hidden.b` (o,),
    and `hidden.z`, what goes into the activation.

    Args:
        x: (N, i), or (N, t, i) with the same weights for every t; i is inferred.
        width: o, the number of outputs.
        activation: a name such as "relu", a function from node to node, or None.
        name: of the layer.
        init: the initial weights; None: chosen by the activation. See `initializer`.
        bias: False for none; else its initial value: True for zeros, or as `init`.
        trainable: False excludes the parameters from training.

    Raises:
        SettingError: the width is not an integer, or activation or initializer is unknown.
        ShapeError: `x` has no axis of features. DTypeError: it is not floating point.
    """
    x, i = features("dense", x)
    o = positive("dense", "width", width)
    scope = layer_scope(name, "dense")
    w = new_parameter(
        scope,
        ".w",
        TensorType((i, o), x.dtype),
        init,
        activation=activation_name(activation),
        trainable=trainable,
    )
    z = matmul(x, w)  # (N, i) @ (i, o) -> (N, o)
    z = add_bias("dense", scope, z, bias, trainable)
    return activated("dense", scope, z, activation, (x,))


def dropout(x: Node, rate: float, *, name: str | None = None) -> Node:
    """`x` with each element set to 0 with probability `rate` in training; elsewhere `x` itself.

    The other elements are divided by `1 - rate`, so that the mean is preserved. It is inactive
    in prediction without being switched off.

    Raises:
        SettingError: the rate is not in [0, 1).
    """
    x = floats("dropout", x)
    return as_layer(layer_scope(name, "dropout"), random.dropout(x, rate), (x,))


def noise(x: Node, deviation: float | Node, *, name: str | None = None) -> Node:
    """`x + deviation * cr.normal(x.shape)` in training; elsewhere `x` itself.

    What is drawn is a function of seed, step, row and position in the row, the same on any number
    of threads. Gradients pass to `x` and to `deviation`, so it is also the sample of a variational
    autoencoder: `cr.noise(mean, cr.exp(log_variance / 2))`.

    Args:
        x: floating point, with the batch axis or without.
        deviation: of the noise: a number, 0 for none, or a node that broadcasts to `x`.
        name: of the layer.

    Raises:
        SettingError: the deviation is negative, or no number. ShapeError: it does not fit `x`.
        DTypeError: `x` is not floating point.
    """
    x = floats("noise", x)
    scope = layer_scope(name, "noise")
    if not isinstance(deviation, Node):
        if is_number(deviation) and deviation == 0:
            return x
        deviation = between("noise", "deviation", deviation, 0, math.inf)
    operands = (x, deviation) if isinstance(deviation, Node) else (x,)
    drawn = random.normal(x.shape, x.dtype).within(scope, ".normal")
    noisy = x + deviation * drawn
    if noisy.shape != x.shape:
        raise ShapeError(
            "noise", "the deviation is larger than what it is added to",
            expected=f"a shape that broadcasts to {show(x.shape)}", got=show(operands[-1].shape),
            at=operand_at(x),
        )  # fmt: skip
    return as_layer(scope, when_training(noisy, x), operands)


def embedding(
    indices: Node,
    count: int,
    width: int,
    *,
    name: str | None = None,
    init: InitSpec = None,
    dtype: str = "float32",
    trainable: bool = True,
    sparse: bool | None = None,
) -> Node:
    """The row of each index in a table of `count` trained vectors of `width` numbers.

    The table is `name.table`, (count, width). It starts from normal numbers that make its rows
    about 1 long.

    A training step may change the rows alone that its minibatch uses, so that its time does not
    depend on `count`. With plain SGD and with Adagrad, without decay, that gives what an update of
    the whole table gives, and large tables are updated so. With others, such as Adam, a row that
    no example uses would still move on by its momentum or decay; `sparse=True` lets it rest, and
    its averages with it, until it is used, as TensorFlow's LazyAdam and PyTorch's SparseAdam do.
    The whole table is updated where the loss reads it otherwise too (a penalty on its weights),
    and by LAMB, which looks at the length of the whole table. `model.plan(optimizer=...)` tells
    how each table is updated.

    Args:
        indices: integers from 0 to `count - 1`, of any shape; the result has one axis more.
        count, width: the shape of the table.
        name, init, trainable: as in `dense`.
        dtype: of the table.
        sparse: True to update by rows, False to update the whole table in each step; None: by
            rows if there are more than 2,048 and the optimizer makes no difference between both.

    Raises:
        DTypeError: the indices are not integers. FeedError, in a run: one is out of range.
        SettingError: `count` or `width` is not an integer above 0, or `sparse` is not True,
            False or None.
    """
    indices = integers("embedding", indices)
    scope = layer_scope(name, "embedding")
    table = new_table(
        "embedding", scope, (count, width), init, dtype, trainable=trainable, sparse=sparse
    )
    return as_layer(scope, take(table, indices, axis=0), (indices,))


def flatten(x: Node, *, name: str | None = None) -> Node:
    """All elements of an example in one axis: (N, a, b) becomes (N, a * b), (N,) becomes (N, 1)."""
    x = node("flatten", x)
    batch = x.shape[:1] == (N,)
    shape = (N, static_size(x.shape)) if batch else (static_size(x.shape),)
    return as_layer(layer_scope(name, "flatten"), reshape(x, shape), (x,))
