"""Layers: functions that take a node and return the output node of a layer."""

from __future__ import annotations

from chainrule.errors import DTypeError, SettingError
from chainrule.graph.leaves import check_sparse
from chainrule.graph.node import Node
from chainrule.graph.source import user_line
from chainrule.nn.arguments import (
    Activation,
    activated,
    activation_name,
    features,
    floats,
    new_parameter,
    node,
    positive,
)
from chainrule.nn.init import InitSpec, Normal, Zeros
from chainrule.nn.naming import as_layer, layer_scope
from chainrule.ops import random
from chainrule.ops.contract import matmul
from chainrule.ops.index import take
from chainrule.ops.shape import reshape
from chainrule.types import INTEGERS, N, TensorType, static_size


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
    if bias is None:
        raise SettingError(
            "dense", "bias is False for none, True for zeros, or an initial value", got="None",
            at="line " + user_line(), fix="leave it out, or write bias=False",
        )  # fmt: skip
    if bias is not False:
        start: InitSpec = Zeros() if bias is True else bias
        b = new_parameter(scope, ".b", TensorType((o,), x.dtype), start, trainable=trainable)
        z = z + b
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

    A large table is updated by rows: a training step changes the rows that its minibatch uses and
    leaves all others alone, their momentum, averages and weight decay included. So its time does
    not depend on `count`. Plain SGD and Adagrad without decay do the same either way. With others,
    such as Adam, a row rests while no example uses it, and its averages with it, as with
    TensorFlow's LazyAdam and PyTorch's SparseAdam; updated densely, it would still move on by its
    momentum. The whole table is updated where `sparse=False`, where the loss reads it otherwise
    too (a penalty on its weights), and by LAMB, which looks at the length of the whole table.

    Args:
        indices: integers from 0 to `count - 1`, of any shape; the result has one axis more.
        count, width: the shape of the table.
        name, init, trainable: as in `dense`.
        dtype: of the table.
        sparse: True to update by rows, False to update the whole table in each step; None: by
            rows if there are more than 2,048.

    Raises:
        DTypeError: the indices are not integers. FeedError, in a run: one is out of range.
        SettingError: `count` or `width` is not an integer above 0, or `sparse` is not True,
            False or None.
    """
    check_sparse("embedding", sparse)
    indices = node("embedding", indices)
    if indices.dtype not in INTEGERS:
        raise DTypeError(
            "embedding",
            "indices are integers",
            expected="int32 or int64",
            got=indices.dtype,
            at=f"operand {indices.label!r}, line {user_line()}",
            fix='declare them so: input("codes", (), dtype="int32")',
        )
    scope = layer_scope(name, "embedding")
    shape = (positive("embedding", "count", count), positive("embedding", "width", width))
    start = Normal(shape[1] ** -0.5) if init is None else init
    table = new_parameter(
        scope, ".table", TensorType(shape, dtype), start, trainable=trainable, sparse=sparse
    )
    return as_layer(scope, take(table, indices, axis=0), (indices,))


def flatten(x: Node, *, name: str | None = None) -> Node:
    """All elements of an example in one axis: (N, a, b) becomes (N, a * b), (N,) becomes (N, 1)."""
    x = node("flatten", x)
    batch = x.shape[:1] == (N,)
    shape = (N, static_size(x.shape)) if batch else (static_size(x.shape),)
    return as_layer(layer_scope(name, "flatten"), reshape(x, shape), (x,))
