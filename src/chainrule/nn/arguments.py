"""The checks of layers' arguments; errors name the layer."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, TypeAlias

import numpy as np
import numpy.typing as npt

from chainrule.errors import DTypeError, GraphError, SettingError, ShapeError, did_you_mean
from chainrule.graph.leaves import check_sparse, taken
from chainrule.graph.node import Node, Parameter, Scope
from chainrule.graph.op import FUNCTIONS
from chainrule.graph.source import user_line
from chainrule.nn.init import InitSpec, Normal, Zeros, initializer
from chainrule.nn.naming import as_layer, layer_scope
from chainrule.ops import activations, softmax, transcendental
from chainrule.system.checks import flag, integer
from chainrule.types import INTEGERS, Dim, TensorType, is_number, show

Activation: TypeAlias = str | Callable[[Node], Node] | None

_FAMILIES = (activations, softmax, transcendental)  # imported so that their functions are known

ACTIVATIONS = (
    "linear", "relu", "leaky_relu", "elu", "selu", "gelu", "silu", "mish", "softplus", "tanh",
    "sigmoid", "hard_sigmoid", "hard_tanh", "softsign", "softmax", "log_softmax", "exp", "sin",
)  # fmt: skip
"""The activations by name; any function from node to node is accepted too."""


def activated(
    where: str, scope: Scope, z: Node, activation: Activation, operands: tuple[Node, ...]
) -> Node:
    """The activation of the new node `z`, as one layer with all nodes of `z`.

    `z` becomes a part of the layer, named `.z`. The nodes of a user's function keep their names,
    as it may use other nodes of the graph.
    """
    function = activation_function(where, activation)
    if function is None:
        return as_layer(scope, z, operands)
    if activation_name(activation) is not None:
        return as_layer(scope, function(z.within(scope, ".z")), operands)
    z = as_layer(scope, z, operands, suffix=".z")
    return call(where, function, z, "an activation").within(scope)


def activate(where: str, x: Node, activation: Activation, name: str | None) -> Node:
    """The activation of `x` as a layer of its own."""
    function, ours = activation_function(where, activation), activation_name(activation)
    if function is None:
        return x
    if ours is None:
        return call(where, function, x, "an activation")
    return as_layer(layer_scope(name, ours), function(x), (x,))


def activation_function(where: str, activation: Activation) -> Callable[[Node], Node] | None:
    """The function of the activation, or None. Raises SettingError for an unknown name."""
    if activation is None or activation == "linear":
        return None
    if not isinstance(activation, str):
        return activation
    if activation in ACTIVATIONS:
        return FUNCTIONS[activation]
    raise SettingError(
        where,
        f"no activation is named {activation!r}",
        at="line " + user_line(),
        fix=did_you_mean(activation, ACTIVATIONS),
    )


def call(where: str, function: Any, x: Node, what: str) -> Node:
    """`function(x)`, which must be a node. Raises SettingError."""
    y = function(x) if callable(function) and not isinstance(function, Node) else None
    if isinstance(y, Node):
        return y
    raise SettingError(
        where,
        f"{what} is a function from a node to a node",
        got=f"{function!r}" + (f", which returned {y!r}" if callable(function) else ""),
        at="line " + user_line(),
        fix="write cr.relu, cr.layer.dense(64), or lambda h: ...",
    )


def activation_name(activation: Activation) -> str | None:
    """The name by which the initializer is chosen, also for `cr.relu` itself."""
    if activation is None or isinstance(activation, str):
        return activation
    name = getattr(activation, "__name__", None)
    return name if name in ACTIVATIONS and FUNCTIONS.get(name) is activation else None


def node(where: str, x: object) -> Node:
    """`x`, if it is a node. Raises GraphError."""
    if isinstance(x, Node):
        return x
    raise GraphError(
        where,
        "the first argument is a node",
        got=f"{type(x).__name__} {str(x)[:60]!r}",
        at="line " + user_line(),
        fix='declare an input: x = cr.input("x", (64,)), and feed arrays to fit',
    )


def operand_at(x: Node) -> str:
    """The place to look at where an operand does not fit: its name, and the user's line."""
    return f"operand {x.label!r}, line {user_line()}"


def floats(where: str, x: object) -> Node:
    """`x`, if it is a floating-point node. Raises GraphError, DTypeError."""
    x = node(where, x)
    if x.type.floating:
        return x
    raise DTypeError(
        where,
        "needs floating-point numbers",
        expected="float32 or float64",
        got=x.dtype,
        at=operand_at(x),
        fix="for codes of categories: embedding(x, count, width) or one_hot(x, count)\n"
        'for numbers: cast(x, "float32")',
    )


