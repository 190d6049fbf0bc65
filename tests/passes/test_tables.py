"""Updates by rows: of which tables, and that dense updates say the same where they must."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from typing import Any

import numpy as np
import numpy.testing as npt
import pytest

import chainrule as cr
from chainrule.engine.compile import build_step
from chainrule.engine.interpreted import Interpreted
from chainrule.engine.updates import UpdateRule
from chainrule.errors import SettingError
from chainrule.graph import Graph, Node
from chainrule.graph.node import Parameter
from chainrule.graph.step import Step
from chainrule.ops.rows import DENSE_ROWS
from chainrule.passes.tables import MOVING, treatments
from chainrule.train.optim import LBFGS, OPTIMIZERS, SGD, Adagrad, Adam, AdamW, optimizer

Array = np.ndarray[Any, Any]
FIRST_ORDER = sorted(name for name, kind in OPTIMIZERS.items() if kind is not LBFGS)
SPARSE = [name for name in FIRST_ORDER if name != "lamb"]
COUNT, USED, WIDTH, ROWS = 12, 7, 4, 30
SETTINGS: tuple[Mapping[str, float], ...] = (
    {}, {"clip_norm": 0.02}, {"clip_value": 0.003}, {"clip_norm": 0.02, "clip_value": 0.003},
)  # fmt: skip


def data() -> dict[str, Array]:
    """Codes of which some are never drawn, and targets."""
    numbers = np.random.default_rng(1)
    return {
        "code": numbers.integers(0, USED, ROWS).astype("int32"),
        "words": numbers.integers(0, USED, (ROWS, 3)),
        "t": numbers.normal(size=(ROWS, 2)),
    }


def start(count: int = COUNT) -> Array:
    return np.random.default_rng(0).normal(size=(count, WIDTH))


def network(sparse: bool | None, count: int = COUNT) -> Node:
    """Two look-ups of one table, one of them of several rows, and a layer."""
    table = cr.parameter("table", start(count), dtype="float64", sparse=sparse)
    code = cr.input("code", (), dtype="int32")
    words = cr.input("words", (3,), dtype="int64")
    both = [cr.take(table, code), cr.mean(cr.take(table, words), axis=1)]
    weights = np.linspace(-1, 1, 4 * WIDTH).reshape(2 * WIDTH, 2)
    y = cr.dense(cr.concat(both, axis=1), 2, "tanh", init=weights, name="layer")
    return cr.squared_error(y, cr.input("t", (2,), "float64"))


def step_of(loss: Node, rule: UpdateRule, **settings: Any) -> Step:
    return build_step(Graph(loss), loss, rule, **settings)


def by_rows(step: Step) -> set[str]:
    """The names of the states that are updated by rows."""
    new = {step.graph.name(x): y for x, y in step.updates.items()}
    return {name for name, y in new.items() if getattr(y, "op", None) and y.op.name == "put_rows"}  # type: ignore[attr-defined]


def trained(step: Step, steps: int = 5) -> tuple[Array, dict[str, Array]]:
    program = Interpreted(step, {}, 0)
    numbers = np.random.default_rng(2)
    batches = [numbers.integers(0, ROWS, 6) for _ in range(steps)]
    return program.run(data(), batches, [0.05] * steps), program.read()


# ---------------------------------------------------------------- which tables


EXACT: Mapping[str, UpdateRule] = {
    "sgd": SGD(0.1), "adagrad": Adagrad(0.1), "biases alone decay": SGD(decay=1, decays={"*": 0}),
}  # fmt: skip
"""Rules under which a row moves only where its gradient is not 0."""


@pytest.mark.parametrize("settings", SETTINGS, ids=str)
@pytest.mark.parametrize("name", sorted(EXACT))
def test_by_default_tables_of_many_rows_are_updated_by_rows_where_that_is_exact(
    name: str, settings: Any
) -> None:
    for count, sparse in ((DENSE_ROWS, False), (DENSE_ROWS + 1, True)):
        step = step_of(network(None, count), EXACT[name], **settings)
        slots = {step.graph.name(x) for x in step.updates if x.shape == (count, WIDTH)}
        assert by_rows(step) == (slots if sparse else set())
        (table,) = (x for x in step.updates if step.graph.name(x) == "table")
        assert ("exact" in treatments(step)[table]) == sparse
    assert not by_rows(step_of(network(False, DENSE_ROWS + 1), EXACT[name], **settings))


@pytest.mark.parametrize(
    "rule",
    [
        *(optimizer(x) for x in FIRST_ORDER if x not in ("sgd", "adagrad")),
        SGD(momentum=0.9), SGD(decay=0.1), Adagrad(decay=0.1), AdamW(decay=0),
    ],
    ids=str,
)  # fmt: skip
def test_by_default_a_whole_table_is_updated_where_unused_rows_move_too(rule: UpdateRule) -> None:
    step = step_of(network(None, DENSE_ROWS + 1), rule)
    assert not by_rows(step)
    (said,) = treatments(step).values()
    assert said == MOVING
    assert "sparse=True lets them rest" in said


def test_a_plan_tells_how_each_table_is_updated() -> None:
    codes = cr.input("c", (), dtype="int32")
    tables = {"few": (9, None), "many": (3000, None), "asked": (9, True), "dense": (3000, False)}
    parts = [cr.embedding(codes, n, 2, sparse=x, name=name) for name, (n, x) in tables.items()]
    y = cr.dense(cr.concat(parts, axis=1), 1, name="y")
    model = cr.Model(outputs=y, loss=cr.squared_error(y, cr.input("t", (1,))), seed=0)
    told = {rule: model.plan(optimizer=rule).tables for rule in ("sgd", "adam", "lamb")}
    for rule in told:
        assert told[rule]["few.table"].endswith("the whole table")
        assert told[rule]["dense.table"].endswith("the whole table")
    assert "the rows in use, as exact" in told["sgd"]["many.table"]
    assert "sparse=True lets them rest" in told["adam"]["many.table"]
    assert "the rows in use; others rest" in told["adam"]["asked.table"]
    assert "though sparse=True" in told["lamb"]["asked.table"]
    plan = model.plan(optimizer="sgd")
    assert plan.to_dict()["tables"] == told["sgd"]
    for name, how in told["sgd"].items():
        assert re.search(rf"^  {name} +{how}$", str(plan), re.MULTILINE)


@pytest.mark.parametrize("settings", SETTINGS, ids=str)
@pytest.mark.parametrize("name", FIRST_ORDER)
def test_all_optimizers_but_lamb_update_by_rows(name: str, settings: Any) -> None:
    step = step_of(network(True), optimizer(name), **settings)  # type: ignore[arg-type]
    slots = {step.graph.name(x) for x in step.updates if x.shape == (COUNT, WIDTH)}
    assert by_rows(step) == (slots if name != "lamb" else set())
    (table,) = (x for x in step.updates if step.graph.name(x) == "table")
    assert ("exact" in treatments(step)[table]) == (name in ("sgd", "adagrad"))
    if name == "lamb":
        return
    whole = [x for x in step.graph.operations if x.shape == (COUNT, WIDTH)]
    assert [x.op.name for x in whole] == ["put_rows"] * len(slots)


@pytest.mark.parametrize(
    "more",
    [
        lambda table, loss: loss + cr.l2(table, strength=0.01),
        lambda table, loss: loss + cr.mean(cr.square(cr.take(table, np.arange(3)))),
        lambda table, loss: loss + cr.mean(cr.take(table, cr.input("code", (), "int32"), axis=1)),
        lambda table, loss: loss + cr.mean(cr.cast(table, "float32")[0]).astype("float64"),
    ],
    ids=["penalty", "fixed rows", "columns", "cast"],
)
def test_a_table_that_the_loss_reads_otherwise_is_updated_whole(
    more: Callable[[Node, Node], Node],
) -> None:
    loss = network(True)
    table = Graph(loss)["table"]
    if "code" in [x.label for x in Graph(more(table, table[0, 0])).inputs]:
        loss = cr.mean(cr.take(table, cr.input("words", (3,), "int64")))
    assert by_rows(step_of(loss, Adam())) == {"table", "table.mean", "table.square"}
    assert not by_rows(step_of(more(table, loss), Adam()))


def test_a_read_without_a_gradient_does_no_harm() -> None:
    found = []
    for sparse in (True, False):
        loss = network(sparse)
        table = Graph(loss)["table"]
        loss = loss * (1 + 0.01 * cr.stop_gradient(cr.mean(cr.square(table))))
        step = step_of(loss, SGD(0.1))
        assert by_rows(step) == ({"table"} if sparse else set())
        found.append(trained(step))
    npt.assert_allclose(found[0][0], found[1][0], rtol=1e-12)
    npt.assert_allclose(found[0][1]["table"], found[1][1]["table"], rtol=1e-12)


def test_tables_of_vectors_and_of_scalars() -> None:
    code = cr.input("code", (), dtype="int32")
    found = {}
    for sparse in (True, False):
        scalars = cr.parameter("scalars", np.linspace(0, 1, COUNT), dtype="float64", sparse=sparse)
        cubes = cr.parameter("cubes", np.ones((COUNT, 2, 2)), dtype="float64", sparse=sparse)
        y = cr.take(scalars, code) * cr.sum(cr.take(cubes, code), axis=(1, 2))
        loss = cr.mean(cr.square(y - cr.input("t", (2,), "float64")[:, 0]))
        step = step_of(loss, SGD(0.1), clip_norm=0.3)
        assert by_rows(step) == ({"scalars", "cubes"} if sparse else set())
        found[sparse] = trained(step)
    npt.assert_allclose(found[True][0], found[False][0], rtol=1e-12)
    for name, value in found[True][1].items():
        npt.assert_allclose(value, found[False][1][name], rtol=1e-12)


def test_a_setting_that_is_none_of_three() -> None:
    code = cr.input("code", (), dtype="int32")
    with pytest.raises(SettingError, match="True, False or None"):
        cr.parameter("p", np.zeros(3), sparse="yes")  # type: ignore[arg-type]
    with pytest.raises(SettingError, match="True, False or None"):
        cr.embedding(code, 3, 2, sparse=1)  # type: ignore[arg-type]
    table = Graph(cr.embedding(code, 3, 2, sparse=True)).parameters[0]
    assert isinstance(table, Parameter)
    assert table.sparse is True


# ---------------------------------------------------------------- what comes out


@pytest.mark.parametrize("settings", SETTINGS, ids=str)
@pytest.mark.parametrize("name", ["sgd", "adagrad"])
def test_where_a_gradient_of_0_changes_nothing_both_agree(name: str, settings: Any) -> None:
    rule = optimizer(name, rate=0.1)
    sparse, dense = (trained(step_of(network(x), rule, **settings)) for x in (True, False))  # type: ignore[arg-type]
    npt.assert_allclose(sparse[0], dense[0], rtol=1e-12)
    for key, value in dense[1].items():
        npt.assert_allclose(sparse[1][key], value, rtol=1e-12, atol=1e-14)


@pytest.mark.parametrize("name", SPARSE)
def test_a_first_step_changes_the_rows_in_use_as_a_dense_one(name: str) -> None:
    rule = optimizer(name, rate=0.1)
    sparse, dense = (trained(step_of(network(x), rule), 1)[1] for x in (True, False))  # type: ignore[arg-type]
    rows = np.random.default_rng(2).integers(0, ROWS, 6)
    used = np.union1d(data()["code"][rows], data()["words"][rows])
    for key, value in dense.items():
        same = used if value.shape == (COUNT, WIDTH) else ...
        npt.assert_allclose(sparse[key][same], value[same], rtol=1e-12, atol=1e-14)


@pytest.mark.parametrize(
    "rule", [AdamW(0.1, decay=0.3), SGD(0.1, momentum=0.9, decay=0.2)], ids=str
)
def test_rows_that_are_not_used_keep_every_bit(rule: UpdateRule) -> None:
    _, state = trained(step_of(network(True), rule), 4)
    assert state["table"][USED:].tobytes() == start()[USED:].tobytes()
    assert (state["table"][: USED - 2] != start()[: USED - 2]).all()
    for key, value in state.items():
        if key.startswith("table."):
            assert not value[USED:].any()
            assert value[: USED - 2].any()
    _, state = trained(step_of(network(False), rule), 4)
    assert (state["table"][USED:] != start()[USED:]).all()
