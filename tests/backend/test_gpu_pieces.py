"""Steps that take long are done in pieces on a device: the same bits, and Ctrl-C between two."""

from __future__ import annotations

import signal
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from opencl import device, joining
from test_gpu_launches import DATA, ENDS, INDEX, RATES, Counting, plan_of, results

import chainrule as cr
from chainrule.backend.gpu.emit import module
from chainrule.backend.gpu.emit.module import build
from chainrule.backend.gpu.program import Program
from chainrule.backend.gpu.run import pieces
from chainrule.backend.gpu.run import runner as runners
from chainrule.backend.gpu.run.driver import Function
from chainrule.backend.gpu.run.runner import Executable, Runner
from chainrule.engine.compile import build_split, plan_step
from chainrule.engine.devicerows import DeviceRows
from chainrule.engine.step import Objective
from chainrule.system.signals import uninterrupted

Array = np.ndarray[Any, Any]


class Pressed(Counting):
    """A session in which Ctrl-C comes up when so many launches are done."""

    press = -1

    def launch(self, function: Function, groups: int, items: int) -> None:
        super().launch(function, groups, items)
        if self.launched == self.press:
            signal.raise_signal(signal.SIGINT)


def runner(program: Program, data: dict[str, Array] = DATA) -> tuple[Runner, Pressed]:
    session = Pressed(device())
    made = Runner(Executable(program, device()), session)
    numbers = np.random.default_rng(5)
    for name in made.state:
        made.state[name] = numbers.uniform(0.0, 0.5, made.state[name].shape)
    for name, array in data.items():
        made.bind(name, array)
    return made, session


@pytest.fixture
def long(monkeypatch: pytest.MonkeyPatch) -> None:
    """All steps take long."""
    monkeypatch.setattr(runners, "MUCH", 0)
    monkeypatch.setattr(runners, "LONG", 0.0)


@contextmanager
def interrupted() -> Iterator[None]:
    with pytest.raises(KeyboardInterrupt), uninterrupted():
        yield


@pytest.mark.parametrize("joins", [False, True])
@pytest.mark.parametrize("size", [1, 7, 10**6])
def test_pieces_of_any_size_give_the_same_bits(
    joins: bool, size: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "SMALL", 0)
    monkeypatch.setattr(module, "BRIEF", 2000)
    program = build(plan_of((6, 40, 3), cr.Adam(1e-2)), 32, replace(joining(), joins=joins))
    made, session = runner(program)
    want, whole = results(made), session.launched
    for name, value in (("MUCH", 0), ("LONG", 0.0)):
        monkeypatch.setattr(runners, name, value)
    monkeypatch.setattr(pieces, "PIECE", 0.0 if size == 1 else 10.0)
    monkeypatch.setattr(pieces, "GROWTH", size)
    made, session = runner(program)
    assert results(made) == want
    each = sum(x.groups(32) for x in program.launches)
    assert each > len(program.launches)
    assert session.launched > whole
    if size == 1:
        groups = sum(x.groups(rows) for x in program.launches for rows in np.diff(ENDS))
        assert session.launched == groups + len(ENDS) - 1


@pytest.mark.usefixtures("long")
@pytest.mark.parametrize("at", [1, 5, 60])
def test_a_step_that_ctrl_c_interrupts_is_not_taken(at: int) -> None:
    """Nothing is launched after it, and the step before is the last."""
    program = build(plan_of((6, 40, 3), cr.Adam(1e-2)), 32, replace(device().traits, joins=False))
    made, session = runner(program)
    session.press = at
    with interrupted():
        losses, failed = made.run(INDEX, ENDS, RATES)
    assert session.launched == at
    assert failed is None
    assert len(losses) == made.done < len(ENDS) - 1
    assert (made.done > 0) == (at == 60)
    want, whole = runner(program)[0], runner(program)[0]
    if made.done:
        want.run(INDEX, ENDS[: made.done + 1], {k: x[: made.done] for k, x in RATES.items()})
    for name in want.state:
        np.testing.assert_array_equal(made.state[name], want.state[name])
    session.press, begun = -1, made.done
    _, failed = made.run(INDEX, ENDS[begun:], {k: x[begun:] for k, x in RATES.items()})
    assert failed is None  # it goes on
    whole.run(INDEX, ENDS, RATES)
    for name in whole.state:
        np.testing.assert_array_equal(made.state[name], whole.state[name])


