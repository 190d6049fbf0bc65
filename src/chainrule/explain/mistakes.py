"""The results that slips would give when a network is computed by hand, by line."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import partial

import numpy as np

from chainrule.graph.node import Array

Wrong = Iterator[Array]
"""The results that a slip would give."""


@dataclass(frozen=True)
class Term:
    """One contribution to a gradient: what a reader of the node sends back.

    Attributes:
        op: of the reader.
        position: of the node among the reader's operands.
        incoming: the gradient at the reader, `gy`.
        result: the value of the reader, `y`.
        operands: their values.
        earlier: the operand of each operand that is an activation; None for others.
        sent: the contribution.
        rule: from `gy`, `y` and the operands to the contribution.
    """

    op: str
    position: int
    incoming: Array
    result: Array
    operands: tuple[Array, ...]
    earlier: tuple[Array | None, ...]
    sent: Array
    rule: Callable[[Array, Array, Sequence[Array]], Array]


@dataclass(frozen=True)
class Line:
    """One line: a value, a gradient or an update, with all that it is computed from.

    Attributes:
        part: "forward", "backward" or "update".
        op: of the node, for a value.
        value: the result.
        operands: of the node, for a value; the old value and the gradient, for an update.
        bias: the index of the operand that is a bias; -1 for none.
        terms: of a gradient.
        rate: of an update.
    """

    part: str
    op: str
    value: Array
    operands: tuple[Array, ...] = ()
    bias: int = -1
    terms: tuple[Term, ...] = ()
    rate: float = 0.0


SIGMOID, TANH = "sigmoid", "tanh"
ACTIVATIONS = (SIGMOID, TANH, "relu", "softplus", "softsign", "softmax", "exp", "log", "sin", "cos")
"""Ops whose result is taken for their operand, or the other way round."""

_CURVES: dict[str, Callable[[Array], Array]] = {
    SIGMOID: lambda z: np.asarray(1 / (1 + np.exp(-z))),
    TANH: np.tanh,
    "relu": lambda z: np.maximum(z, 0.0),
}


# values


def bias_forgotten(line: Line) -> Wrong:
    """The sum without its bias."""
    if line.op == "add" and line.bias >= 0:
        yield line.operands[1 - line.bias]


def term_forgotten(line: Line) -> Wrong:
    """One operand of a sum or a product alone."""
    if line.op in ("add", "multiply", "subtract"):
        yield from line.operands


def divisor_forgotten(line: Line) -> Wrong:
    """The dividend alone, or the product."""
    if line.op == "divide":
        yield line.operands[0]
        yield line.operands[0] * line.operands[1]


def activation_forgotten(line: Line) -> Wrong:
    """The operand of an activation."""
    if line.op in ACTIVATIONS:
        yield line.operands[0]


def exponent_sign(line: Line) -> Wrong:
    """`1 / (1 + exp(z))` in place of `1 / (1 + exp(-z))`."""
    if line.op == SIGMOID:
        yield 1 - line.value


def other_activation(line: Line) -> Wrong:
    """Another activation of the same number."""
    if line.op in _CURVES:
        yield from (f(line.operands[0]) for name, f in _CURVES.items() if name != line.op)


def square_forgotten(line: Line) -> Wrong:
    """The number that is to be squared, or its double."""
    if line.op == "square":
        yield line.operands[0]
        yield np.abs(line.operands[0])
        yield 2 * line.operands[0]


def order_reversed(line: Line) -> Wrong:
    """`b - a` in place of `a - b`, or `b / a` in place of `a / b`."""
    if line.op == "subtract":
        yield -line.value
    if line.op == "divide":
        yield 1 / line.value


def logarithm_base(line: Line) -> Wrong:
    """The logarithm to base 10 in place of the natural one."""
    if line.op == "log":
        yield line.value / np.log(10.0)


def weights_transposed(line: Line) -> Wrong:
    """The product with the weights read by rows in place of columns."""
    if line.op == "matmul" and all(x.ndim == 2 for x in line.operands):
        a, w = line.operands
        yield a @ w.reshape(w.shape[::-1]).T


def weights_of_neighbour(line: Line) -> Wrong:
    """The weighted sum of another unit."""
    if line.op == "matmul":
        yield from _turned(line.value, -1)


def product_forgotten(line: Line) -> Wrong:
    """A weighted sum without one of its products."""
    if line.op == "matmul" and all(x.ndim == 2 for x in line.operands):
        a, w = line.operands
        yield from (line.value - np.outer(a[:, k], w[k]) for k in range(len(w)))


def sum_for_mean(line: Line) -> Wrong:
    """A sum in place of a mean, or a mean in place of a sum."""
    count = line.operands[0].size / max(line.value.size, 1) if line.operands else 1
    if line.op == "mean":
        yield line.value * count
    if line.op == "sum":
        yield line.value / count


# gradients


def slope_missing(line: Line) -> Wrong:
    """The gradient that comes back, without the derivative of the function on the way."""
    yield from _with(line, lambda t: t.incoming if _unary(t) else None)


def slope_alone(line: Line) -> Wrong:
    """The derivative alone, without what comes back."""
    yield from _with(line, lambda t: _sent(t, np.ones_like(t.incoming)) if _unary(t) else None)


def slope_of_input(line: Line) -> Wrong:
    """The slope `y (1 - y)` written with the input in place of the output."""
    yield from _with(line, lambda t: _sent(t, result=t.operands[0]) if _unary(t) else None)


def slope_at_output(line: Line) -> Wrong:
    """The derivative taken at the output in place of the input."""
    yield from _with(line, _at_output)


def slope_incomplete(line: Line) -> Wrong:
    """A factor of the slope in place of the slope."""
    for factor in (lambda y: y, lambda y: 1 - y, lambda y: y * y):
        yield from _with(line, partial(_partly, factor))


def one_reader(line: Line) -> Wrong:
    """The sum without one of its terms."""
    if len(line.terms) > 1:
        yield from (t.sent for t in line.terms)
        if len(line.terms) > 2:
            yield from (line.value - t.sent for t in line.terms)


def gradient_transposed(line: Line) -> Wrong:
    """The weights, or their gradient, read by rows in place of columns."""
    yield from _with(line, lambda t: _transposed(t) if _product(t) else None)


def gradient_of_neighbour(line: Line) -> Wrong:
    """The weights of another unit, or the gradient of another weight."""
    for t in line.terms:
        if _product(t):
            for axis in (-1, -2) if t.position else (-1,):
                yield from (line.value - t.sent + x for x in _turned(t.sent, axis))


def unit_forgotten(line: Line) -> Wrong:
    """The gradient that comes back from all units but one, or from one."""
    for t in line.terms:
        if _product(t) and t.position == 0:
            w = t.operands[1]
            parts = [np.outer(t.incoming[:, k], w[:, k]) for k in range(w.shape[1])]
            if len(parts) > 1:
                yield from (line.value - t.sent + x for x in parts)
                yield from (line.value - x for x in parts)


def weight_missing(line: Line) -> Wrong:
    """The gradient that comes back, without the weights on the way."""
    yield from _with(line, lambda t: _unweighted(t) if _product(t) and t.position == 0 else None)


def input_missing(line: Line) -> Wrong:
    """The gradient of the unit, without the input of the weight."""
    yield from _with(
        line,
        lambda t: (
            np.broadcast_to(t.incoming.sum(0), t.sent.shape)
            if _product(t) and t.position == 1
            else None
        ),
    )


def input_before_activation(line: Line) -> Wrong:
    """The number before the activation as the input of the weight."""
    yield from _with(line, _before_activation)


def rows_averaged(line: Line) -> Wrong:
    """The mean over the rows in place of the sum."""
    for t in line.terms:
        if t.incoming.size > t.sent.size and t.sent.size:
            yield line.value * (t.sent.size / t.incoming.size)


# updates


def added(line: Line) -> Wrong:
    """The step added in place of subtracted."""
    yield line.operands[0] + line.rate * line.operands[1]


def rate_forgotten(line: Line) -> Wrong:
    """The gradient subtracted without the rate."""
    yield line.operands[0] - line.operands[1]
    yield line.operands[0] + line.operands[1]


def step_alone(line: Line) -> Wrong:
    """The step in place of the new value."""
    yield line.rate * line.operands[1]
    yield -line.rate * line.operands[1]


def not_updated(line: Line) -> Wrong:
    """The old value."""
    yield line.operands[0]


# all lines


def sign(line: Line) -> Wrong:
    """The number with the other sign."""
    yield -line.value


def factor_two(line: Line) -> Wrong:
    """Twice or half the number."""
    yield 2 * line.value
    yield line.value / 2


def decimal_point(line: Line) -> Wrong:
    """The digits with the decimal point elsewhere."""
    yield from (line.value * factor for factor in (10, 0.1, 100, 0.01))


def _with(line: Line, replaced: Callable[[Term], Array | None]) -> Wrong:
    """The gradient with one term replaced; none where the slip does not fit it."""
    for t in line.terms:
        other = replaced(t)
        if other is not None and other.shape == t.sent.shape:
            yield line.value - t.sent + other


def _unary(t: Term) -> bool:
    """Whether the reader is a function of this node alone, entry by entry."""
    return len(t.operands) == 1 and t.operands[0].shape == t.result.shape


def _partly(factor: Callable[[Array], Array], t: Term) -> Array | None:
    return t.incoming * factor(t.result) if t.op in (SIGMOID, TANH) else None


def _product(t: Term) -> bool:
    return t.op == "matmul" and all(x.ndim == 2 for x in t.operands)


def _sent(t: Term, incoming: Array | None = None, result: Array | None = None) -> Array:
    """The contribution for another gradient or result of the reader."""
    gy = t.incoming if incoming is None else incoming
    return t.rule(gy, t.result if result is None else result, t.operands)


def _at_output(t: Term) -> Array | None:
    if not _unary(t):
        return None
    curve = _CURVES.get(t.op)
    further = t.result if curve is None else curve(t.result)
    return t.rule(t.incoming, further, (t.result,))


def _transposed(t: Term) -> Array:
    a, w = t.operands
    if t.position:
        return np.asarray((t.incoming.T @ a).reshape(t.sent.shape))
    return np.asarray(t.incoming @ w.T.reshape(w.shape).T)


def _unweighted(t: Term) -> Array:
    return np.broadcast_to(t.incoming.sum(1, keepdims=True), t.sent.shape)


def _before_activation(t: Term) -> Array | None:
    if not _product(t) or t.position != 1 or t.earlier[0] is None:
        return None
    return np.asarray(t.earlier[0].T @ t.incoming)


def _turned(value: Array, axis: int) -> Wrong:
    """The entries along an axis, each in the place of another."""
    if value.ndim >= -axis:
        yield from (np.roll(value, k, axis) for k in range(1, value.shape[axis]))
