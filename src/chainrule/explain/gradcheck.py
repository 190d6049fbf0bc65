"""Gradients checked against finite differences, with a report."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from chainrule.display.tables import Section, as_html
from chainrule.explain.run import run
from chainrule.explain.trace import Trace
from chainrule.graph.graph import Graph
from chainrule.graph.node import Node, Parameter
from chainrule.interpret import EvalSchedule
from chainrule.passes.precision import in_float64

WIDTHS = (1e-3, 1e-4, 1e-5)
"""Step sizes of the differences, in the unit of the entry."""
NARROW = (1e-6, 1e-7)
"""Smaller ones, where a layer has so many kinks that each of the others crosses some."""


@dataclass(frozen=True)
class GradientRow:
    """The result for one parameter or input.

    Attributes:
        name: the name of the node.
        entries: the number of entries tried, and their total number.
        error: the largest difference, relative to the larger of the two values; if both are
            tiny, to 1e-6 of the largest gradient or to the rounding error.
        worst: the index of the entry with that error.
        gradient, numeric: the two values there.
        kink: whether the function has a corner there and the gradient lies between its slopes.
        ok: whether the error is within the tolerance, or the entry is at a corner.
    """

    name: str
    entries: tuple[int, int]
    error: float
    worst: tuple[int, ...]
    gradient: float
    numeric: float
    kink: bool
    ok: bool

    @property
    def verdict(self) -> str:
        """ "ok", "corner" or "WRONG"."""
        return "ok" if self.ok and not self.kink else "corner" if self.ok else "WRONG"

    def _repr_html_(self) -> str:
        return GradientReport((self,))._repr_html_()

    def __str__(self) -> str:
        index = "" if self.worst == () else str(list(self.worst)).replace(" ", "")
        return (
            f"{self.verdict:<7}{self.name}{index}: gradient {self.gradient:.9g}, numeric "
            f"{self.numeric:.9g}, relative error {self.error:.1e} "
            f"({self.entries[0]} of {self.entries[1]} entries tried)"
        )


@dataclass(frozen=True)
class GradientReport:
    """The result of `check_gradients`; true if all gradients are right."""

    rows: tuple[GradientRow, ...]

    @property
    def ok(self) -> bool:
        """Whether all rows are ok."""
        return all(row.ok for row in self.rows)

    def __bool__(self) -> bool:
        return self.ok

    @property
    def summary(self) -> str:
        """The result in a few words."""
        wrong = sum(not row.ok for row in self.rows)
        return f"{wrong} of {len(self.rows)} are wrong" if wrong else "all gradients agree"

    def __str__(self) -> str:
        return "\n".join([self.summary, *map(str, self.rows)])

    __repr__ = __str__

    def _repr_html_(self) -> str:
        rows = tuple(
            (x.verdict, x.name, str(list(x.worst)) if x.worst else "", f"{x.gradient:.9g}",
             f"{x.numeric:.9g}", f"{x.error:.1e}", f"{x.entries[0]:,} of {x.entries[1]:,}")
            for x in self.rows
        )  # fmt: skip
        head = ("", "node", "worst entry", "gradient", "numeric", "relative error", "tried")
        return as_html([Section(self.summary, rows, head, (3, 4, 5, 6))])


def check_gradients(
    loss: Node,
    feeds: Mapping[str, npt.ArrayLike],
    *,
    values: Mapping[str, npt.ArrayLike] | None = None,
    tolerance: float = 1e-5,
    entries: int = 20,
    seed: int = 0,
) -> GradientReport:
    """Checks the gradient of `loss` against central differences, in float64.

    Args:
        loss: a scalar node; a float32 graph is converted to float64.
        feeds: examples, as for `run`.
        values: values of parameters by name; the others have their initial values.
        tolerance: on the relative error.
        entries: the number of entries to try in each array, chosen at random.
        seed: for that choice and the initial values.

    Returns:
        A report that prints as a table, and is true if all gradients are right.

    Raises:
        GraphError: `loss` is not a scalar. FeedError: the feeds do not fit.
    """
    graph = Graph(loss)
    wide_nodes = in_float64(graph)
    wide = Graph(wide_nodes[loss], like=graph)
    trace = run(wide.outputs, feeds, values=values, seed=seed)
    trace.backward(wide.outputs[0])
    generator = np.random.default_rng(seed)
    nodes = [
        x
        for x in (*wide.parameters, *wide.inputs)
        if x.type.floating and x.source and (not isinstance(x, Parameter) or x.trainable)
    ]
    largest = max((float(np.abs(trace.gradient(x)).max(initial=0.0)) for x in nodes), default=0.0)
    checker = _Checker(trace, tolerance, 1e-6 * largest)
    return GradientReport(tuple(checker.row(x, entries, generator) for x in nodes))


class _Checker:
    """Numeric derivatives of the one output of a trace.

    Args:
        trace: after `backward`.
        tolerance: on the relative error.
        floor: errors are relative to at least this gradient.
    """

    def __init__(self, trace: Trace, tolerance: float, floor: float) -> None:
        self._trace, self._tolerance, self._floor = trace, tolerance, floor
        graph = trace.graph
        self._schedule = EvalSchedule(graph, graph.outputs)
        self._given = {x: trace.value(x) for x in (*graph.inputs, *graph.parameters)}
        self._loss = float(trace.value(graph.outputs[0]))

    def row(self, node: Node, limit: int, generator: np.random.Generator) -> GradientRow:
        """Checks some entries of a node; the row reports the worst of them."""
        gradient = self._trace.gradient(node)
        tried = np.sort(generator.permutation(gradient.size)[:limit])
        name, entries = self._trace.graph.name(node), (len(tried), gradient.size)
        rows = []
        for flat in tried:
            index = tuple(int(i) for i in np.unravel_index(flat, gradient.shape))
            exact = float(gradient[index])
            numeric, error, kink = self._compare(node, index, exact)
            ok = error <= self._tolerance or kink
            rows.append(GradientRow(name, entries, error, index, exact, numeric, kink, ok))
        nothing = GradientRow(name, entries, 0.0, (), 0.0, 0.0, False, True)
        return max(rows, key=lambda row: (not row.ok, row.error), default=nothing)

    def _compare(
        self, node: Node, index: tuple[int, ...], exact: float
    ) -> tuple[float, float, bool]:
        """The numeric derivative, its relative error, and whether the entry is at a corner.

        A kink near the entry disturbs wide differences but not narrow ones, so narrower steps are
        tried until the values agree: in units of 1 and of the entry's own size.
        """
        size = max(abs(float(self._given[node][index])), 1e-6)
        units = sorted({1.0, size if self._given[node][index] else 1.0}, reverse=True)
        steps = [width * unit for unit in units for width in WIDTHS]
        noise = 32 * np.finfo(float).eps * abs(self._loss)
        floor = max(self._floor, noise / steps[0] / self._tolerance, 1e-300)
        tried, gaps = [], []
        for step in steps:
            numeric, left, right = self._slopes(node, index, step)
            error = abs(exact - numeric) / max(abs(exact), abs(numeric), floor)
            if error <= self._tolerance:
                return numeric, error, False
            tried.append((np.inf if np.isnan(error) else error, numeric))
            gaps.append(abs(left - right))
        apart = gaps[-1] > max(0.5 * gaps[-len(WIDTHS)], floor, noise / steps[-1])
        wide = gaps[-1] < 2 * gaps[-len(WIDTHS)]
        kink = apart and _fits_corner(exact, left, right, floor, corner=wide)
        for step in () if kink else NARROW:
            numeric, _, _ = self._slopes(node, index, step)
            error = abs(exact - numeric) / max(abs(exact), abs(numeric), floor)
            if error <= self._tolerance:
                return numeric, error, False
        return min(tried)[1], min(tried)[0], kink

    def _slopes(
        self, node: Node, index: tuple[int, ...], step: float
    ) -> tuple[float, float, float]:
        """The central difference with Richardson extrapolation, and the two one-sided slopes."""
        here = self._loss
        moved = [self._loss_at(node, index, h) for h in (step, -step, step / 2, -step / 2)]
        wide, narrow = (moved[0] - moved[1]) / (2 * step), (moved[2] - moved[3]) / step
        return (4 * narrow - wide) / 3, (here - moved[3]) * 2 / step, (moved[2] - here) * 2 / step

    def _loss_at(self, node: Node, index: tuple[int, ...], move: float) -> float:
        moved = self._given[node].copy()
        moved[index] += move
        env = self._schedule.run({**self._given, node: moved}, rows=self._trace.rows)
        return float(env[self._trace.graph.outputs[0]])


def _fits_corner(exact: float, left: float, right: float, floor: float, *, corner: bool) -> bool:
    """Whether a gradient fits one-sided slopes that differ for all step sizes.

    At a corner it lies between them, ends included. At a jump, where one slope diverges, it equals
    the other.
    """
    low, high = min(left, right), max(left, right)
    slack = 1e-3 * max(min(abs(left), abs(right)), floor)
    one_of_them = min(abs(exact - low), abs(exact - high)) <= slack
    return one_of_them or (corner and low <= exact <= high)
