"""Updates by rows as machine code: in place, all or nothing, at a cost that rows do not change."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any
from unittest.mock import patch

import numpy as np
import numpy.testing as npt
import pytest

import chainrule as cr
from chainrule.costs.work import work
from chainrule.engine.compile import build_step, plan_step
from chainrule.engine.native import NativeProgram
from chainrule.engine.program import Program, compile_step
from chainrule.errors import FeedError, NotFinite
from chainrule.graph import Graph, Node
from chainrule.plan.plan import Plan
from chainrule.plan.show import show
from chainrule.train.optim import LBFGS, OPTIMIZERS, SGD, Adam, AdamW, Optimizer, optimizer

pytest.importorskip("llvmlite")

Array = np.ndarray[Any, Any]
SPARSE = sorted(name for name, kind in OPTIMIZERS.items() if kind is not LBFGS and name != "lamb")
ROWS, SIZE, COUNT, WIDTH = 60, 10, 9, 5
BATCHES = [np.arange(k, k + SIZE) for k in range(0, ROWS, SIZE)]
RATES = [0.01] * len(BATCHES)


def data(seed: int = 0, count: int = COUNT) -> dict[str, Array]:
    numbers = np.random.default_rng(seed)
    return {
        "x": numbers.uniform(0.5, 1.5, (ROWS, WIDTH)).astype("float32"),
        "words": numbers.integers(0, count, (ROWS, 3)).astype("int32"),
        "code": numbers.integers(0, count, ROWS).astype("float32"),
    }


def loss_of(count: int = COUNT, width: int = WIDTH) -> Node:
    """A loss that is not finite where `x` is not, and whose gradient is not where `x` is 0."""
    x, one = cr.input("x", (WIDTH,)), cr.parameter("one", 1.0, trainable=False)
    code = cr.cast(cr.input("code", ()) * one, "int64")  # so that no look ahead can check it
    words = cr.input("words", (3,), dtype="int32")
    table = cr.parameter("table", np.random.default_rng(1).normal(size=(count, width)), sparse=True)
    h = cr.sum(cr.take(table, words), axis=1) * cr.tanh(cr.take(table, code))
    y = cr.dense(h, 1, name="layer")
    scale = cr.parameter("scale", np.ones(WIDTH))
    return cr.mean(cr.square(y)) + cr.mean(cr.sqrt(x * scale)) + cr.mean(cr.dense(x, 2) * y)


def program(
    loss: Node, rule: Optimizer, backend: str = "native", threads: int = 2, **settings: Any
) -> Program:
    return compile_step(
        build_step(Graph(loss), loss, rule, **settings), {}, 0, backend=backend, threads=threads
    )


def rule_of(name: str, rate: float = 0.01) -> Optimizer:
    made = optimizer(name, rate=rate)
    assert not isinstance(made, LBFGS)
    return made


# ---------------------------------------------------------------- all or nothing


def spoilt(kind: str) -> tuple[dict[str, Array], list[float]]:
    """Data, and rates, with which the fourth step fails."""
    made, rates = data(), list(RATES)
    if kind == "forward":
        made["x"][37, 2] = -1
    elif kind == "backward":
        made["x"][37, 2] = 0
    elif kind == "update":
        rates[3] = np.inf
    elif kind == "above":
        made["code"][37] = COUNT
    elif kind == "below":
        made["code"][37] = -1
    return made, rates


FAULTS = {
    "forward": NotFinite, "backward": NotFinite, "update": NotFinite, "above": FeedError,
    "below": FeedError,
}  # fmt: skip


@pytest.mark.parametrize("threads", [1, 2])
@pytest.mark.parametrize("fault", sorted(FAULTS))
@pytest.mark.parametrize("name", SPARSE)
def test_a_step_that_fails_changes_nothing(name: str, fault: str, threads: int) -> None:
    given, rates = spoilt(fault)
    rule, loss, told = rule_of(name), loss_of(), []
    for backend in ("native", "interpreter"):
        made = program(loss, rule, backend, threads)
        with (
            patch("chainrule.backend.cpu.run.tuned.threads_for", lambda *_: (threads, threads)),
            pytest.raises(FAULTS[fault]) as caught,
        ):
            made.run(given, BATCHES, rates)
        told.append(str(caught.value))
        assert made.steps == 3
        good = program(loss, rule, backend)
        good.run(given, BATCHES[:3], rates[:3])
        after = made.read()
        for key, value in good.read().items():
            assert after[key].tobytes() == value.tobytes(), key
            assert np.isfinite(value).all()
        whole = data()
        made.run(whole, BATCHES[3:], RATES[3:])  # it goes on from there
        good.run(whole, BATCHES[3:], RATES[3:])
        after = made.read()
        for key, value in good.read().items():
            assert after[key].tobytes() == value.tobytes(), key
    assert told[0] == told[1]


def test_a_row_of_the_table_that_overflows_alone() -> None:
    code = cr.input("code", (), dtype="int32")
    table = cr.parameter("table", np.array([[1.0], [3e38], [2.0]]), sparse=True)
    weights = cr.input("weight", (1,))
    loss = cr.mean(cr.take(table, code) * weights)
    codes = {"code": np.array([0, 2, 0, 2, 1, 0], "int32")}
    codes["weight"] = np.array([1, 1, 1, 1, -3e38, 1], "float32")[:, None] * np.float32(1e-3)
    made = program(loss, SGD(1.0))
    with pytest.raises(NotFinite, match="update"):
        made.run(codes, [[0, 1], [2, 3], [4, 5]], [0.1, 0.1, 1e4])
    npt.assert_allclose(made.read()["table"][:, 0], [1 - 1e-4, 3e38, 2 - 1e-4], rtol=1e-6)


# ---------------------------------------------------------------- what it costs


def planned(count: int, rule: Optimizer, **settings: Any) -> Plan:
    loss = loss_of(count)
    return plan_step(build_step(Graph(loss), loss, rule, **settings))


@pytest.mark.parametrize("settings", [{}, {"clip_norm": 1.0}], ids=str)
@pytest.mark.parametrize("name", SPARSE)
def test_the_work_does_not_depend_on_the_rows_of_the_table(name: str, settings: Any) -> None:
    small, large = (planned(n, rule_of(name), **settings) for n in (10_000, 1_000_000))
    assert [x.kernel.name for x in small.tasks] == [x.kernel.name for x in large.tasks]
    for one, two in zip(small.tasks, large.tasks, strict=True):
        a, b = work(one, SIZE), work(two, SIZE)
        assert (a.flops, a.instructions, a.bytes) == (b.flops, b.instructions, b.bytes)
        assert not any(axis.size == 10_000 for axis in one.kernel.axes)
    long = [b for b in small.buffers if 10_000 in b.shape]
    marks = [b for b in long if b.space != "state"]
    assert [(b.dtype, b.shape, b.space) for b in marks] == [("int32", (10_000,), "work")]
    assert not set(long) & set(small.updates)
    states = [x.buffer.name for x in small.kernels[-1].writes]
    assert set(states) == {b.name for b in long if b.space == "state"}
    assert ", commits" in show(small).rpartition("phase")[2]


def test_memory_has_one_side_and_a_forecast_says_so() -> None:
    sizes = {}
    for sparse in (True, False):
        code = cr.input("code", (), dtype="int32")
        y = cr.dense(cr.embedding(code, 5_000, 16, name="e", sparse=sparse), 1)
        model = cr.Model(outputs=y, loss=cr.squared_error(y, cr.input("t", (1,))), seed=0)
        forecast = model.plan(batch_size=16, optimizer="adam")
        held = next(x for x in forecast.placed if x.name == "e.table")
        sizes[sparse] = forecast.memory.state, held.bytes, held.space
    one = 5_000 * 16 * 4
    assert sizes[True][1] < 1.1 * one < 2 * one <= sizes[False][1]
    assert (sizes[True][2], sizes[False][2]) == ("state", "state, and a copy")
    assert sizes[True][0] < 3.2 * one < 6 * one <= sizes[False][0]
    loss = loss_of(5_000)
    made = program(loss, Adam())
    made.run(data(), BATCHES, RATES)
    assert isinstance(made, NativeProgram)
    assert made._runner is not None
    state = sum(value.nbytes for value in made.read().values())
    assert made._runner.state_memory.block.nbytes < 5_000 * 3 * 64 + 1.2 * state


# ---------------------------------------------------------------- same as ever


@pytest.mark.parametrize("settings", [{}, {"clip_norm": 0.05, "clip_value": 0.01}], ids=str)
@pytest.mark.parametrize("name", SPARSE)
def test_same_bits_for_any_number_of_threads_and_cut_into_calls(name: str, settings: Any) -> None:
    loss, rule, given = loss_of(), rule_of(name), data()
    found = []
    for threads, cut in ((1, 1), (2, 6), (3, 2), (5, 3)):
        made = program(loss, rule, threads=threads, **settings)
        with patch("chainrule.backend.cpu.run.tuned.threads_for", lambda *_, n=threads: (n, n)):
            losses = [
                made.run(given, BATCHES[k : k + len(BATCHES) // cut], RATES[k:][: 6 // cut])
                for k in range(0, len(BATCHES), len(BATCHES) // cut)
            ]
        found.append(
            (np.concatenate(losses).tobytes(), {k: v.tobytes() for k, v in made.read().items()})
        )
    assert all(other == found[0] for other in found[1:])


@pytest.mark.parametrize("width", [1, 3, 32, 100])
def test_any_width_as_the_interpreter_and_unused_rows_keep_every_bit(width: int) -> None:
    loss, given = loss_of(200, width), data(count=20)
    native, plain = (program(loss, AdamW(0.1), backend) for backend in ("native", "interpreter"))
    npt.assert_allclose(
        native.run(given, BATCHES, RATES), plain.run(given, BATCHES, RATES), rtol=1e-5
    )
    start = np.random.default_rng(1).normal(size=(200, width)).astype("float32")
    wanted = plain.read()
    for key, value in native.read().items():
        npt.assert_allclose(value, wanted[key], rtol=1e-4, atol=1e-6, err_msg=key)
        if key.startswith("table"):
            rest = start if key == "table" else np.zeros_like(start)
            assert value[20:].tobytes() == rest[20:].tobytes()


def test_tables_that_share_their_indices() -> None:
    code = cr.input("code", (), dtype="int32")
    sizes = ((20, 3), (30, 4), (20, 3))
    tables = [
        cr.embedding(code, n, w, sparse=True, name=f"e{n}{k}") for k, (n, w) in enumerate(sizes)
    ]
    loss = cr.squared_error(cr.dense(cr.concat(tables, axis=1), 5, "tanh"), cr.input("x", (5,)))
    given = data() | {"code": np.random.default_rng(0).integers(0, 20, ROWS).astype("int32")}
    native, plain = (program(loss, Adam(0.1), backend) for backend in ("native", "interpreter"))
    for each in (native, plain):
        each.run(given, BATCHES, RATES)
    for key, value in plain.read().items():
        npt.assert_allclose(native.read()[key], value, rtol=1e-4, atol=1e-6, err_msg=key)


def test_state_can_be_written_between_steps() -> None:
    loss, given = loss_of(), data()
    one, two = program(loss, Adam(0.1)), program(loss, Adam(0.1))
    one.run(given, BATCHES, RATES)
    two.run(given, BATCHES[:2], RATES[:2])
    fresh = program(loss, Adam(0.1))
    fresh.write(two.read(), two.steps)
    fresh.run(given, BATCHES[2:], RATES[2:])
    for key, value in one.read().items():
        assert fresh.read()[key].tobytes() == value.tobytes()


# ---------------------------------------------------------------- models


def model(sparse: bool | None = True) -> cr.Model:
    words = cr.input("words", (3,), dtype="int32")
    h = cr.mean(cr.embedding(words, COUNT, 4, name="words.e", sparse=sparse), axis=1)
    y = cr.dense(h, 2, name="y")
    return cr.Model(outputs=y, loss=cr.squared_error(y, cr.input("t", (2,))), seed=3)


def table() -> dict[str, Array]:
    words = data()["words"]
    t = np.stack([np.sin(words.sum(1)), np.cos(words[:, 0])], axis=1)
    return {"words": words, "t": t.astype("float32")}


FIT: dict[str, Any] = {
    "epochs": 6, "batch_size": 8, "optimizer": Adam(0.05), "validation": 0.25, "verbose": False,
}  # fmt: skip


def test_models_train_keep_the_best_and_are_saved_with_the_flag(tmp_path: Path) -> None:
    native, plain = model(), model()
    native.fit(table(), **FIT)
    plain.fit(table(), **FIT, backend="interpreter")
    for key in ("loss", "validation_loss"):
        npt.assert_allclose(native.history[key], plain.history[key], rtol=1e-4)
    for name, value in plain.values.items():
        npt.assert_allclose(native.value(name), value, rtol=1e-3, atol=1e-5)
    again = model()
    again.fit(table(), **FIT)
    native.save(tmp_path / "m.safetensors")
    read = cr.load(tmp_path / "m.safetensors")
    for name, value in native.values.items():
        assert read.value(name).tobytes() == value.tobytes() == again.value(name).tobytes()
    flags = [x.sparse for x in read.graph.parameters if x.label == "words.e.table"]
    assert flags == [True]
    before = {name: value.copy() for name, value in native.values.items()}
    for each in (native, read):
        each.fit(table(), **{**FIT, "keep_best": False})
    for name, value in native.values.items():
        assert read.value(name).tobytes() == value.tobytes()
        assert value.tobytes() != before[name].tobytes()


def test_several_models_at_once() -> None:
    alone = model()
    alone.fit(table(), **FIT)
    several = [model() for _ in range(3)]
    cr.fit_many(several, table(), **FIT)
    for each in several:
        for name, value in alone.values.items():
            assert each.value(name).tobytes() == value.tobytes()


def test_a_profile_leaves_the_table_as_it_is() -> None:
    made = model()
    made.fit(table(), **FIT)
    before = made.value("words.e.table").copy()
    profile = made.profile(table(), batch_size=8, optimizer="adam", seconds=0.02)
    assert {f"words.e.table{x}.new" for x in ("", ".mean", ".square")} <= set(profile.nodes)
    assert made.value("words.e.table").tobytes() == before.tobytes()


def test_a_process_that_was_forked_trains_its_own_copy() -> None:
    loss, given = loss_of(), data()
    made = program(loss, Adam(0.1), threads=1)
    made.run(given, BATCHES[:2], RATES[:2])
    before = {key: value.tobytes() for key, value in made.read().items()}
    child = os.fork()
    if child == 0:
        made.run(given, BATCHES[2:], RATES[2:])
        os._exit(0 if {k: v.tobytes() for k, v in made.read().items()} != before else 1)
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0
    assert {key: value.tobytes() for key, value in made.read().items()} == before
