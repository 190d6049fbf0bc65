"""Whether the numbers of a network are fit to be computed by hand."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from chainrule.explain.sheet import DIGITS
from chainrule.explain.trace import Trace
from chainrule.graph.node import Array, Node, Operation

SMALL, LARGE = 1e-3, 1e4
"""Magnitudes between which a number is, where it is not 0."""

CLOSE = 0.01
"""The largest relative error of a result, where every result before it was rounded."""

BOUNDS = {"sigmoid": (0.05, 0.95), "tanh": (-0.95, 0.95), "softmax": (0.02, 0.98)}
"""Values beyond which an activation is saturated."""


def troubles(trace: Trace, loss: str) -> list[str]:
    """The reasons why the numbers of a trace are unfit, one for each array; empty: they are fit.

    Args:
        trace: after `backward`.
        loss: the name of the loss.
    """
    hand = Trace(trace.graph, _leaves(trace), trace.rows, False, each=_round)
    hand.backward(loss)
    found = [y for x in trace.graph.operations for y in _saturated(x, trace.value(x))]
    arrays = [(trace.graph.name(x), trace.value(x), hand.value(x)) for x in trace.graph.operations]
    for x in _with_gradients(trace):
        name = f"the gradient of {trace.graph.name(x)}"
        arrays.append((name, trace.gradient(x), hand.gradient(x)))
    return [*found, *(y for name, exact, rough in arrays for y in _of(name, exact, rough))]


def _leaves(trace: Trace) -> dict[Node, Array]:
    return {x: trace.value(x) for x in trace.graph if not x.inputs}


def _with_gradients(trace: Trace) -> Iterator[Node]:
    """The nodes whose gradients a sheet asks for."""
    inputs = set(trace.graph.inputs)
    for step in trace.steps():
        if step.direction == "backward" and step.node not in inputs:
            yield step.node


def _round(_: Operation, value: Array) -> Array:
    return rounded(value, DIGITS) if value.dtype.kind == "f" else value


def rounded(value: Array, digits: int) -> Array:
    """Numbers with so many significant digits."""
    value = np.asarray(value)
    texts = [float(f"{x:.{digits - 1}e}") for x in value.ravel().tolist()]
    return np.array(texts, dtype=value.dtype).reshape(value.shape)


def _saturated(node: Operation, value: Array) -> Iterator[str]:
    low, high = BOUNDS.get(node.op.name, (-np.inf, np.inf))
    if (value < low).any() or (value > high).any():
        yield f"{node.label} is saturated"


def _of(name: str, exact: Array, rough: Array) -> Iterator[str]:
    """The reason against one array, if there is one."""
    if exact.dtype.kind != "f":
        return
    size = np.abs(exact)
    there = size > 0
    if not np.isfinite(exact).all():
        yield f"{name} is not finite"
    elif (size[there] < SMALL).any():
        yield f"{name} has numbers that round to 0.000"
    elif (size >= LARGE).any():
        yield f"{name} has numbers above {LARGE:g}"
    elif exact.size > 1 and np.count_nonzero(exact) * 2 < exact.size:
        yield f"{name} is mostly 0"
    elif (np.abs(rough - exact) > CLOSE * size)[there].any():
        yield f"{name} loses its digits when numbers are rounded"
