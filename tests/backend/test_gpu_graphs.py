"""Random graphs with their gradients as a device computes what the interpreter does.

Kernels of a graph are one launch, as on graphics processors: drivers build few kernels quickly.
"""

from __future__ import annotations

import os
import random
from typing import Any

import numpy as np
import numpy.testing as npt
import pytest
from opencl import device, joining, runners

from chainrule.autodiff import gradients
from chainrule.engine.compile import plan_forward
from chainrule.graph import Graph, Input, Node, Scope
from chainrule.interpret import evaluate
from chainrule.ops.build import sum_to
from chainrule.plan.plan import Plan
from chainrule.types import TensorType
from test_random_graphs import SIZE, STEPS, build

Array = np.ndarray[Any, Any]
GROUP = 40
"""Graphs whose code is built at once."""

TOLERANCES = {"float32": 1e-4, "float64": 1e-12}
"""Of numbers of a few units: all values lie between -3 and 3."""


def graph(seed: int, dtype: str) -> tuple[Plan, dict[Node, Array], list[Node]]:
    """The plan of a value and its gradients, with what goes in and what comes out."""
    pick, numbers = random.Random(seed), np.random.default_rng(seed)
    kind = TensorType((SIZE, SIZE), dtype)
    values: dict[Node, Array] = {
        Input(Scope(name, given=True), kind, batch=False):
            numbers.normal(size=(SIZE, SIZE)).astype(dtype)
        for name in "xyz"
    }  # fmt: skip
    program = [
        (pick.choice(STEPS), pick.randrange(100), pick.randrange(100))
        for _ in range(pick.randint(1, 12))
    ]
    value, _ = build(program, values)
    loss = sum_to(value * numbers.normal(size=(SIZE, SIZE)).astype(dtype), ())
    outputs = [value, loss, *gradients(loss, list(values))]
    return plan_forward(Graph(outputs), outputs), values, outputs


def check(first: int, count: int) -> None:
    dtypes = ("float32", "float64") if device().traits.float64 else ("float32",)
    chosen = [dtypes[seed % len(dtypes)] for seed in range(first, first + count)]
    made = [graph(first + k, dtype) for k, dtype in enumerate(chosen)]
    there = runners([plan for plan, _, _ in made], [1] * count, joining())
    assert all(len(x.code.program.launches) == 1 for x in there)
    for k, (runner, dtype) in enumerate(zip(there, chosen, strict=True)):
        plan, values, outputs = made[k]
        runner.run([0], [0, 1], {x.label: array for x, array in values.items()})
        env = evaluate(Graph([*outputs, *values]), values)
        for node, buffer in zip(outputs, plan.outputs, strict=True):
            found, wanted, near = runner.output(buffer, 1), env[node], TOLERANCES[dtype]
            npt.assert_allclose(found, wanted, near, near, err_msg=f"seed {first + k}")


def test_random_graphs() -> None:
    check(0, GROUP // 2)


@pytest.mark.soak
@pytest.mark.parametrize("first", range(0, int(os.environ.get("COUNT", "2000")), GROUP))
def test_many_random_graphs(first: int) -> None:
    check(first, GROUP)