@pytest.mark.usefixtures("long")
def test_rows_that_are_put_in_place_are_so_to_the_end(monkeypatch: pytest.MonkeyPatch) -> None:
    """A table has one copy: a step that has begun to put rows into it is done."""
    monkeypatch.setattr(pieces, "PIECE", 0.0)
    words = cr.input("words", (3,), dtype="int32")
    y = cr.input("y", (4,))
    bag = cr.mean(cr.embedding(words, 50, 4, name="table", sparse=True), axis=1)
    model = cr.Model(bag, cr.squared_error(bag, y), seed=0)
    assert model.loss is not None
    plan = plan_step(build_split(Objective(model.graph, model.loss, cr.SGD(0.1))).body)
    program = build(plan, 32, replace(device().traits, joins=False))
    commits = [k for k, x in enumerate(program.launches) if any(p.commit for p in x.parts)]
    assert commits
    data = {"words": np.random.default_rng(0).integers(0, 50, (200, 3)).astype("int32"),
            "y": np.random.default_rng(1).standard_normal((200, 4)).astype("float32")}  # fmt: skip
    index, ends = np.arange(16), np.array([0, 16])
    inputs = {name: x[:1] for name, x in RATES.items()}
    groups = [x.groups(16) for x in program.launches]
    first = sum(groups[: commits[0]]) + 1
    found = []
    for press in (-1, first, first - 1):
        made, session = runner(program, data)
        before = {name: x.copy() for name, x in made.state.items()}
        session.press = press
        with uninterrupted() if press < 0 else interrupted():
            made.run(index, ends, inputs)
        found.append((made.done, {name: x.copy() for name, x in made.state.items()}))
    assert [x for x, _ in found] == [1, 1, 0]
    for name, value in found[0][1].items():
        np.testing.assert_array_equal(found[1][1][name], value)
        np.testing.assert_array_equal(found[2][1][name], before[name])


def test_a_step_of_many_operations_that_is_quick_is_launched_whole_from_then_on(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(runners, "MUCH", 0)
    monkeypatch.setattr(runners, "LONG", 1e9)
    program = build(plan_of((6, 40, 3), cr.SGD(0.1)), 32, replace(device().traits, joins=False))
    made, session = runner(program)
    launched = []
    for _ in range(2):
        before = session.launched
        assert made.run(INDEX, ENDS[:2], {name: x[:1] for name, x in RATES.items()})[1] is None
        launched.append(session.launched - before)
    assert launched[1] == len(program.launches) + 1 < launched[0]


@pytest.mark.usefixtures("long")
def test_ctrl_c_ends_a_prediction(monkeypatch: pytest.MonkeyPatch) -> None:
    x = cr.input("x", (5,))
    out = cr.dense(x, 3000, name="out")
    graph = cr.Graph([out])
    rows = DeviceRows(graph, [out], device().word)
    values = {"out.w": np.ones((5, 3000), "float32"), "out.b": np.zeros(3000, "float32")}
    arrays, all_rows = {"x": np.ones((700, 5), "float32")}, np.arange(700)
    want = rows(values, arrays, all_rows)[0]
    session = rows._runner.session  # type: ignore[union-attr]
    launch, launched = session.launch, list[int]()

    def pressed(function: Function, groups: int, items: int) -> None:
        launched.append(groups)
        launch(function, groups, items)
        if len(launched) == 2:
            signal.raise_signal(signal.SIGINT)

    monkeypatch.setattr(session, "launch", pressed)
    with pytest.raises(KeyboardInterrupt):
        rows(values, arrays, all_rows)
    assert len(launched) == 2
    np.testing.assert_array_equal(rows(values, arrays, all_rows)[0], want)
