"""What a graph's digest depends on, and what not."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest

import chainrule as cr
from chainrule.graph import Graph
from chainrule.graph.fingerprint import fingerprint


def digest(build: Callable[[], cr.Node]) -> bytes:
    node = build()
    return fingerprint(Graph(node), [node])


def network(**changes: object) -> Callable[[], cr.Node]:
    given = {"width": 3, "dtype": "float32", "name": "x", "constant": 2.0, "axis": 1, "start": 0.0}
    given |= changes

    def build() -> cr.Node:
        x = cr.input(given["name"], (given["width"],), given["dtype"])
        w = cr.parameter("w", np.full(given["width"], given["start"]), dtype=given["dtype"])
        return cr.sum(cr.softmax(x * w * given["constant"], axis=given["axis"]), axis=1)

    return build


def test_graphs_that_are_built_alike_are_alike() -> None:
    assert digest(network()) == digest(network())
    assert digest(network(start=5.0)) == digest(network())  # values are no part of it


@pytest.mark.parametrize(
    "change",
    [{"width": 4}, {"dtype": "float64"}, {"name": "y"}, {"constant": 2.5}, {"constant": -2.0},
     {"axis": 0}],
)  # fmt: skip
def test_any_other_graph_differs(change: dict[str, object]) -> None:
    assert digest(network(**change)) != digest(network())


def test_constants_differ_by_every_element() -> None:
    def with_constant(values: np.ndarray) -> Callable[[], cr.Node]:
        return lambda: cr.input("x", (1000,)) * cr.constant(values)

    one, other = np.zeros(1000, "float32"), np.zeros(1000, "float32")
    other[500] = -0.0
    assert digest(with_constant(one)) != digest(with_constant(other))


def test_what_is_chosen_counts_and_its_order() -> None:
    x = cr.input("x", (3,))
    a, b = cr.exp(x), cr.log(x)
    graph = Graph([a, b])
    orders = ([a, b], [b, a], [a], [b])
    assert len({fingerprint(graph, chosen) for chosen in orders}) == 4


def test_which_operand_comes_first_counts() -> None:
    x, y = cr.input("x", (3,)), cr.input("y", (3,))
    assert len({fingerprint(Graph(z), [z]) for z in (x - y, y - x, x - x)}) == 3
