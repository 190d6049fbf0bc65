"""Comparisons, logic and selection, element by element."""

from __future__ import annotations

import math
from collections.abc import Callable

import numpy as np

from chainrule.errors import ChainruleError, DTypeError
from chainrule.graph.node import Array, Node, NodeLike, apply
from chainrule.graph.op import Forward, Map, Op, Scalar, function, op
from chainrule.graph.source import user_line
from chainrule.ir.index import call, scalar
from chainrule.ir.kernel import Const, Expr
from chainrule.ops.build import as_node, broadcast, broadcast_to, promote, same
from chainrule.types import FLOATS, TensorType, broadcast_shapes


def _truth(*types: TensorType) -> TensorType:
    """The infer rule of comparisons: operands of one type give a bool."""
    alike = same(*types)
    return TensorType(alike.shape, "bool", alike.axes)


def _logical(name: str) -> Callable[..., TensorType]:
    """The infer rule of logic: bools give a bool."""

    def infer(*types: TensorType) -> TensorType:
        result = same(*types)
        if result.dtype != "bool":
            raise _needs_bool(name, result.dtype)
        return result

    return infer


def _needs_bool(name: str, got: str) -> DTypeError:
    return DTypeError(
        name, "needs true or false", expected="bool", got=got, fix="compare first: not_equal(x, 0)"
    )


def _comparison(name: str, forward: Forward, sign: str, lower: str) -> Op:
    return op(
        name,
        "map",
        infer=_truth,
        forward=forward,
        gradient=None,
        lower=Scalar(lower),
        formula=f"{{0}} {sign} {{1}}",
        convention="A bool. Any comparison with NaN is false, except not_equal, which is true.",
    )


EQUAL = _comparison("equal", np.equal, "==", "eq")
NOT_EQUAL = _comparison("not_equal", np.not_equal, "!=", "ne")
LESS = _comparison("less", np.less, "<", "lt")
LESS_EQUAL = _comparison("less_equal", np.less_equal, "<=", "le")
GREATER = _comparison("greater", np.greater, ">", "gt")
GREATER_EQUAL = _comparison("greater_equal", np.greater_equal, ">=", "ge")


@function
def equal(a: NodeLike, b: NodeLike) -> Node:
    """Whether `a == b`, element by element, as bool. False where either is NaN."""
    return apply(EQUAL, *broadcast("equal", a, b))


@function
def not_equal(a: NodeLike, b: NodeLike) -> Node:
    """Whether `a != b`, element by element, as bool. True where either is NaN."""
    return apply(NOT_EQUAL, *broadcast("not_equal", a, b))


@function
def less(a: NodeLike, b: NodeLike) -> Node:
    """Whether `a < b`, element by element, as bool. False where either is NaN."""
    return apply(LESS, *broadcast("less", a, b))


@function
def less_equal(a: NodeLike, b: NodeLike) -> Node:
    """Whether `a <= b`, element by element, as bool. False where either is NaN."""
    return apply(LESS_EQUAL, *broadcast("less_equal", a, b))


@function
def greater(a: NodeLike, b: NodeLike) -> Node:
    """Whether `a > b`, element by element, as bool. False where either is NaN."""
    return apply(GREATER, *broadcast("greater", a, b))


@function
def greater_equal(a: NodeLike, b: NodeLike) -> Node:
    """Whether `a >= b`, element by element, as bool. False where either is NaN."""
    return apply(GREATER_EQUAL, *broadcast("greater_equal", a, b))


def _lower_isfinite(x: Expr) -> Expr:
    if x.dtype not in FLOATS:
        return Const(True, "bool")
    return call("lt", "bool", scalar("abs", x), Const(math.inf, x.dtype))


ISFINITE = op(
    "isfinite",
    "map",
    infer=_truth,
    forward=np.isfinite,
    gradient=None,
    lower=Map(_lower_isfinite),
)


@function
def isfinite(x: NodeLike) -> Node:
    """Whether each element is neither infinite nor NaN, as bool."""
    return apply(ISFINITE, as_node(x))


