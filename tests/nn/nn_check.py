"""Runs graphs for the tests of layers and losses, and checks gradients along directions."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from chainrule.autodiff import gradients
from chainrule.graph import Graph, Node, Parameter
from chainrule.graph.feeds import bind
from chainrule.graph.keys import step_key
from chainrule.graph.step import KEY
from chainrule.interpret import evaluate, initial_value
from chainrule.ops import reduce

Feeds = Mapping[str, Any]


def run(
    nodes: Node | Sequence[Node],
    feeds: Feeds,
    values: Mapping[str, Any] | None = None,
    *,
    training: bool = False,
    step: int = 0,
) -> Any:
    """The value of a node, or of several, with parameters from `values` or where they start.

    Feeds that the nodes do not depend on are left out, but they still tell the number of rows.
    """
    wanted = [nodes] if isinstance(nodes, Node) else list(nodes)
    graph = Graph(wanted)
    names = {x: graph.name(x) for x in graph.inputs if x is not KEY}
    known, _ = bind(names, names, {k: v for k, v in feeds.items() if k in names.values()})
    known[KEY] = step_key(0, step)
    for x in graph.parameters:
        name = graph.name(x)
        given = (values or {}).get(name)
        known[x] = initial_value(x, name) if given is None else np.asarray(given, x.dtype)
    rows = next((len(v) for v in feeds.values() if np.ndim(v)), 0)
    env = evaluate(graph, known, rows=rows, training=training)
    out = [env[x] for x in wanted]
    return out[0] if isinstance(nodes, Node) else out


def assert_gradient(
    loss: Node,
    wrt: Sequence[Node],
    feeds: Feeds,
    values: Mapping[str, Any] | None = None,
    *,
    training: bool = False,
) -> None:
    """The gradient in a random direction equals the difference quotient, in float64.

    Args:
        loss: a float64 scalar.
        wrt: inputs and parameters, moved together.
        feeds, values: where it is taken.
    """
    graph, generator = Graph([loss, *wrt]), np.random.default_rng(0)
    names = [graph.name(x) for x in wrt]
    start = {
        name: initial_value(x, name) if isinstance(x, Parameter) else np.array(feeds[name], float)
        for name, x in zip(names, wrt, strict=True)
    } | {name: np.array(v, float) for name, v in (values or {}).items() if name in names}
    along = {name: generator.normal(size=v.shape) for name, v in start.items()}

    def at(nodes: Any, distance: float) -> Any:
        moved = {name: v + distance * along[name] for name, v in start.items()}
        fed = {name: moved.get(name, v) for name, v in feeds.items()}
        return run(nodes, fed, {**(values or {}), **moved}, training=training)

    found = at(gradients(loss, list(wrt)), 0.0)
    slope = sum(np.sum(g * along[name]) for g, name in zip(found, names, strict=True))
    eps = 1e-5
    quotient = (at(loss, eps) - at(loss, -eps)) / (2 * eps)
    np.testing.assert_allclose(slope, quotient, rtol=2e-6, atol=2e-8)


def assert_second(loss: Node, x: Node, feeds: Feeds) -> None:
    """The gradient of the gradient's square along a direction is right too."""
    (g,) = gradients(loss, [x])
    assert_gradient(reduce.sum(g * g), [x], feeds)
