"""Random graphs of user functions against direct NumPy, and graphs that defeat recursion."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.testing as npt
from hypothesis import given, settings
from hypothesis import strategies as st

import chainrule.ops  # noqa: F401  (enters the functions)
from chainrule.autodiff import gradients
from chainrule.graph import Graph, Input, Node, Scope, check, listing
from chainrule.graph.op import FUNCTIONS as F
from chainrule.interpret import evaluate
from chainrule.ops.build import sum_to
from chainrule.types import N, TensorType

Array = np.ndarray[Any, Any]
SIZE = 3
WIDTH = TensorType((SIZE, SIZE), "float64")


@dataclass(frozen=True)
class Step:
    """One function of a random graph, as a graph and in NumPy; all values are 3 x 3."""

    name: str
    node: Callable[[Node, Node], Node]
    numpy: Callable[[Array, Array], Array]


def softmax(x: Array) -> Array:
    e = np.exp(x)
    return e / e.sum(axis=-1, keepdims=True)


STEPS = (
    Step("add", lambda a, b: a + b, lambda a, b: a + b),
    Step("subtract", lambda a, b: 1 - a - b, lambda a, b: 1 - a - b),
    Step("multiply", lambda a, b: F["sin"](a) * b, lambda a, b: np.sin(a) * b),
    Step("divide", lambda a, b: a / (1 + b * b), lambda a, b: a / (1 + b * b)),
    Step("negative", lambda a, b: -a, lambda a, b: -a),
    Step("maximum", lambda a, b: F["maximum"](a, b), lambda a, b: np.where(a > b, a, b)),
    Step("minimum", lambda a, b: F["minimum"](a, b), lambda a, b: np.where(a < b, a, b)),
    Step("where", lambda a, b: F["where"](a < b, a, b / 2), lambda a, b: np.where(a < b, a, b / 2)),
    Step("abs", lambda a, b: abs(a), lambda a, b: np.sqrt(a * a)),
    Step("square", lambda a, b: F["tanh"](a) ** 2, lambda a, b: np.tanh(a) ** 2),
    Step("cube", lambda a, b: F["cos"](a) ** 3, lambda a, b: np.cos(a) ** 3),
    Step("sqrt", lambda a, b: F["sqrt"](1 + a * a), lambda a, b: np.sqrt(1 + a * a)),
    Step("exp", lambda a, b: F["exp"](-a * a), lambda a, b: np.exp(-a * a)),
    Step("log", lambda a, b: F["log"](2 + F["sin"](a)), lambda a, b: np.log(2 + np.sin(a))),
    Step("power", lambda a, b: F["sigmoid"](a) ** b, lambda a, b: (1 + np.exp(-a)) ** -b),
    Step("softplus", lambda a, b: F["softplus"](a), lambda a, b: np.log(1 + np.exp(a))),
    Step("relu", lambda a, b: F["relu"](a), lambda a, b: a * (a > 0)),
    Step("elu", lambda a, b: F["elu"](a), lambda a, b: np.where(a > 0, a, np.exp(a) - 1)),
    Step("clip", lambda a, b: F["clip"](a, -0.5, 0.5), lambda a, b: np.clip(a, -0.5, 0.5)),
    Step("matmul", lambda a, b: a @ F["tanh"](b), lambda a, b: a @ np.tanh(b)),
    Step("transpose", lambda a, b: a.T, lambda a, b: a.T),
    Step("column", lambda a, b: a - a[:, 1:2], lambda a, b: a - a[:, 1:2]),
    Step("centre", lambda a, b: a - a.mean(0), lambda a, b: a - a.mean(0)),
    Step(
        "total",
        lambda a, b: a + b.sum(1, keepdims=True) / 3,
        lambda a, b: a + b.sum(1, keepdims=True) / 3,
    ),
    Step("softmax", lambda a, b: F["softmax"](a), lambda a, b: softmax(a)),
)

PROGRAMS = st.lists(
    st.tuples(st.sampled_from(STEPS), st.integers(0, 99), st.integers(0, 99)),
    min_size=1,
    max_size=12,
)


def bounded(value: Array) -> Array:
    """What each step is wrapped in, so that no chain of steps overflows."""
    return 3 * np.tanh(value / 3)


def build(program: list[tuple[Step, int, int]], values: dict[Node, Array]) -> tuple[Node, Array]:
    """The last node of the program, and its value computed without the graph."""
    nodes, arrays = list(values), list(values.values())
    for step, i, j in program:
        i, j = i % len(nodes), j % len(nodes)
        nodes.append(3 * F["tanh"](step.node(nodes[i], nodes[j]) / 3))
        arrays.append(bounded(step.numpy(arrays[i], arrays[j])))
    return nodes[-1], arrays[-1]


@settings(max_examples=80, deadline=None, derandomize=True)
@given(program=PROGRAMS, seed=st.integers(0, 2**32 - 1))
def test_value_and_gradient_of_random_graphs(
    program: list[tuple[Step, int, int]], seed: int
) -> None:
    generator = np.random.default_rng(seed)
    inputs = [Input(Scope(n, given=True), WIDTH, batch=False) for n in "xyz"]
    values: dict[Node, Array] = {x: generator.normal(size=(SIZE, SIZE)) for x in inputs}
    output, expected = build(program, values)
    weight = generator.normal(size=(SIZE, SIZE))
    loss = sum_to(output * weight, ())
    found = gradients(loss, inputs)
    env = evaluate(check(Graph([loss, *found, *inputs])), values)
    npt.assert_allclose(env[output], expected, rtol=1e-10, atol=1e-12)

    along = {x: generator.normal(size=(SIZE, SIZE)) for x in inputs}

    def moved(step: float) -> float:
        shifted = {x: v + step * along[x] for x, v in values.items()}
        return float(np.sum(build(program, shifted)[1] * weight))

    terms = [env[g] * along[x] for x, g in zip(inputs, found, strict=True)]
    slope = (moved(1e-6) - moved(-1e-6)) / 2e-6
    scale = 1 + float(np.sum(np.abs(terms))) + abs(slope)
    assert abs(float(np.sum(terms)) - slope) <= 1e-6 * scale


def scalar_batch() -> Input:
    return Input(Scope("x", given=True), TensorType((N,), "float64"))


def test_a_chain_of_5000_nodes() -> None:
    x = scalar_batch()
    values = np.array([0.3, -1.1, 2.0])
    y: Node = x
    wanted, slope = values, np.ones(3)
    for _ in range(5000):
        y = F["sin"](y)
        slope = slope * np.cos(wanted)
        wanted = np.sin(wanted)
    (gradient,) = gradients(sum_to(y, ()), [x])
    graph = check(Graph([y, gradient]))
    env = evaluate(graph, {x: values}, rows=3, keep=[y, gradient])
    npt.assert_array_equal(env[y], wanted)
    npt.assert_allclose(env[gradient], slope, rtol=1e-11)
    assert len(listing(graph, full=True).splitlines()) == len(graph) > 10_000
    assert len(listing(graph).splitlines()) < 30


def test_a_graph_with_two_to_the_sixty_paths() -> None:
    x = scalar_batch()
    y: Node = x
    for _ in range(60):
        y = y + y
    (gradient,) = gradients(sum_to(y, ()), [x])
    env = evaluate(check(Graph([y, gradient])), {x: np.array([1.0, 0.5])}, rows=2)
    npt.assert_array_equal(env[y], [2.0**60, 2.0**59])
    npt.assert_array_equal(env[gradient], [2.0**60, 2.0**60])


def test_consumers_of_a_shared_node_are_each_listed_once() -> None:
    x = scalar_batch()
    square = x * x
    graph = Graph([square + x, -x])
    assert [node.op.name for node in graph.consumers(x)] == ["multiply", "add", "negative"]
