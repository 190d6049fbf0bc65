"""Products by tiles: sizes that tiles do not divide, long sums in parts, and what is launched."""

from __future__ import annotations

import numpy as np
import numpy.testing as npt
import pytest
from opencl import device, runners

import chainrule as cr
from chainrule.backend.gpu.emit.module import build
from chainrule.backend.gpu.program import Program
from chainrule.engine.compile import plan_forward
from chainrule.graph import Graph, Node
from chainrule.ops.bfloat16 import to_bfloat16
from chainrule.plan.plan import Plan

SHAPES = [(1, 8, 8), (33, 17, 9), (70, 100, 65), (129, 40, 10), (5, 300, 12)]
"""Rows, terms and columns."""


def forward(*outputs: Node) -> Plan:
    return plan_forward(Graph(outputs), outputs)


def by_columns(terms: int, columns: int) -> Plan:
    """A product of rows and a matrix, with a bias and a function after it."""
    x, w = cr.input("x", (terms,)), cr.input("w", (terms, columns), batch=False)
    b = cr.input("b", (columns,), batch=False)
    return forward(cr.tanh(cr.matmul(x, w) + b))


@pytest.fixture(scope="module")
def numbers() -> np.random.Generator:
    return np.random.default_rng(0)


def test_products_of_sizes_that_tiles_do_not_divide(numbers: np.random.Generator) -> None:
    plans = [by_columns(k, n) for _, k, n in SHAPES]
    made = runners(plans, [m for m, _, _ in SHAPES])
    for plan, runner, (m, k, n) in zip(plans, made, SHAPES, strict=True):
        x, w = numbers.standard_normal((m, k)), numbers.standard_normal((k, n)) / k**0.5
        b = numbers.standard_normal(n)
        runner.bind("x", x)
        runner.run(np.arange(m)[::-1], [0, m], {"w": w, "b": b})
        found = runner.output(plan.outputs[0], m)
        npt.assert_allclose(found, np.tanh(x[::-1] @ w + b), 1e-5, 1e-5)


def weight_gradient(rows: int) -> tuple[Plan, Program]:
    x, y = cr.input("x", (30,)), cr.input("y", (20,))
    plan = forward(cr.einsum("ni,no->io", x, y))
    return plan, build(plan, rows, device().traits)


def test_a_sum_over_many_rows_is_cut_into_parts(numbers: np.random.Generator) -> None:
    rows = 3000
    plan, program = weight_gradient(rows)
    assert [x.function for x in program.parts] == ["kernel_0", "kernel_0_sums"]
    assert program.launches[0].groups(rows) > 2
    (runner,) = runners([plan], [rows])
    x, y = numbers.standard_normal((rows, 30)), numbers.standard_normal((rows, 20))
    runner.bind("x", x)
    runner.bind("y", y)
    bits = set()
    for some in (rows, rows, 1, 700, 2999):
        runner.run(np.arange(some), [0, some], {})
        found = runner.output(plan.outputs[0], some)
        npt.assert_allclose(found, x[:some].T @ y[:some], 1e-5, 1e-4)
        if some == rows:
            bits.add(found.tobytes())
    assert len(bits) == 1


def test_the_room_for_rows_does_not_change_the_order_of_sums(
    numbers: np.random.Generator,
) -> None:
    x, y = cr.input("x", (30,)), cr.input("y", (20,))
    h = cr.sum(x, axis=1)
    outputs = (
        cr.einsum("ni,no->io", x, y), cr.sum(x, axis=0), cr.sum(h), cr.einsum("ni,nj->nij", x, y),
    )  # fmt: skip
    rooms = (700, 1030, 5000)
    made = runners([forward(*outputs)] * len(rooms), rooms)
    data = {"x": numbers.standard_normal((700, 30)), "y": numbers.standard_normal((700, 20))}
    bits = set()
    for runner in made:
        for name, array in data.items():
            runner.bind(name, array)
        runner.run(np.arange(700), [0, 700], {})
        found = (runner.output(b, 700).tobytes() for b in runner.code.signature.outputs)
        bits.add(b"".join(found))
    assert len(bits) == 1


def test_rounded_factors_are_rounded_in_tiles_too(numbers: np.random.Generator) -> None:
    x, same = cr.input("x", (30,)), cr.input("same", (30,))
    w = cr.input("w", (30, 20), batch=False)
    plan = forward(cr.matmul(to_bfloat16(x), to_bfloat16(w)), to_bfloat16(same))
    assert any(task.contraction and task.contraction.rounded for task in plan.tasks)
    (runner,) = runners([plan], [40])
    left, right = numbers.standard_normal((40, 30)), numbers.standard_normal((30, 20))
    left[0, :4] = 1e-39, -1e-39, 1.00390625, 1.01171875  # subnormal; two in the middle of others
    runner.bind("x", left)
    runner.bind("same", left)
    runner.run(np.arange(40), [0, 40], {"w": right})
    product, rounded = (runner.output(x, 40) for x in plan.outputs)
    npt.assert_array_equal(rounded[0, :4], [0, 0, 1, 1.015625])
    kept = np.frexp(rounded)[0] * 256
    npt.assert_array_equal(kept, np.rint(kept))
    npt.assert_allclose(rounded[1:], left[1:], 2**-8)
    other = right.astype("float32")
    other = np.ldexp(np.rint(np.frexp(other)[0] * 256) / 256, np.frexp(other)[1])
    npt.assert_allclose(product, rounded @ other, 1e-5, 1e-5)
