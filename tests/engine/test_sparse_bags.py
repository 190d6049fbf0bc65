"""Bags trained by rows: as whole tables where all rows are in use, without arrays of all rows."""

from __future__ import annotations

from typing import Any
from unittest.mock import patch

import numpy as np
import numpy.testing as npt
import pytest

import chainrule as cr
from chainrule.engine.compile import build_step, plan_step
from chainrule.engine.program import Program, compile_step
from chainrule.errors import NotFinite
from chainrule.graph import Graph, Node
from chainrule.train.optim import LBFGS, OPTIMIZERS, SGD, Adam, Optimizer, optimizer

pytest.importorskip("llvmlite")

Array = np.ndarray[Any, Any]
SPARSE = sorted(name for name, kind in OPTIMIZERS.items() if kind is not LBFGS and name != "lamb")
COUNT, WIDTH, LENGTH, SIZE, STEPS = 11, 5, 6, 8, 5


def loss_of(
    combine: str, sparse: bool | None, *, count: int = COUNT, weighted: bool = False,
    dtype: str = "float64",
) -> Node:  # fmt: skip
    x = cr.input("x", (LENGTH,), dtype="int32")
    weights = cr.input("w", (LENGTH,), dtype) if weighted else None
    table = np.random.default_rng(0).normal(size=(count, WIDTH))
    h = cr.embedding_bag(
        x, count, WIDTH, combine=combine, padding=-1, weights=weights, name="bag", init=table,
        dtype=dtype, sparse=sparse,
    )  # fmt: skip
    y = cr.dense(cr.tanh(h), 2, name="y", init=np.linspace(-1, 1, 2 * WIDTH).reshape(WIDTH, 2))
    return cr.squared_error(y, cr.input("t", (2,), dtype))


def data(steps: int = STEPS, dtype: str = "float64") -> dict[str, Array]:
    """Minibatches that use every row, some of them often, with bags that are short or empty."""
    numbers = np.random.default_rng(1)
    x = np.full((steps, SIZE * LENGTH), -1, "int32")
    for batch in x:
        batch[:30] = np.append(np.arange(COUNT), numbers.integers(0, 3, 30 - COUNT))
        numbers.shuffle(batch[: SIZE * LENGTH - LENGTH])  # the last bag is empty
    return {
        "x": x.reshape(-1, LENGTH),
        "w": numbers.uniform(0.2, 2, (steps * SIZE, LENGTH)).astype(dtype),
        "t": numbers.normal(size=(steps * SIZE, 2)).astype(dtype),
    }


def program(loss: Node, rule: Optimizer, threads: int = 2, **settings: Any) -> Program:
    step = build_step(Graph(loss), loss, rule, **settings)
    return compile_step(step, {}, 0, backend="native", threads=threads)


def run(made: Program, given: dict[str, Array], rate: float = 0.05) -> dict[str, Array]:
    batches = list(np.arange(len(given["x"])).reshape(-1, SIZE))
    made.run(given, batches, [rate] * len(batches))
    return dict(made.read())


def rule_of(name: str, decay: float = 0.0) -> Optimizer:
    settings = {"momentum": 0.8} if name == "sgd" and decay else {}
    made = optimizer(name, rate=0.05, decay=decay, **settings)
    assert not isinstance(made, LBFGS)
    return made


@pytest.mark.parametrize("settings", [{}, {"clip_norm": 0.05, "clip_value": 0.01}], ids=str)
@pytest.mark.parametrize("decay", [0.0, 0.3])
@pytest.mark.parametrize("name", SPARSE)
def test_where_all_rows_are_in_use_every_optimizer_does_what_it_does_to_a_whole_table(
    name: str, decay: float, settings: Any
) -> None:
    found = [
        run(program(loss_of("mean", sparse), rule_of(name, decay), **settings), data())
        for sparse in (True, False)
    ]
    assert found[0].keys() == found[1].keys()
    for key, value in found[1].items():
        npt.assert_allclose(found[0][key], value, rtol=1e-8, atol=1e-11, err_msg=key)


@pytest.mark.parametrize("weighted", [False, True])
@pytest.mark.parametrize("combine", ["sum", "mean", "max"])
def test_bits_are_the_same_for_any_number_of_threads_and_near_the_interpreters(
    combine: str, weighted: bool
) -> None:
    if combine == "max" and weighted:
        pytest.skip("a maximum takes no weights")
    given = data(dtype="float32")
    for sparse in (True, False):
        loss = loss_of(combine, sparse, weighted=weighted, dtype="float32")
        found = []
        for threads in (1, 2, 3):
            with patch("chainrule.backend.cpu.run.tuned.threads_for", lambda *_, n=threads: (n, n)):
                found.append(run(program(loss, Adam(0.05), threads), given))
        step = build_step(Graph(loss), loss, Adam(0.05))
        plain = run(compile_step(step, {}, 0, backend="interpreter"), given)
        for key, value in plain.items():
            npt.assert_allclose(found[0][key], value, rtol=1e-4, atol=1e-5, err_msg=key)
            assert {other[key].tobytes() for other in found} == {found[0][key].tobytes()}


def test_a_step_that_is_not_finite_changes_no_row() -> None:
    given, made = data(), program(loss_of("sum", True), Adam(0.05))
    given["t"][2 * SIZE + 3] = np.nan
    with pytest.raises(NotFinite):
        run(made, given)
    fresh = program(loss_of("sum", True), Adam(0.05))
    good = run(fresh, {key: value[: 2 * SIZE] for key, value in given.items()})
    assert made.steps == 2
    for key, value in good.items():
        assert made.read()[key].tobytes() == value.tobytes()


@pytest.mark.parametrize("weighted", [False, True])
@pytest.mark.parametrize("combine", ["sum", "mean"])
def test_sums_and_means_make_no_array_of_all_rows(combine: str, weighted: bool) -> None:
    for rule, sparse, kept in ((Adam(), False, 0), (Adam(), True, 4), (SGD(), None, 2)):
        loss = loss_of(combine, sparse, count=5000, weighted=weighted)
        plan = plan_step(build_step(Graph(loss), loss, rule))
        arrays = [b.name for b in plan.buffers if b.shape[1:] == (LENGTH, WIDTH)]
        assert len(arrays) == kept, arrays  # by rows: their gradients and new values, no more
        assert not [b for b in plan.buffers if b.shape[:1] == (5000,) and b.space == "work"
                    and sparse is not False and len(b.shape) > 1]  # fmt: skip
