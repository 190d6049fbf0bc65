"""The network of the lecture: two inputs, two hidden units, one output, and its numbers."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from chainrule.graph.leaves import input, parameter
from chainrule.graph.node import Node
from chainrule.ops.activations import sigmoid
from chainrule.ops.reduce import sum

EXAMPLE = {"x": [[1.0, 0.0]], "t": [[1.0]]}
"""The example of the lecture: the inputs, and the target."""

NUMBERS: dict[str, list[Any]] = {
    "W1": [[3.7, 2.9], [3.7, 2.9]],
    "b1": [-1.5, -4.5],
    "W2": [[4.5], [-5.2]],
    "b2": [-2.0],
}
"""The parameters of the lecture."""

RATE = 10.0
"""The learning rate of the lecture."""

DRAWN = ("x", "W1", "b1", "z1", "h", "W2", "b2", "z2", "y", "t", "E")
"""The nodes of its picture."""


def network() -> Mapping[str, Node]:
    """The nodes by name: sigmoid units throughout, and half the squared error `E`."""
    x = input("x", (2,), dtype="float64")
    t = input("t", (1,), dtype="float64")
    w1, b1, w2, b2 = (parameter(name, x, dtype="float64") for name, x in NUMBERS.items())
    u1 = (x @ w1).named("u1")
    z1 = (u1 + b1).named("z1")
    h = sigmoid(z1).named("h")
    u2 = (h @ w2).named("u2")
    z2 = (u2 + b2).named("z2")
    y = sigmoid(z2).named("y")
    d = (t - y).named("d")
    q = (d**2).named("q")
    s = sum(q).named("s")
    error = (s / 2).named("E")
    return {x.label: x for x in (x, t, w1, b1, w2, b2, u1, z1, h, u2, z2, y, d, q, s, error)}
