"""Finds the node where a NaN or an infinity came up, and what to do about it."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

import numpy as np
import numpy.typing as npt

from chainrule.engine.minibatch import Rows
from chainrule.errors import NotFinite
from chainrule.graph.graph import Graph
from chainrule.graph.node import Array, Input, Node, Operation
from chainrule.passes.rows import mixes_rows
from chainrule.types import N

CALMER = "lower the learning rate, scale the inputs, or clip: fit(..., clip_norm=1.0)"
"""The fix to suggest where numbers grow beyond bounds."""

LARGE = "the numbers are too large before the first update: scale the inputs and targets"
CONSTANT = "an infinite constant reaches the loss: leave each row a finite value, or weigh it 0"
SLOPE = (
    "a slope is infinite at 0: keep the operand of log, sqrt, norm or a power above 0, such as "
    "sqrt(x + 1e-12); beside where(), inside the branch that is not taken too"
)
DIVISOR = "keep the divisor away from 0, such as a / maximum(b, 1e-6)"
FIXES = {
    "log": "keep the operand above 0, such as log(maximum(x, 1e-7)); for the logarithm of a "
    "softmax or sigmoid: log_softmax, or a loss of logits such as cross_entropy",
    "log1p": "keep the operand above -1, such as log1p(maximum(x, -0.999))",
    "exp": "bound the operand, such as exp(minimum(x, 80.0)), or scale the inputs",
    "sqrt": "keep the operand at 0 or above, such as sqrt(maximum(x, 0.0))",
    "divide": DIVISOR,
    "reciprocal": DIVISOR,
    "rsqrt": DIVISOR,
    "power": "keep the base above 0, such as maximum(x, 1e-6) ** p, or bound the exponent",
}
"""By op, what to do about its first result that is not finite."""
FIXES |= {"expm1": FIXES["exp"], "power_scalar": FIXES["power"]}


def not_finite(
    graph: Graph, env: Mapping[Node, Array], *, step: int, rows: Rows, loss: Node
) -> NotFinite:
    """The error that names the node where the NaN or infinity that spoilt a step came up.

    Args:
        graph, env: of the step, with the values of all nodes.
        step: its number, from 1.
        rows: of the data set, that the minibatch was made of.
        loss: nodes after it are the backward pass and the update.
    """
    spoilt = [loss] if not np.isfinite(env[loss]) else graph.outputs
    culprit, row = _origin(graph, env, spoilt)
    value = env[culprit]
    wrong = np.isnan(value) if _level(env, (culprit, row)) == NAN else ~np.isfinite(value)
    bad = next(x for x in np.argwhere(wrong) if row is None or x[0] == row)
    by_row = culprit.shape[:1] == (N,)
    at = f"step {step}, node {graph.name(culprit)!r}, line {culprit.source}"
    at += f", row {rows[bad[0]]}" if by_row else ""
    got = str(value[tuple(bad)])
    if isinstance(culprit, Input):
        return NotFinite(
            "fit", "the data hold a NaN or an infinity", got=got, at=at,
            fix="fill gaps and scale the column before, or train from a table: cr.train",
        )  # fmt: skip
    forward = culprit in Graph(loss)
    fix = CALMER
    if isinstance(culprit, Operation):
        operands = [_operand(culprit, x, env[x], bad) for x in culprit.operands]
        got = f"{culprit.op.name}({', '.join(map(_text, operands))}) = {got}"
        fix = _fix(culprit, operands, forward, step)
    where = "forward pass" if forward else "backward pass or the update"
    what = f"a value became NaN or infinite in the {where}"
    return NotFinite("fit", what, got=got, at=at, fix=fix)


def _fix(culprit: Operation, operands: list[Array], forward: bool, step: int) -> str:
    """The fix that fits an operation and its operands at the place of the result."""
    infinite = [bool(np.isinf(x).any()) for x in operands]
    if any(_is_constant(x) and y for x, y in zip(culprit.operands, infinite, strict=True)):
        return CONSTANT
    name = culprit.op.name
    if any(infinite):
        if name in ("multiply", "matmul", "einsum"):
            return "0 times infinity is NaN: choose with where(...), not by a product with 0"
        return "infinities of both signs, or of a whole row, meet: keep one number finite"
    if name in ("divide", "reciprocal", "rsqrt") and (operands[-1] != 0).all():
        name = ""  # it overflows
    elif name in ("divide", "reciprocal", "rsqrt", "power", "power_scalar") and not forward:
        return SLOPE
    if name in ("exp", "expm1") and step > 1:
        return f"{FIXES[name]}, or lower the learning rate"
    return FIXES.get(name) or (LARGE if forward and step == 1 else CALMER)


# ---------------------------------------------------------------- the search

FINITE, INFINITE, NAN = range(3)
Place = tuple[Node, int | None]
"""A node, and the row of it that is followed; None: all of it."""


def _origin(graph: Graph, env: Mapping[Node, Array], spoilt: Iterable[Node]) -> Place:
    """The first node on the way to `spoilt` where finite became infinite, or infinite NaN.

    One row is followed: the first that spoils a sum over rows. On the way are operands that are
    NaN where the result is, else those that are not finite; so infinities that do no harm are not.
    Constants are meant as they are, and come last.
    """
    found: list[Place] = []
    fallback: list[Place] = []
    todo = [_place(env, x, None, NAN) for x in spoilt if _level(env, (x, None))]
    seen: set[Place] = set()
    while todo:
        here = node, row = todo.pop()
        if here in seen:
            continue
        seen.add(here)
        level = _level(env, here)
        causes = _causes(env, node, row, level)
        before = max((_level(env, x) for x in causes), default=FINITE)
        (found if level > before else fallback).append(here)
        todo += [x for x in causes if not _is_constant(x[0])]
    order = {x: k for k, x in enumerate(graph)}
    return min(found or fallback, key=lambda place: order[place[0]])


def _is_constant(node: Node) -> bool:
    while isinstance(node, Operation) and node.op.name == "broadcast_to":
        node = node.operands[0]
    return isinstance(node, Operation) and node.op.name == "constant"


def _causes(env: Mapping[Node, Array], node: Node, row: int | None, level: int) -> list[Place]:
    """The operands that are not finite in that row, NaN ones alone if there are any."""
    places = [_place(env, x, row, level) for x in node.inputs]
    if isinstance(node, Operation) and mixes_rows(node):
        spoils = [_place(env, x, None, level) for x in node.inputs]
        places = [a if _level(env, a) else b for a, b in zip(places, spoils, strict=True)]
    levels = [_level(env, x) for x in places]
    wanted = NAN if level == NAN and NAN in levels else INFINITE
    return [x for x, k in zip(places, levels, strict=True) if k >= wanted]


def _place(env: Mapping[Node, Array], node: Node, row: int | None, level: int) -> Place:
    """The node at that row; without one, at the row that spoils what is made of all."""
    value = env[node]
    if node.shape[:1] != (N,) or value.dtype.kind != "f":
        return node, None
    if row is not None and row < len(value):
        return node, row
    for wrong in (np.isnan(value) if level == NAN else None, ~np.isfinite(value)):
        if wrong is not None and wrong.any():
            return node, int(np.argwhere(wrong)[0][0])
    return node, None


def _level(env: Mapping[Node, Array], place: Place) -> int:
    """Whether a value is finite there, or has an infinity, or a NaN."""
    node, row = place
    value = env[node] if row is None else env[node][row]
    if value.dtype.kind != "f" or np.isfinite(value).all():
        return FINITE
    return NAN if np.isnan(value).any() else INFINITE


# ---------------------------------------------------------------- words


def _operand(node: Operation, x: Node, array: Array, index: npt.NDArray[np.int64]) -> Array:
    """The element of an operand that makes the result's at that index; or its row, or all."""
    if node.op.kind == "map" and array.ndim == len(index):
        return np.asarray(array[tuple(index)])
    by_rows = node.shape[:1] == (N,) == x.shape[:1]
    return array[index[0]] if by_rows and index[0] < len(array) else array


def _text(numbers: Array) -> str:
    """A number, or the range of many."""
    if not numbers.ndim:
        return f"{numbers.item():.6g}"
    return f"{numbers.min().item():.6g}..{numbers.max().item():.6g}" if numbers.size else "empty"