def integers(where: str, x: object) -> Node:
    """`x`, if it is a node of integers: indices. Raises GraphError, DTypeError."""
    x = node(where, x)
    if x.dtype in INTEGERS:
        return x
    raise DTypeError(
        where,
        "indices are integers",
        expected="int32 or int64",
        got=x.dtype,
        at=operand_at(x),
        fix='declare them so: input("codes", (), dtype="int32")',
    )


def features(where: str, x: object) -> tuple[Node, int]:
    """`x` and its number of features, the size of its last axis.

    Raises:
        GraphError: it is not a node. DTypeError: it is not floating point.
        ShapeError: it has no axis of features.
    """
    x = floats(where, x)
    at = operand_at(x)
    width = x.shape[-1] if x.ndim else None
    if not isinstance(width, int):
        raise ShapeError(
            where,
            "the operand has no axis of features",
            expected="(N, features) or (N, ..., features)",
            got=x.type.sizes,
            at=at,
            fix="an axis is needed even for one number an example: expand_dims(x, -1)",
        )
    if width == 0:
        raise ShapeError(where, "the operand has no features", got=x.type.sizes, at=at)
    return x, width


def static(where: str, x: Node, axis: int) -> int:
    """The size of an axis of `x`, which is not the batch axis. Raises ShapeError."""
    size = x.shape[axis] if x.ndim >= -axis else None
    if isinstance(size, int):
        return size
    raise ShapeError(
        where,
        "the operand has no axis of positions",
        expected="(N, length, width)",
        got=show(x.shape),
        at=operand_at(x),
    )


def positive(where: str, name: str, value: object, least: int = 1) -> int:
    """`value` as an integer of at least `least`. Raises SettingError."""
    try:
        return integer(where, name, value, least)
    except SettingError as error:
        raise error.within("line " + user_line()) from None


def between(where: str, name: str, value: float, low: float, high: float) -> float:
    """`value` as a float with low < value < high. Raises SettingError."""
    if not is_number(value) or not low < value < high:
        raise SettingError(
            where,
            f"{name} is out of range",
            expected=f"{low:g} < {name} < {high:g}",
            got=repr(value),
            at="line " + user_line(),
        )
    return float(value)


def new_parameter(
    scope: Scope,
    suffix: str,
    type: TensorType,
    init: InitSpec,
    *,
    activation: str | None = None,
    trainable: bool = True,
    sparse: bool | None = None,
) -> Parameter:
    """A parameter of a layer. Raises ShapeError where an initial array does not fit."""
    trainable = flag(scope.base, "trainable", trainable)
    start = initializer(init, activation)
    if isinstance(start, np.ndarray):
        if start.shape != type.shape:
            raise ShapeError(
                "init",
                f"the array for {scope.base + suffix!r} has another shape",
                expected=show(type.shape),
                got=show(start.shape),
                at="line " + user_line(),
            )
        start = np.array(start, dtype=type.dtype, order="C")
        start.flags.writeable = False
    new = Parameter(scope, type, suffix=suffix, initial=start, trainable=trainable, sparse=sparse)
    return taken(new)


def new_table(
    where: str,
    scope: Scope,
    shape: tuple[int, int],
    init: InitSpec,
    dtype: str,
    *,
    trainable: bool = True,
    sparse: bool | None = None,
) -> Parameter:
    """The table of a layer that looks up rows; they start about 1 long. Raises SettingError."""
    check_sparse(where, sparse)
    count, width = positive(where, "count", shape[0]), positive(where, "width", shape[1])
    start = Normal(width**-0.5) if init is None else init
    return new_parameter(
        scope, ".table", TensorType((count, width), dtype), start, trainable=trainable,
        sparse=sparse,
    )  # fmt: skip


def add_bias(where: str, scope: Scope, z: Node, bias: bool | InitSpec, trainable: bool) -> Node:
    """`z` plus the layer's parameter `.b`, one number for each of its last axis, if it has one."""
    if bias is None:
        raise SettingError(
            where, "bias is False for none, True for zeros, or an initial value", got="None",
            at="line " + user_line(), fix="leave it out, or write bias=False",
        )  # fmt: skip
    if bias is False:
        return z
    start: InitSpec = Zeros() if bias is True else bias
    type = TensorType(z.shape[-1:], z.dtype)
    return z + new_parameter(scope, ".b", type, start, trainable=trainable)


def class_array(
    where: str, name: str, value: npt.ArrayLike, shape: tuple[Dim, ...]
) -> npt.NDArray[np.float64]:
    """Weights of classes: finite numbers of at least 0; one number where `shape` is ()."""
    try:
        array = np.asarray(value, dtype=np.float64)
    except (TypeError, ValueError):
        array = np.full((), np.nan)
    if array.shape != shape or not np.isfinite(array).all() or (array < 0).any():
        raise SettingError(
            where,
            f"{name} are finite numbers of at least 0",
            expected=f"{show(shape)} numbers" if shape else "a number",
            got=repr(value),
            at="line " + user_line(),
        )
    return array
