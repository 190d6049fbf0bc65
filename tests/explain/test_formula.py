"""Formulas: read back by Python they give the node's value; every op can be written down."""

from __future__ import annotations

import math
import re
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import chainrule as cr
from cases.case import Case
from chainrule.explain.formula import by_name, by_number, expression, number, transparent
from chainrule.explain.steps import TraceStep
from chainrule.explain.trace import Trace
from chainrule.graph import Graph, Node
from chainrule.graph.op import REGISTRY
from chainrule.interpret import evaluate
from chainrule.ops.build import sum_to
from opcases import CASES
from ops.test_ops_cases import as_inputs, draw, rows_of

A, B, C = (cr.input(name, (), "float64", batch=False) for name in "abc")
VALUES: dict[Node, Any] = {A: np.float64(0.75), B: np.float64(-1.5), C: np.float64(2.25)}
MEANING: dict[str, Any] = {
    **{name: getattr(math, name) for name in ("exp", "log", "sqrt", "sin", "cos", "tanh", "erf")},
    "sigmoid": lambda x: 1 / (1 + math.exp(-x)),
    "clip": lambda x, low, high: min(max(x, low), high),
    "max": max, "min": min, "nan": math.nan, "inf": math.inf,
}  # fmt: skip


def shown(node: Node) -> str:
    """The formula of `node` down to the inputs."""
    return expression(node, lambda x: x.label if x in VALUES else None)


def parsed(text: str, names: dict[str, Any]) -> float:
    return float(eval(text.replace("^", "**"), {"__builtins__": {}}, {**MEANING, **names}))


def test_all_parts_that_are_joined_are_shown_and_of_many_the_ends() -> None:
    parts = [cr.input(f"p{k}", (2,)) for k in range(9)]

    def text(count: int) -> str:
        return expression(cr.concat(parts[:count], axis=1), lambda x: x.label)

    assert text(2) == "concat(p0, p1, axis=1)"
    assert text(3) == "concat(p0, p1, p2, axis=1)"
    assert text(9) == "concat(p0, p1, p2, p3, ..., p8, axis=1)"


# ---------------------------------------------------------------- brackets


@pytest.mark.parametrize(
    ("node", "text"),
    [
        (A + (B + C), "a + b + c"),
        (A - (B + C), "a - (b + c)"),
        (A - (B - C), "a - (b - c)"),
        (A - B - C, "a - b - c"),
        (A + (B - C), "a + b - c"),
        (A * (B + C), "a * (b + c)"),
        (A * (B * C), "a * b * c"),
        (A / (B * C), "a / (b * c)"),
        (A / B / C, "a / b / c"),
        (cr.reciprocal(A * B), "1 / (a * b)"),
        (cr.reciprocal(cr.reciprocal(A)), "1 / (1 / a)"),
        ((A**3) ** 2, "(a^3)^2"),
        ((A**B) ** C, "(a^b)^c"),
        (A ** (B**C), "a^(b^c)"),
        (2.0**A, "2^a"),
        (A**-3.0, "a^-3"),
        ((-A) ** 2, "(-a)^2"),
        (-(A**2), "-a^2"),
        (cr.negative(-A), "-(-a)"),
        (-(A * B), "-(a * b)"),
        (-A * B, "-a * b"),
        (A * -B, "a * -b"),
        (A - -3.0, "a - -3"),
        (cr.constant(-3.0, "float64") ** A, "(-3)^a"),
        (cr.expm1(A) ** 2, "(exp(a) - 1)^2"),
        (cr.log1p(cr.where(A < B, A, B)), "log(1 + (a if a < b else b))"),
        (cr.softsign(A), "a / (1 + |a|)"),
        (cr.abs(A + B) * C, "|a + b| * c"),
        (cr.where(A < B, A, cr.where(B < C, B, C)), "a if a < b else (b if b < c else c)"),
        (cr.where(((A < B) | (A < C)) & (B < C), A, B), "a if (a < b or a < c) and b < c else b"),
        (cr.where(~((A < B) | (A < C)), A, B), "a if not (a < b or a < c) else b"),
        (cr.where(cr.equal(A < B, B < C), A, B), "a if (a < b) == (b < c) else b"),
        (cr.when_training(A + B, C), "(a + b in training, else c)"),
    ],
)
def test_brackets_are_where_they_are_needed(node: Node, text: str) -> None:
    assert shown(node) == text