ISNAN = op(
    "isnan",
    "map",
    infer=_truth,
    forward=np.isnan,
    gradient=None,
    lower=Map(lambda x: call("ne", "bool", x, x)),
)


@function
def isnan(x: NodeLike) -> Node:
    """Whether each element is NaN, as bool."""
    return apply(ISNAN, as_node(x))


LOGICAL_AND = op(
    "logical_and",
    "map",
    infer=_logical("logical_and"),
    forward=np.logical_and,
    gradient=None,
    lower=Scalar("and"),
    formula="{0} and {1}",
)


@function
def logical_and(a: NodeLike, b: NodeLike) -> Node:
    """Whether both are true; also written `a & b`. Raises DTypeError for what is not bool."""
    return apply(LOGICAL_AND, *broadcast("logical_and", a, b))


LOGICAL_OR = op(
    "logical_or",
    "map",
    infer=_logical("logical_or"),
    forward=np.logical_or,
    gradient=None,
    lower=Scalar("or"),
    formula="{0} or {1}",
)


@function
def logical_or(a: NodeLike, b: NodeLike) -> Node:
    """Whether one or both are true; also `a | b`. Raises DTypeError for what is not bool."""
    return apply(LOGICAL_OR, *broadcast("logical_or", a, b))


LOGICAL_XOR = op(
    "logical_xor",
    "map",
    infer=_logical("logical_xor"),
    forward=np.logical_xor,
    gradient=None,
    lower=Scalar("xor"),
    formula="{0} xor {1}",
)


@function
def logical_xor(a: NodeLike, b: NodeLike) -> Node:
    """Whether exactly one is true. Raises DTypeError for what is not bool."""
    return apply(LOGICAL_XOR, *broadcast("logical_xor", a, b))


LOGICAL_NOT = op(
    "logical_not",
    "map",
    infer=_logical("logical_not"),
    forward=np.logical_not,
    gradient=None,
    lower=Scalar("not"),
    formula="not {0}",
)


@function
def logical_not(x: NodeLike) -> Node:
    """Whether `x` is false; also written `~x`. Raises DTypeError for what is not bool."""
    return apply(LOGICAL_NOT, as_node(x))


def _infer_where(condition: TensorType, a: TensorType, b: TensorType) -> TensorType:
    if condition.dtype != "bool":
        raise _needs_bool("where", condition.dtype)
    same(condition, TensorType(a.shape, "bool"))
    return same(a, b)


def _forward_where(condition: Array, a: Array, b: Array) -> Array:
    return np.where(condition, a, b)


WHERE = op(
    "where",
    "map",
    infer=_infer_where,
    forward=_forward_where,
    gradient=lambda gy, y, condition, a, b: (
        None,
        where(condition, gy, 0),
        where(condition, 0, gy),
    ),
    lower=Scalar("select"),
    formula="{1} if {0} else {2}",
    convention="The branch not taken gets the gradient 0, and is computed all the same.",
)


@function
def where(condition: NodeLike, a: NodeLike, b: NodeLike) -> Node:
    """`a` where `condition` holds, else `b`; all three broadcast.

    Both branches are computed everywhere. A branch not taken may be infinite or NaN without
    affecting the value, but not the gradient: its zero gradient is multiplied by its slope, and
    0 * inf is NaN. So keep its operand in the domain:

        safe = where(x > 0, x, 1.0)
        y = where(x > 0, log(safe), 0.0)     # not where(x > 0, log(x), 0.0)

    Raises:
        DTypeError: `condition` is not bool, or `a` and `b` differ in dtype.
        ShapeError: the three do not broadcast.
    """
    operands = (as_node(condition), *promote("where", a, b))
    try:
        shape = broadcast_shapes("where", *(x.shape for x in operands))
    except ChainruleError as error:
        error.at = "line " + user_line()
        raise
    return apply(WHERE, *(broadcast_to(x, shape) for x in operands))
