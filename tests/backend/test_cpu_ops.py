"""Every row of the table of op cases as machine code computes what the interpreter does."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import numpy.testing as npt
import pytest
from runners import runnable

from cases.case import Case, Operands
from chainrule.autodiff import gradients
from chainrule.backend.cpu.machine import host
from chainrule.engine.compile import plan_forward
from chainrule.graph import Graph, Node
from chainrule.graph.step import KEY
from chainrule.interpret import evaluate
from chainrule.ops.build import constant, sum_to
from chainrule.passes.specialise import specialise
from chainrule.plan.elements import rows_first
from opcases import CASES
from ops.test_ops_cases import as_inputs, differentiable, draw, rows_of, variants

Array = np.ndarray[Any, Any]
WIDTHS = [lanes for lanes in (4, 8, 16) if 4 * lanes <= host().vector]
Variant = tuple[Operands, tuple[int, ...]]
KEY_VALUE = np.zeros(3, "uint32")


def outputs_of(case: Case, values: dict[Node, Array]) -> list[Node]:
    """The value, and the gradients of its elements' sum with weights."""
    nodes = list(values)
    y = case.function(*nodes, **case.attributes)
    if not (case.order and differentiable(case)):
        return [y]
    shape = tuple(d if isinstance(d, int) else 1 for d in y.shape)
    weights = constant(np.random.default_rng(3).uniform(-1, 1, shape), y.dtype)
    return [y, *gradients(sum_to(y * weights, ()), [nodes[k] for k in differentiable(case)])]


def natively(outputs: list[Node], values: dict[Node, Array], rows: int, lanes: int) -> list[Array]:
    graph = Graph(outputs)
    plan = plan_forward(graph, outputs)
    native = runnable(plan, max(rows, 1), width=lanes)
    names = {graph.name(x): v for x, v in values.items() if x in graph}
    names.setdefault(KEY.label, KEY_VALUE)
    back = np.random.default_rng(rows).permutation(rows)
    for buffer in plan.buffers:
        if buffer.space == "data":
            native.bind(buffer.name, names[buffer.name][np.argsort(back)])
    native.call(back, {b.name: names[b.name] for b in plan.buffers if b.space == "step"})
    return [
        native.output(b, rows).transpose(np.argsort(rows_first(x.shape)))
        for x, b in zip(outputs, plan.outputs, strict=True)
    ]


def check(case: Case, dtype: str, lanes: int, some: Sequence[Variant]) -> None:
    tolerance = 10 * case.tolerance[dtype]
    for shapes, batched in some:
        values = as_inputs(draw(case, shapes, dtype), batched)
        outputs, rows = outputs_of(case, values), rows_of(values)
        place = specialise(Graph(outputs), training=True)
        outputs = [place[x] for x in outputs]
        env = evaluate(Graph([*outputs, *values]), {KEY: KEY_VALUE, **values}, rows=rows)
        said = f"{case.name} {shapes}, batched {batched}"
        for found, node in zip(natively(outputs, values, rows, lanes), outputs, strict=True):
            wanted = env[node]
            assert (found.shape, found.dtype) == (wanted.shape, wanted.dtype), said
            if found.dtype.kind != "f":
                npt.assert_array_equal(found, wanted, err_msg=said)
                continue
            scale = np.abs(wanted[np.isfinite(wanted)]).max(initial=1.0)
            npt.assert_allclose(found, wanted, tolerance, tolerance * scale, err_msg=said)


@pytest.mark.parametrize("lanes", WIDTHS)
@pytest.mark.parametrize("number", range(len(CASES)), ids=[c.name for c in CASES])
def test_value_and_gradient(number: int, lanes: int) -> None:
    case, turn = CASES[number], number + WIDTHS.index(lanes)
    every = list(variants(case))
    dtype = ("float32", "float64")[turn % 2]
    check(case, dtype, lanes, every[turn % min(8, len(every)) :: 8])


@pytest.mark.soak
@pytest.mark.parametrize("lanes", WIDTHS)
@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("case", CASES, ids=lambda c: c.name)
def test_all_variants_in_both_precisions(case: Case, dtype: str, lanes: int) -> None:
    check(case, dtype, lanes, list(variants(case)))
