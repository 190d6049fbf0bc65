"""The arithmetic of single entries: what it computes is the entry."""

from __future__ import annotations

import math
import re

import numpy as np
import pytest

import chainrule as cr
from chainrule.explain import lecture

FUNCTIONS = {
    "sigmoid": lambda z: 1 / (1 + math.exp(-z)), "exp": math.exp, "log": math.log,
    "tanh": math.tanh, "max": max, "float64": float,
}  # fmt: skip


def computed(text: str) -> float:
    """The value of a computation as the sheets write it."""
    return float(eval(text.replace("^", "**"), {"__builtins__": {}}, FUNCTIONS))


def trace_of(loss: cr.Node, **feeds: object) -> cr.Trace:
    trace = cr.run(loss, feeds)
    trace.backward(loss)
    return trace


def classifier() -> cr.Trace:
    x, t = cr.input("x", (3,), dtype="float64"), cr.input("t", (), dtype="int32")
    w = cr.parameter("w", [[1.0, -2.0], [0.5, 1.5], [-0.3, 0.2]], dtype="float64")
    b = cr.parameter("b", [0.1, -0.2], dtype="float64")
    h = cr.tanh(x @ w + b).named("h")
    v = cr.parameter("v", [[0.4, -0.6], [1.2, 0.9]], dtype="float64")
    rows = [[1.0, 2.0, -1.0], [0.0, 0.5, 2.0]]
    return trace_of(cr.cross_entropy(h @ v, t), x=rows, t=[1, 0])


def lesson() -> cr.Trace:
    return trace_of(lecture.network()["E"], **lecture.EXAMPLE)


def convolution() -> cr.Trace:
    x = cr.input("x", (4, 5, 2), dtype="float64")
    h = cr.conv(x, 2, (2, 2), "relu", stride=2, name="c", init="normal")
    loss = cr.sum(cr.square(cr.average_pool(cr.max_pool(h, 2, stride=1), (1, 2)))).named("E")
    return trace_of(loss, x=np.random.default_rng(0).normal(size=(1, 4, 5, 2)))


@pytest.mark.parametrize(("trace", "least"), [(lesson, 33), (classifier, 40), (convolution, 140)])
def test_the_arithmetic_of_an_entry_gives_the_entry(trace, least) -> None:
    made, done = trace(), 0
    for step in made.steps():
        for entry in made.worked(step, digits=12):
            assert computed(entry.numbers) == pytest.approx(entry.value, rel=1e-9, abs=1e-12)
            assert entry.value == step.value[entry.index]
            done += 1
    assert done >= least


def test_products_and_slopes_are_written_out() -> None:
    made = lesson()
    texts = {s.formula.split(" = ")[0]: made.worked(s, digits=4) for s in made.steps(digits=4)}
    assert [x.numbers for x in texts["u2"]] == ["0.9002 * 4.5 + 0.168 * (-5.2)"]
    assert texts["∂E/∂z1"][0].numbers == "-0.1908 * 0.9002 * (1 - 0.9002)"
    assert [x.index for x in texts["∂E/∂W2"]] == [(0, 0), (1, 0)]
    assert texts["z1"][1].numbers == "2.9 + (-4.5)"


def test_two_readers_are_added_and_rows_are_summed() -> None:
    x = cr.input("x", (2,), dtype="float64")
    b = cr.parameter("b", [1.0, 2.0], dtype="float64")
    y = (x + b).named("y")
    made = trace_of((cr.sum(y * y) + cr.sum(cr.sin(y))).named("E"), x=[[1.0, 2.0], [3.0, 4.0]])
    steps = {(s.direction, s.name): s for s in made.steps()}
    gradient = made.worked(steps["backward", "y"], digits=3)
    assert re.fullmatch(r"1 \* cos\(2\) \+ 1 \* 2 \+ 1 \* 2", gradient[0].numbers)
    sums = made.worked(steps["backward", "b"], digits=3)
    assert sums[0].numbers.count("+") == 1
    assert sums[0].value == pytest.approx(2 * (2 + 4) + np.cos(2) + np.cos(4))


def test_what_has_no_arithmetic_of_entries_says_so() -> None:
    x = cr.input("x", (3,), dtype="float64")
    made = trace_of(cr.sum(cr.cumsum(x, 1)).named("E"), x=[[1.0, 2.0, 3.0]])
    first = made.steps()[0]
    assert first.formula.startswith("cumsum")
    assert made.worked(first) == []