def test_products_of_matrices_are_set_apart_from_those_of_elements() -> None:
    m, n, v = (cr.input(name, (2, 2), batch=False) for name in "mnv")

    def text(node: Node) -> str:
        return expression(node, lambda x: x.label if not x.inputs else None)

    assert text(m * (n @ v)) == "m * (n @ v)"
    assert text((m * n) @ v) == "(m * n) @ v"
    assert text(m @ (n * v)) == "m @ (n * v)"
    assert text(m @ n @ v) == "m @ n @ v"
    assert text(m @ (n @ v)) == "m @ (n @ v)"
    assert text((m + n) @ v) == "(m + n) @ v"


ONE: tuple[Callable[[Node], Node], ...] = (
    lambda x: -x, cr.square, cr.exp, cr.expm1, cr.sin, cr.tanh,
    cr.sigmoid, cr.softplus, cr.relu, lambda x: x**3, lambda x: cr.clip(x, -0.5, 2.0),
    lambda x: 1 / (1 + x * x), lambda x: cr.reciprocal(3 + cr.sin(x)), lambda x: x - 2.5,
    lambda x: cr.log1p(cr.square(x)), lambda x: cr.rsqrt(1 + x**2), lambda x: cr.cast(x, "float64"),
)  # fmt: skip
TWO: tuple[Callable[[Node, Node], Node], ...] = (
    lambda x, y: x + y, lambda x, y: x - y, lambda x, y: x * y, lambda x, y: x / (2 + cr.cos(y)),
    lambda x, y: cr.exp(cr.sin(x)) ** y, cr.maximum, cr.minimum,
    lambda x, y: cr.where(x < y, x, y), lambda x, y: cr.where((x < y) & ~(y < 1), x, y),
    lambda x, y: cr.where(((x > y) | (x <= 1)) & cr.not_equal(y, 2), x, -y),
    lambda x, y: cr.where(cr.equal(x < y, y < 1), x, y), lambda x, y: x / (y * y + 1) / 2,
)  # fmt: skip


@settings(max_examples=150, deadline=None, derandomize=True)
@given(
    st.lists(
        st.tuples(st.sampled_from(ONE + TWO), st.integers(0, 9), st.integers(0, 9)), max_size=7
    )
)
def test_a_formula_read_by_python_gives_the_value(program: list[Any]) -> None:
    nodes: list[Node] = [A, B, C]
    for function, i, j in program:
        x, y = nodes[i % len(nodes)], nodes[-1 - j % len(nodes)]
        nodes.append(3 * cr.tanh(function(x) / 3 if function in ONE else function(x, y) / 3))
    result = nodes[-1] * 1.0
    graph = Graph(result)
    env = evaluate(graph, {x: v for x, v in VALUES.items() if x in graph})
    names = {x.label: float(v) for x, v in VALUES.items()}
    wanted = pytest.approx(float(env[result]), rel=1e-9, abs=1e-12)
    assert parsed(shown(result), names) == wanted
    assert parsed(expression(result, by_number({x: x.label for x in VALUES}, env)), {}) == wanted


@settings(max_examples=60, deadline=None, derandomize=True)
@given(st.sampled_from(ONE + TWO), st.sampled_from(ONE + TWO))
def test_each_step_of_a_trace_read_by_python_gives_its_value(outer: Any, inner: Any) -> None:
    """Forward and backward, in the numbers of the step: they are written with 6 digits."""
    y = inner(A) if inner in ONE else inner(A, B)
    y = (outer(y) if outer in ONE else outer(y, A)) * C
    trace = cr.run([y, A, B, C], {"a": 0.75, "b": -1.5, "c": 2.25})
    trace.backward(y)
    for step in trace.steps():
        wanted = pytest.approx(float(step.value), rel=1e-3, abs=1e-4)
        assert parsed(step.numbers, {}) == wanted, step


# ---------------------------------------------------------------- every op


