"""Callbacks after each step: what they see, what they change of a run, and how they end it."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import numpy.testing as npt
import pytest

import chainrule as cr
from chainrule import schedules as s
from chainrule.engine.native import NativeProgram
from chainrule.errors import NotFinite

R = np.random.default_rng(0)
X = R.normal(size=(40, 3)).astype("float32")
DATA: dict[str, Any] = {"x": X, "t": (X[:, 0] * X[:, 1] > 0).astype("int32")}
RUN: dict[str, Any] = {"batch_size": 16, "validation": None, "verbose": False, "epochs": 3}


class Watch(cr.Callback):
    """Notes what it is shown, and calls a function after each step."""

    def __init__(self, then: Callable[[Any], object] = lambda _: None) -> None:
        self.seen: list[tuple[int, int, float, int]] = []
        self.epochs: list[int] = []
        self.then = then

    def on_step(self, state: Any) -> None:
        self.seen.append((state.epoch, state.step, state.loss, len(state.losses)))
        self.then(state)

    def on_epoch(self, state: Any) -> None:
        self.epochs.append(len(state.losses))


def network(seed: int = 3) -> cr.Model:
    x, t = cr.input("x", (3,)), cr.input("t", (), dtype="int32")
    z = cr.dense(cr.dropout(cr.dense(x, 8, "tanh", name="h"), 0.2), 2, name="z")
    return cr.Model(z, cr.cross_entropy(z, t), seed=seed)


def bits(model: cr.Model) -> dict[str, bytes]:
    return {name: x.tobytes() for name, x in (model.values | model.slots).items()}


def rows(model: cr.Model) -> list[dict[str, float]]:
    return [{k: x for k, x in row.items() if k != "seconds"} for row in model.history]


@pytest.mark.parametrize("backend", ["native", "interpreter"])
@pytest.mark.parametrize("then", [lambda _: None, lambda state: state.model.values])
def test_a_watched_run_is_the_same_run(then: Any, backend: str) -> None:
    plain, watched, watch = network(), network(), Watch(then)
    settings = {**RUN, "optimizer": cr.Adam(s.Cosine(0.01)), "backend": backend}
    plain.fit(DATA, **settings | {"validation": 0.2})
    watched.fit(DATA, **settings | {"validation": 0.2}, callbacks=[watch])
    assert bits(watched) == bits(plain)
    assert rows(watched) == rows(plain)
    assert [(e, k, n) for e, k, _, n in watch.seen] == [
        (e, 2 * e - 2 + n, n) for e in (1, 2, 3) for n in (1, 2)
    ]
    first, second = (x[2] for x in watch.seen[:2])
    assert plain.history["loss"][0] == pytest.approx((16 * first + 16 * second) / 32)
    assert watch.epochs == [2, 2, 2]


def test_the_model_is_that_after_the_step() -> None:
    model, other, seen = network(), network(), []
    order = np.arange(40)
    watch = Watch(lambda state: seen.append((state.model.predict({"x": X}), state.model.steps)))
    model.fit(DATA, **RUN, shuffle=False, optimizer=cr.Adam(0.01), callbacks=watch)
    for k, (predicted, steps) in enumerate(seen):
        part = order[16 * (k % 3) : 16 * (k % 3) + 16]
        loss = other.step({n: v[part] for n, v in DATA.items()}, optimizer=cr.Adam(0.01))
        npt.assert_array_equal(predicted, other.predict({"x": X}))
        assert (steps, loss) == (k + 1, watch.seen[k][2])


def test_the_next_step_can_be_traced_in_the_middle_of_a_run() -> None:
    model, shown = network(), []

    def then(state: Any) -> None:
        shown.append(float(state.model.trace_step(DATA).value("step.rate")))

    rate = s.StepDecay(0.1, factor=0.5, every=1)
    model.fit(DATA, **RUN | {"epochs": 1}, optimizer=cr.SGD(rate), callbacks=Watch(then))
    assert shown == [0.05, 0.025, 0.0125]


@pytest.mark.parametrize("last", [1, 3, 4, 6])
def test_a_step_may_be_the_last(last: int) -> None:
    def then(state: Any) -> None:
        if state.step == last:
            state.stop("enough")

    model, watch = network(), Watch(then)
    held = {n: v[:8] for n, v in DATA.items()}
    model.fit(DATA, **RUN | {"validation": held}, callbacks=watch)
    whole, cut = divmod(last, 3)
    assert model.steps == len(watch.seen) == last
    assert model.history["step"].tolist() == [*range(3, last + 1, 3), *([last] if cut else [])]
    assert watch.epochs == [3] * whole + [cut] * bool(cut)
    losses = [x[2] for x in watch.seen[3 * whole :]]
    if cut:
        assert model.history["loss"][-1] == pytest.approx(np.mean(losses))
    assert np.isfinite(model.history["validation_loss"]).all()
    model.fit(DATA, **RUN | {"validation": held, "epochs": 1})
    assert model.history["epoch"].tolist() == list(range(1, len(model.history) + 1))


def test_without_a_watcher_many_steps_are_one_call(monkeypatch: pytest.MonkeyPatch) -> None:
    calls: list[int] = []
    run = NativeProgram.run

    def counted(self: Any, data: Any, batches: Any, *rest: Any, **named: Any) -> Any:
        calls.append(len(batches))
        return run(self, data, batches, *rest, **named)

    monkeypatch.setattr(NativeProgram, "run", counted)
    settings = RUN | {"batch_size": 1, "epochs": 5}
    network().fit(DATA, **settings, callbacks=lambda state: None)
    assert max(calls) > 1
    assert sum(calls) == 200
    calls.clear()
    network().fit(DATA, **settings, callbacks=Watch())
    assert calls == [1] * 200


def test_each_iteration_on_all_rows_is_a_step() -> None:
    watch = Watch()
    model = network()
    model.fit(DATA, **RUN, optimizer=cr.LBFGS(), callbacks=watch)
    assert [(x[0], x[3]) for x in watch.seen] == [(1, 1), (2, 1), (3, 1)]


def test_errors_leave_the_model_after_the_last_step() -> None:
    def fails(state: Any) -> None:
        if state.step == 2:
            raise ValueError("mine")

    model, other = network(), network()
    with pytest.raises(ValueError, match="mine"):
        model.fit(DATA, **RUN, shuffle=False, optimizer="sgd", callbacks=Watch(fails))
    for k in (0, 16):
        other.step({n: v[k : k + 16] for n, v in DATA.items()}, optimizer="sgd")
    assert bits(model) == bits(other)
    bad = {**DATA, "x": np.where(np.arange(40)[:, None] == 20, np.nan, X)}
    model, watch = network(), Watch()
    with pytest.raises(NotFinite):
        model.fit(bad, **RUN, shuffle=False, callbacks=watch)
    assert (model.steps, len(watch.seen)) == (1, 1)
