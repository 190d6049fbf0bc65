"""Gradients held against numeric differences, with a report for a reader."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from chainrule.graph.graph import Graph
from chainrule.graph.node import Array, Node, Parameter
from chainrule.interpret import evaluate
from chainrule.passes.precision import in_float64
from chainrule.trace import Trace, run


@dataclass(frozen=True)
class GradientRow:
    """What was found for one parameter or input.

    Attributes:
        name: of the node.
        entries: how many of its entries were tried, of how many.
        error: the largest difference, relative to the larger of both sides and 1e-6 of the
            largest gradient.
        worst: the entry where it was found.
        gradient, numeric: both sides there.
        kink: the two one-sided slopes differ there: the function has a corner.
        ok: whether the error is within the tolerance, or the entry lies at a corner.
    """

    name: str
    entries: tuple[int, int]
    error: float
    worst: tuple[int, ...]
    gradient: float
    numeric: float
    kink: bool
    ok: bool

    def __str__(self) -> str:
        verdict = "ok" if self.ok and not self.kink else "corner" if self.ok else "WRONG"
        place = "" if self.worst == () else str(list(self.worst)).replace(" ", "")
        return (
            f"{verdict:<7}{self.name}{place}: gradient {self.gradient:.9g}, numeric "
            f"{self.numeric:.9g}, relative error {self.error:.1e} "
            f"({self.entries[0]} of {self.entries[1]} entries tried)"
        )


@dataclass(frozen=True)
class GradientReport:
    """The result of `check_gradients`; true when every gradient is right."""

    rows: tuple[GradientRow, ...]

    @property
    def ok(self) -> bool:
        """Whether all rows are."""
        return all(row.ok for row in self.rows)

    def __bool__(self) -> bool:
        return self.ok

    def __str__(self) -> str:
        wrong = sum(not row.ok for row in self.rows)
        head = f"{wrong} of {len(self.rows)} are wrong" if wrong else "all gradients agree"
        return "\n".join([head, *map(str, self.rows)])

    __repr__ = __str__


def check_gradients(
    loss: Node,
    feeds: Mapping[str, npt.ArrayLike],
    *,
    values: Mapping[str, npt.ArrayLike] | None = None,
    tolerance: float = 1e-5,
    entries: int = 20,
    seed: int = 0,
) -> GradientReport:
    """Hold the gradient of `loss` against central differences, in float64.

    Args:
        loss: a scalar node; a float32 graph is checked as the same graph in float64.
        feeds: examples, as for `run`.
        values: of the parameters, by name; the rest have their initial ones.
        tolerance: on the relative error.
        entries: how many entries of each array are tried; they are drawn at random.
        seed: of that draw, and of the initial values.

    Returns:
        A report that prints as a table and is true when all is well.

    Raises:
        GraphError: `loss` is no scalar. FeedError: the feeds do not fit.
    """
    graph = Graph(loss)
    place = in_float64(graph)
    wide = Graph(place[loss], like=graph)
    trace = run(wide.outputs, feeds, values=values, seed=seed)
    trace.backward(wide.outputs[0])
    generator = np.random.default_rng(seed)
    nodes = [
        x
        for x in (*wide.parameters, *wide.inputs)
        if x.type.floating and x.source and (not isinstance(x, Parameter) or x.trainable)
    ]
    return GradientReport(
        tuple(_check_node(trace, x, tolerance, entries, generator) for x in nodes)
    )


def _check_node(
    trace: Trace, node: Node, tolerance: float, limit: int, generator: np.random.Generator
) -> GradientRow:
    gradient = trace.gradient(node)
    value = trace.value(node)
    count = min(limit, value.size)
    tried = np.sort(generator.permutation(value.size)[:count])
    floor = 1e-6 * max(float(np.abs(gradient).max(initial=0.0)), 1e-6)
    name = trace.graph.name(node)
    worst = GradientRow(name, (count, value.size), 0.0, (), 0.0, 0.0, False, True)
    for flat in tried:
        index = tuple(int(i) for i in np.unravel_index(flat, value.shape))
        exact = float(gradient[index])
        numeric, error, kink = _compare(trace, node, index, exact, floor, tolerance)
        ok = error <= tolerance or kink
        if not error <= worst.error or (worst.ok and not ok):
            row = (name, (count, value.size), error, index, exact, numeric, kink, ok)
            worst = GradientRow(*row)
    return worst


def _compare(
    trace: Trace, node: Node, index: tuple[int, ...], exact: float, floor: float, tolerance: float
) -> tuple[float, float, bool]:
    """The numeric derivative, its relative distance from `exact`, and whether there is a corner.

    A corner near the entry disturbs wide differences but not narrow ones, so narrower steps are
    tried until both sides agree. At a corner proper the one-sided slopes stay apart.
    """
    gaps, numeric, error = [], 0.0, np.inf
    for width in (1e-3, 1e-4, 1e-5):
        numeric, left, right = _slopes(trace, node, index, width)
        error = abs(exact - numeric) / max(abs(exact), abs(numeric), floor)
        gaps.append(abs(left - right) / max(abs(left), abs(right), floor))
        if error <= tolerance:
            return numeric, error, False
    return numeric, float(error), bool(gaps[-1] > 1e-3 and gaps[-1] > 0.5 * gaps[0])


def _slopes(
    trace: Trace, node: Node, index: tuple[int, ...], width: float
) -> tuple[float, float, float]:
    """The central difference, improved by Richardson's step, and both one-sided slopes."""
    step = width * max(1.0, abs(float(trace.value(node)[index])))
    here, *moved = (
        _loss_at(trace, node, index, h) for h in (0.0, step, -step, step / 2, -step / 2)
    )
    wide, narrow = (moved[0] - moved[1]) / (2 * step), (moved[2] - moved[3]) / step
    return (4 * narrow - wide) / 3, (here - moved[3]) * 2 / step, (moved[2] - here) * 2 / step


def _loss_at(trace: Trace, node: Node, index: tuple[int, ...], move: float) -> float:
    graph = trace.graph
    known: dict[Node, Array] = {x: trace.value(x) for x in (*graph.inputs, *graph.parameters)}
    known[node] = known[node].copy()
    known[node][index] += move
    env = evaluate(graph, known, rows=trace.rows, keep=graph.outputs)
    return float(env[graph.outputs[0]])