def steps_of(case: Case) -> tuple[Trace, list[TraceStep]]:
    arrays = draw(case, case.shapes[0], "float64")
    values = as_inputs(arrays, ())
    y = case.function(*values, **case.attributes)
    parts = list(y) if isinstance(y, (list, tuple)) else [y]
    floats = [x for x in parts if x.type.floating]
    loss = sum_to(floats[0] * floats[0], ()) if floats else None
    outputs = [*parts, *values, *([] if loss is None else [loss])]
    trace = Trace(Graph(outputs), values, rows_of(values), False)
    if loss is not None:
        trace.backward(loss)
    return trace, trace.steps()


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.name)
def test_every_op_can_be_written_down(case: Case) -> None:
    if any(x.op.kind == "random" for x in _operations(case)):
        pytest.skip("needs a key")
    trace, steps = steps_of(case)
    shown = [x for x in trace.graph.operations if not transparent(x)]
    assert len([s for s in steps if s.direction == "forward"]) == len(shown)
    for step in steps:
        for text in (step.formula, step.numbers):
            assert text
            assert "{" not in text
            assert text.count("(") == text.count(")")
            assert text.count("[") == text.count("]")
        assert str(step).startswith(step.formula)


def _operations(case: Case) -> tuple[Any, ...]:
    values = as_inputs(draw(case, case.shapes[0], "float64"), ())
    y = case.function(*values, **case.attributes)
    return Graph(y if isinstance(y, (list, tuple)) else [y]).operations


def test_templates_name_only_operands_and_attributes_that_exist() -> None:
    for op in REGISTRY.values():
        assert re.fullmatch(r"[^{}]*(\{\w+\}[^{}]*)*", op.formula), op


# ---------------------------------------------------------------- numbers and names


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (1.0, "1"),
        (np.float32(0.1), "0.1"),
        (-2.5e-9, "-2.5e-09"),
        (np.nan, "nan"),
        (-np.inf, "-inf"),
        (7, "7"),
        (True, "True"),
        ([[3.0]], "3"),
        ([1.0, 2.0], "[1, 2]"),
        ([], "[]"),
        ([[1, 2], [3, 4]], "[[1, 2], [3, 4]]"),
        ([[1.0], [2.0]], "[[1], [2]]"),
        ([[1.0, 2.0]], "[1, 2]"),
        (np.arange(12.0).reshape(3, 4), "[[0, 1, 2, 3], [4, 5, 6, 7], [8, 9, 10, 11]]"),
        (np.arange(4).reshape(2, 2, 1), "[[[0], [1]], [[2], [3]]]"),
        (np.arange(40), "[" + ", ".join(map(str, range(40))) + "]"),
        (np.arange(48.0).reshape(6, 8), "[0, 1, 2, ... 6x8]"),
        (np.zeros((0, 3)), "[]"),
    ],
)
def test_numbers(value: Any, text: str) -> None:
    assert number(np.asarray(value)) == text


@pytest.mark.parametrize("name", ["{0}", "{axis}", "a b", "-x", "é∂", "x\ny", "(", "%s", "0"])
def test_names_of_any_characters_stand_as_they_are(name: str) -> None:
    x = cr.input(name, (), "float64", batch=False)
    y = x * 2.0
    names = {x: name, y: "y"}
    assert expression(y, by_name(names)) == f"{name} * 2"
    assert f"{name} * 2" in cr.run(y, {name: 1.0}).steps()[0].formula


def test_constants_and_repetitions_are_written_where_they_are_used() -> None:
    w = cr.parameter("w", [1.0, 2.0], dtype="float64")
    y = cr.broadcast_to(w, (3, 2)) + [[0.5], [1.5], [2.5]]
    (step,) = cr.run(y, {}).steps()
    assert step.formula == "add = w + [[0.5], [1.5], [2.5]]"
    assert step.numbers == "[1, 2] + [[0.5], [1.5], [2.5]]"


def test_a_long_chain_of_hidden_nodes_is_written_down() -> None:
    y: Node = A
    for _ in range(3000):
        y = cr.stop_gradient(y)
    assert expression(y * 2.0, by_name({A: "a"})) == "a * 2"
