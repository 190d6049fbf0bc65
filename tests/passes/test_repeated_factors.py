"""Products with a factor that a broadcast repeats: computed once, or with a sum of the other."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import numpy.testing as npt
import pytest

import chainrule as cr
from chainrule.graph import Graph, Node
from chainrule.interpret import evaluate
from chainrule.passes.decompose import decompose

N, R = cr.N, np.random.default_rng(3)


def repeated(x: Node) -> Node:
    """(N, i) at each of 5 positions: (N, 5, i)."""
    return cr.broadcast_to(cr.expand_dims(x, 1), (N, 5, *x.shape[1:]))


def products(node: Node) -> list[tuple[str, tuple[object, ...]]]:
    """The equation and the shape of each product that machine code computes."""
    made = decompose(Graph(node))[node]
    return [
        (x.attributes["equation"], x.shape) for x in Graph(made).operations if x.op.name == "einsum"
    ]


Case = tuple[Callable[..., Node], list[tuple[str, tuple[object, ...]]]]

CASES: dict[str, Case] = {
    "result repeated": (
        lambda x, g, w: cr.einsum("nlo,do->nld", repeated(g), w), [("no,do->nd", (N, 3))]
    ),
    "other side": (
        lambda x, g, w: cr.einsum("do,nlo->nld", w, repeated(g)), [("no,do->nd", (N, 3))]
    ),
    "factor summed": (
        lambda x, g, w: cr.einsum("nlo,nld->do", repeated(g), x), [("no,nd->do", (3, 4))]
    ),
    "shared axis": (
        lambda x, g, w: cr.einsum("nlo,nld->nlod", repeated(g), x),
        [("nlo,nld->nlod", (N, 5, 4, 3))],
    ),
    "rows stay": (
        lambda x, g, w: cr.einsum("no,no->o", cr.broadcast_to(w[:1], (N, 4)), g),
        [("no,no->o", (4,))],
    ),
    "no broadcast": (
        lambda x, g, w: cr.einsum("nld,do->nlo", x, w), [("nld,do->nlo", (N, 5, 4))]
    ),
}  # fmt: skip


@pytest.mark.parametrize("case", CASES)
def test_a_repeated_factor_is_used_once(case: str) -> None:
    make, wanted = CASES[case]
    x, g = cr.input("x", (5, 3), "float64"), cr.input("g", (4,), "float64")
    w = cr.parameter("w", np.zeros((3, 4)), dtype="float64")
    y = make(x, g, w)
    assert products(y) == wanted
    graph = Graph([y, decompose(Graph(y))[y]])
    values = {x: R.normal(size=(2, 5, 3)), g: R.normal(size=(2, 4)), w: R.normal(size=(3, 4))}
    env = evaluate(graph, {k: v for k, v in values.items() if k in graph}, rows=2, training=False)
    npt.assert_allclose(env[graph.outputs[0]], env[graph.outputs[1]], rtol=1e-12)
