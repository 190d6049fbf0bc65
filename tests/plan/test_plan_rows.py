"""Updates by rows through plans: threads in any order give what the interpreter gives."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.testing as npt
import pytest
from plans import Planned, planned

import chainrule as cr
from chainrule.engine.compile import build_step
from chainrule.engine.interpreted import Interpreted
from chainrule.graph import Graph
from chainrule.interpret import evaluate
from chainrule.ops.rows import add_at, is_last, last_equal, read_at
from chainrule.train.optim import LBFGS, OPTIMIZERS, optimizer

ROWS, SIZE = 23, 5
SPARSE = sorted(name for name, kind in OPTIMIZERS.items() if kind is not LBFGS and name != "lamb")


@pytest.mark.parametrize("rest", [(), (3,), (2, 1)], ids=str)
@pytest.mark.parametrize("lookups", [1, 4])
def test_sums_of_equal_indices(lookups: int, rest: tuple[int, ...]) -> None:
    numbers = np.random.default_rng(lookups)
    index = cr.input("index", (lookups,), dtype="int32")
    x = cr.input("x", (lookups, *rest), dtype="float64")
    at = last_equal(index, SIZE)
    total = add_at(x, at)
    outputs = [at, is_last(at), total, read_at(total, at)]
    values = {
        index: numbers.integers(0, SIZE, (ROWS, lookups)).astype("int32"),
        x: numbers.normal(size=(ROWS, lookups, *rest)),
    }
    env = evaluate(Graph(outputs), values, rows=ROWS)
    for node, found in zip(outputs, planned(outputs, values, ROWS), strict=True):
        npt.assert_allclose(found, env[node], rtol=1e-12)


@pytest.mark.parametrize("settings", [{}, {"clip_norm": 0.05, "clip_value": 0.02}], ids=str)
@pytest.mark.parametrize("name", SPARSE)
def test_steps_with_tables(name: str, settings: dict[str, Any]) -> None:
    numbers = np.random.default_rng(0)
    code, words = cr.input("code", (), dtype="int32"), cr.input("words", (2,), dtype="int32")
    table = cr.parameter("table", numbers.normal(size=(SIZE, 3)), dtype="float64", sparse=True)
    other = cr.parameter("other", numbers.normal(size=(9, 2)), dtype="float64", sparse=True)
    looked_up = [cr.take(table, code), cr.sum(cr.take(table, words), axis=1), cr.take(other, code)]
    loss = cr.mean(cr.square(cr.concat(looked_up, axis=1) - cr.input("t", (8,), "float64")))
    data = {
        "code": numbers.integers(0, SIZE, ROWS).astype("int32"),
        "words": numbers.integers(0, SIZE, (ROWS, 2)).astype("int32"),
        "t": numbers.normal(size=(ROWS, 8)),
    }
    step = build_step(Graph(loss), loss, optimizer(name, rate=0.05), **settings)  # type: ignore[arg-type]
    batches = [numbers.permutation(ROWS)[:size] for size in (7, 7, 4)]
    one, two = Interpreted(step, {}, 0), Planned(step, {}, 0)
    rates = [0.05, 0.03, 0.02]
    npt.assert_allclose(two.run(data, batches, rates), one.run(data, batches, rates), rtol=1e-10)
    for key, value in one.read().items():
        npt.assert_allclose(two.read()[key], value, rtol=1e-9, atol=1e-12, err_msg=key)
