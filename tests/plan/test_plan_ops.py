"""Every row of the table of op cases: its plan computes what the interpreter does."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.testing as npt
import pytest
from plans import planned

from cases.case import Case
from chainrule.autodiff import gradients
from chainrule.graph import Graph, Node
from chainrule.graph.step import KEY
from chainrule.interpret import evaluate
from chainrule.ops.build import constant, sum_to
from chainrule.passes.specialise import specialise
from opcases import CASES
from ops.test_ops_cases import as_inputs, differentiable, draw, rows_of, variants

Array = np.ndarray[Any, Any]


def assert_planned(
    outputs: list[Node], values: dict[Node, Array], tolerance: float, said: str
) -> None:
    place = specialise(Graph(outputs), training=True)
    outputs = [place[x] for x in outputs]
    rows = rows_of(values)
    graph = Graph([*outputs, *values])
    env = evaluate(graph, {KEY: np.zeros(3, "uint32"), **values}, rows=rows)
    results = planned(outputs, values, rows, [(3, False), (2, True)][tolerance > 1e-6 :][:1])
    for found, node in zip(results, outputs, strict=True):
        wanted = env[node]
        assert (found.shape, found.dtype) == (wanted.shape, wanted.dtype), said
        if found.dtype.kind == "f":
            scale = np.abs(wanted[np.isfinite(wanted)]).max(initial=1.0)
            npt.assert_allclose(found, wanted, tolerance, tolerance * scale, err_msg=said)
        else:
            npt.assert_array_equal(found, wanted, err_msg=said)


def weights(node: Node, generator: np.random.Generator) -> Node:
    shape = tuple(d if isinstance(d, int) else 1 for d in node.shape)
    return constant(generator.uniform(-1, 1, shape), node.dtype)


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("case", CASES, ids=lambda c: c.name)
def test_value_and_gradient(case: Case, dtype: str) -> None:
    generator = np.random.default_rng(3)
    for shapes, batched in variants(case):
        values = as_inputs(draw(case, shapes, dtype), batched)
        nodes = list(values)
        y = case.function(*nodes, **case.attributes)
        outputs = [y]
        if case.order and differentiable(case):
            loss = sum_to(y * weights(y, generator), ())
            outputs += gradients(loss, [nodes[k] for k in differentiable(case)])
        tolerance = 10 * case.tolerance[dtype]
        assert_planned(outputs, values, tolerance, f"{case.name} {shapes}, batched {batched}")
