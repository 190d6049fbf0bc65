"""Runs that follow each other share one copy of the state; a failed step is undone all the same."""

import numpy as np
import pytest
from numpy.testing import assert_array_equal

import chainrule as cr
from chainrule.backend.cpu.run import state as kept
from chainrule.engine.compile import build_split
from chainrule.engine.native import NativeProgram
from chainrule.engine.program import compile_step
from chainrule.engine.step import Objective
from chainrule.errors import NotFinite
from chainrule.train import loop
from chainrule.train.schedules import Schedule

ROWS, SIZE = 60, 5


@pytest.fixture(scope="module")
def split():
    x, t = cr.input("x", (3,)), cr.input("t", ())
    y = cr.dense(cr.dropout(cr.dense(x, 8, "tanh"), 0.2), 1)[:, 0]
    model = cr.Model(y, cr.squared_error(y, t), seed=0)
    return build_split(Objective(model.graph, model.loss, cr.Adam(0.01), None, None, None))


@pytest.fixture
def data():
    rng = np.random.default_rng(0)
    return {
        "x": rng.normal(size=(ROWS, 3)).astype("float32"),
        "t": rng.normal(size=ROWS).astype("float32"),
    }


def batches(first, last):
    return [np.arange(k * SIZE, (k + 1) * SIZE) for k in range(first, last)]


def trained(split, data, calls, follows):
    program = compile_step(split, {}, 0, threads=2)
    assert isinstance(program, NativeProgram)
    for k, (first, last) in enumerate(calls):
        program.run(data, batches(first, last), [0.01] * (last - first), follows=follows and k > 0)
    return program


def same(a, b):
    assert a.keys() == b.keys()
    for name in a:
        assert_array_equal(a[name], b[name], err_msg=name)


@pytest.mark.parametrize("failing", [6, 7, 9])
@pytest.mark.parametrize("follows", [False, True])
def test_a_failed_step_leaves_the_state_before_it(split, data, failing, follows):
    data["t"][failing * SIZE] = 1e30
    program = trained(split, data, [(0, 2), (2, 3), (3, 6)], follows)
    with pytest.raises(NotFinite):
        program.run(data, batches(6, 10), [0.01] * 4, follows=follows)
    assert program.steps == failing
    same(program.read(), trained(split, data, [(0, failing)], False).read())
    program.run(data, batches(10, 12), [0.01] * 2)
    other = trained(split, data, [(0, failing)], False)
    other.run(data, batches(10, 12), [0.01] * 2)
    same(program.read(), other.read())


def test_the_state_is_copied_once_for_runs_that_follow(split, data, monkeypatch):
    copies = []
    keep = kept.Saved.keep
    monkeypatch.setattr(kept.Saved, "keep", lambda *x: (copies.append(1), keep(*x)))
    calls = [(0, 2), (2, 3), (3, 6)]
    trained(split, data, calls, True)
    assert len(copies) == 1
    trained(split, data, calls, False)
    assert len(copies) == 1 + len(calls)
    copies.clear()
    monkeypatch.setattr(kept, "LONG", 0.0)  # the copy is never young
    trained(split, data, calls, True)
    assert len(copies) == len(calls)


def test_other_data_need_a_new_copy(split, data):
    program = trained(split, data, [(0, 2)], True)
    program.run(data, batches(2, 3), [0.01], follows=True)
    bad = {name: x.copy() for name, x in data.items()}
    bad["t"][4 * SIZE] = 1e30
    with pytest.raises(NotFinite):
        program.run(bad, batches(3, 6), [0.01] * 3, follows=True)
    same(program.read(), trained(split, data, [(0, 4)], False).read())


class Breaking(Schedule):
    """A rate that is infinite from a step on."""

    def __init__(self, step):
        self.step = step

    def at(self, steps, total):
        return np.where(np.asarray(steps) < self.step, 0.01, np.inf)


def fitted(data, epochs=3, rate=0.01, **options):
    """A model, and whether its fit failed; calls have few steps, and no call several epochs."""
    x, t = cr.input("x", (3,)), cr.input("t", ())
    y = cr.dense(cr.dense(x, 8, "tanh"), 1)[:, 0]
    model, failed = cr.Model(y, cr.squared_error(y, t), seed=0), False
    try:
        model.fit(
            data, optimizer=cr.Adam(rate), batch_size=SIZE, epochs=epochs, verbose=False,
            **{"validation": None, "threads": 2} | options,
        )  # fmt: skip
    except NotFinite:
        failed = True
    return model, failed


def whole(model):
    return dict(model.values) | dict(model.slots)


@pytest.fixture
def short_calls(monkeypatch):
    monkeypatch.setattr(loop, "SLICE_SECONDS", 1e-9)


@pytest.mark.parametrize("failing", [ROWS // SIZE, ROWS // SIZE + 5, 2 * ROWS // SIZE])
def test_a_step_that_fails_in_a_later_epoch_is_undone(data, short_calls, failing):
    model, failed = fitted(data, rate=Breaking(failing))
    looked, failed_too = fitted(data, rate=Breaking(failing), callbacks=lambda state: None)
    assert failed
    assert failed_too
    assert model.steps == looked.steps == failing
    same(whole(model), whole(looked))
    assert all(np.isfinite(x).all() for x in whole(model).values())


def test_the_state_is_copied_for_epochs_only_where_someone_looks(data, short_calls, monkeypatch):
    done = []
    keep, read = kept.Saved.keep, NativeProgram.read
    monkeypatch.setattr(kept.Saved, "keep", lambda *x: (done.append("keep"), keep(*x))[1])
    monkeypatch.setattr(NativeProgram, "read", lambda *x: (done.append("read"), read(*x))[1])
    alone, _ = fitted(data, epochs=4)
    assert done == ["keep", "read"]
    done.clear()
    looked, _ = fitted(data, epochs=4, callbacks=lambda state: None)
    assert done == ["keep", "read"] * 4 + ["read"]
    same(whole(alone), whole(looked))
    done.clear()
    judged, _ = fitted(data, epochs=4, validation=0.2, keep_best=True)
    assert done.count("keep") == 1
    assert done.count("read") == 4 + 1  # the best is what was scored
    assert judged.steps > 0
