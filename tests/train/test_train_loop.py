"""The loop: epochs, rates, the best state, stopping, and interruption at any moment."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from functools import partial
from typing import Any

import numpy as np
import numpy.testing as npt
import pytest

import chainrule as cr
from chainrule.engine.minibatch import Minibatches
from chainrule.errors import NotFinite, SettingError
from chainrule.train import loop
from chainrule.train.callbacks import BestTracker, Callback, PlateauTracker, State
from chainrule.train.fitsettings import FitSettings
from chainrule.train.history import History
from chainrule.train.loop import Run
from chainrule.train.minibatch import shuffle
from chainrule.train.progress import Progress
from chainrule.train.runstate import RunState
from chainrule.train.schedules import ReduceOnPlateau, Schedule

R = np.random.default_rng(0)
X = R.normal(size=(50, 3)).astype("float32")
T = (X[:, 0] + 0.3 * R.normal(size=50) > 0).astype("int32")
DATA = {"x": X, "t": T}


class Recorder:
    """A program whose state is the number of its steps, and whose losses are given."""

    ended: str | None = None

    def __init__(self, loss: Callable[[int], float] = float) -> None:
        self.steps, self.calls, self.batches = 0, [], []  # type: ignore[var-annotated]
        self.rates: list[float] = []
        self.followed: list[bool] = []
        self.loss = loss

    def run(
        self,
        data: Any,
        batches: Sequence[Any],
        rates: Sequence[float],
        into: Any = None,
        follows: bool = False,
    ) -> Any:
        losses = np.empty(len(batches)) if into is None else into
        self.calls.append(len(batches))
        self.followed.append(follows)
        for k, (batch, rate) in enumerate(zip(batches, rates, strict=True)):
            losses[k] = self.loss(self.steps)
            self.batches.append(batch)
            self.rates.append(rate)
            self.steps += 1
        return losses

    def read(self) -> dict[str, Any]:
        return {"step": np.array(self.steps)}

    def write(self, state: Mapping[str, Any], steps: int | None = None) -> None:
        self.steps = int(state["step"]) if steps is None else steps


def looped(
    program: Any,
    *,
    scores: Sequence[float] = (),
    epochs: int = 3,
    patience: int | None = None,
    keep_best: bool = False,
    callbacks: Any = None,
    rows: int = 10,
    size: int = 4,
    criterion: str = "score",
    history: History | None = None,
    rate: float | Schedule = 0.5,
    synced: list[int] | None = None,
    alone: bool = False,
    scored: bool = True,
) -> Run:
    """A run over a program; `scores` are those of its epochs, one after the other."""
    left = iter(scores)
    steps = [] if synced is None else synced
    history = History() if history is None else history
    plateau = PlateauTracker() if isinstance(rate, ReduceOnPlateau) else None
    tracker = BestTracker(criterion, "min", patience)

    def sync() -> dict[str, Any]:
        steps.append(program.steps)
        return program.read()

    return Run(
        program=program, data={}, rows=np.arange(rows), seed=7,
        settings=FitSettings(
            optimizer=cr.SGD(rate), batch_size=size, keep_best=keep_best, callbacks=callbacks
        ),
        state=RunState.start(history.begin_run(), epochs, program.steps, tracker, plateau),
        score=lambda: {"score": float(next(left, 0.0))} if scored else {}, alone=alone,
        sync=sync, view=State(None, history), progress=Progress(),
    )  # fmt: skip


# ---------------------------------------------------------------- epochs


def test_each_epoch_sees_every_row_once_in_the_order_of_its_seed_and_number() -> None:
    program = Recorder()
    run = looped(program)
    assert run.train() is None
    assert [len(b) for b in program.batches] == [4, 4, 2] * 3
    for epoch in (1, 2, 3):
        expected = Minibatches(shuffle(np.arange(10), 7, epoch), 4)
        for got, want in zip(program.batches[3 * epoch - 3 : 3 * epoch], expected, strict=True):
            npt.assert_array_equal(got, want)


def test_the_loss_of_an_epoch_weighs_minibatches_by_their_rows() -> None:
    run = looped(Recorder(), epochs=2)
    run.train()
    history = run.view.history
    npt.assert_allclose(history["loss"], [(0 * 4 + 1 * 4 + 2 * 2) / 10, (12 + 16 + 10) / 10])
    assert history["epoch"].tolist() == [1, 2]
    assert history["step"].tolist() == [3, 6]
    assert history["rate"].tolist() == [0.5, 0.5]
    assert (np.diff(history["seconds"]) >= 0).all()
    assert set(history.columns) == {"epoch", "step", "rate", "loss", "score", "seconds"}


def test_rates_arrive_at_their_steps() -> None:
    class Rising(Schedule):
        def at(self, steps: Any, total: float) -> Any:
            assert total == 9
            return 0.1 * steps

    program = Recorder()
    looped(program, rate=Rising()).train()
    npt.assert_allclose(program.rates, 0.1 * np.arange(9))
    program = Recorder()
    program.steps = 4
    looped(program, rate=Rising()).train()  # steps count from the start of the run
    npt.assert_allclose(program.rates, 0.1 * np.arange(9))


def test_the_rate_falls_when_the_criterion_has_not_improved() -> None:
    program = Recorder()
    rate = ReduceOnPlateau(0.5, factor=0.5, patience=1)
    looped(program, scores=[3, 1, 2, 2], epochs=5, rate=rate).train()
    assert program.rates[::3] == [0.5, 0.5, 0.5, 0.25, 0.125]


def test_fast_steps_come_in_many_a_call_and_slow_ones_one_by_one() -> None:
    program = Recorder()
    looped(program, rows=400, size=1, epochs=1).train()
    assert sum(program.calls) == 400
    assert program.calls[0] == 1
    assert all(b <= 4 * a for a, b in zip(program.calls, program.calls[1:], strict=False))


def test_no_epochs_and_a_second_run_that_goes_on_counting() -> None:
    program, history = Recorder(), History()
    assert looped(program, epochs=0, history=history).train() is None
    assert program.steps == 0
    assert len(history) == 0
    looped(program, epochs=2, history=history).train()
    looped(program, epochs=2, history=history).train()
    assert history["epoch"].tolist() == [1, 2, 3, 4]
    npt.assert_array_equal(program.batches[9], shuffle(np.arange(10), 7, 4)[:4])


# ---------------------------------------------------------------- best and stop


def test_the_best_epoch_is_kept() -> None:
    program, synced = Recorder(), []
    run = looped(program, scores=[3, 1, 2], keep_best=True, synced=synced)
    run.train()
    assert program.steps == 6
    assert synced == [3, 6, 9, 6]
    last = Recorder()
    looped(last, scores=[3, 1, 2]).train()
    assert last.steps == 9


def test_scores_that_are_never_finite_leave_the_last_state() -> None:
    program = Recorder()
    looped(program, scores=[np.nan] * 3, keep_best=True).train()
    assert program.steps == 9


def test_early_stopping() -> None:
    program = Recorder()
    run = looped(program, scores=[5, 4, 4, 6, 1], epochs=9, patience=2, keep_best=True)
    reason = run.train()
    assert reason is not None
    assert "has not improved for 2 epochs" in reason
    assert len(run.view.history) == 4
    assert program.steps == 6


def test_a_program_that_has_ended() -> None:
    class Ending(Recorder):
        @property
        def ended(self) -> str | None:  # type: ignore[override]
            return "it is flat" if self.steps >= 6 else None

    run = looped(Ending(), epochs=9)
    assert run.train() == "it is flat"
    assert len(run.view.history) == 2


def test_a_criterion_that_is_not_a_column() -> None:
    with pytest.raises(SettingError, match="no column 'validation_auc'") as caught:
        looped(Recorder(), criterion="validation_auc").train()
    assert "epoch, step, rate, loss, score, seconds" in str(caught.value)


# ---------------------------------------------------------------- callbacks


def test_callbacks_are_called_in_order_with_the_state() -> None:
    program, seen = Recorder(), []

    class Watching(Callback):
        def __init__(self, name: str) -> None:
            self.name = name

        def on_start(self, state: State) -> None:
            seen.append((self.name, "start", program.steps))

        def on_epoch(self, state: State) -> None:
            assert state.row is state.history.row(state.epoch) or dict(
                state.row
            ) == state.history.row(state.epoch)
            seen.append((self.name, state.epoch, state.step))

        def on_finish(self, state: State) -> None:
            seen.append((self.name, "finish", program.steps))

    run = looped(
        program, scores=[1, 2], epochs=2, keep_best=True, callbacks=[Watching("a"), Watching("b")]
    )
    run.train()
    expected = [("start", 0), (1, 3), (2, 6), ("finish", 3)]  # the best is back at the end
    assert seen == [(name, *what) for what in expected for name in "ab"]


def test_a_callback_stops_the_run_after_its_epoch() -> None:
    def stop(state: State) -> None:
        if state.epoch == 2:
            state.stop("enough")
            state.stop("another reason")

    run = looped(Recorder(), epochs=9, callbacks=stop)
    assert run.train() == "enough"
    assert len(run.view.history) == 2


@pytest.mark.parametrize("error", [KeyboardInterrupt, RuntimeError])
@pytest.mark.parametrize("when", ["run", "score", "on_epoch", "on_finish", "progress"])
def test_whatever_ends_a_run_the_best_is_kept(error: type[BaseException], when: str) -> None:
    program, synced = Recorder(), []
    run = looped(program, scores=[1, 5, 6], epochs=3, keep_best=True, synced=synced)

    def interrupt(*_: Any, **__: Any) -> Any:
        if program.steps >= 6 or when == "on_finish":
            raise error("now")
        return {"score": 1.0}

    if when == "run":
        whole = program.run
        program.run = lambda *a, **k: interrupt() if program.steps >= 6 else whole(*a, **k)  # type: ignore[method-assign]
    elif when == "score":
        run.score = interrupt
    elif when == "progress":
        run.progress.epoch = interrupt  # type: ignore[method-assign]
    else:
        watching = Callback()
        setattr(watching, when, interrupt)
        run.callbacks = [watching]
    with pytest.raises(error, match="now"):
        run.train()
    assert program.steps == 3
    assert synced[-1] == 3


# ---------------------------------------------------------------- with models


def model(seed: int = 0, rate: float = 0.4) -> cr.Model:
    x, t = cr.input("x", (3,)), cr.input("t", (), dtype="int32")
    h = cr.dropout(cr.batch_norm(cr.dense(x, 8, "relu", name="h")), rate)
    logits = cr.dense(h, 2, name="logits")
    return cr.Model(logits, cr.cross_entropy(logits, t), seed=seed)


def same(a: cr.Model, b: cr.Model) -> bool:
    states = [m.values | m.slots for m in (a, b)]
    return states[0].keys() == states[1].keys() and all(
        states[0][k].tobytes() == states[1][k].tobytes() for k in states[0]
    )


@pytest.mark.parametrize("optimizer", [cr.Adam(0.01), cr.SGD(0.1, momentum=0.9)])
def test_five_and_five_epochs_are_ten(optimizer: Any) -> None:
    settings: dict[str, Any] = {
        "optimizer": optimizer, "batch_size": 8, "validation": None, "verbose": False
    }  # fmt: skip
    whole, parts = model(), model()
    whole.fit(DATA, epochs=10, **settings)
    parts.fit(DATA, epochs=5, **settings)
    parts.fit(DATA, epochs=5, **settings)
    assert same(whole, parts)
    assert whole.steps == parts.steps == 70
    npt.assert_array_equal(whole.history["loss"], parts.history["loss"])
    assert whole.history["epoch"].tolist() == parts.history["epoch"].tolist()


def test_the_seed_decides_everything() -> None:
    settings: dict[str, Any] = {"batch_size": 8, "epochs": 3, "verbose": False}
    one, two, other = model(3), model(3), model(4)
    for m in (one, two, other):
        m.fit(DATA, **settings)
    assert same(one, two)
    assert not same(one, other)
    for column in ("loss", "validation_loss"):
        npt.assert_array_equal(one.history[column], two.history[column])


def test_an_interruption_leaves_the_best_model_and_its_validation_loss() -> None:
    m = model(rate=0.0)

    def interrupt(state: State) -> None:
        if state.epoch == 4:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        m.fit(DATA, optimizer=cr.SGD(3.0), epochs=9, verbose=False, callbacks=interrupt,
              validation=DATA, batch_size=8)  # fmt: skip
    losses = m.history["validation_loss"]
    assert len(losses) == 4
    assert m.evaluate(DATA)["loss"] == pytest.approx(losses.min(), rel=1e-6)
    assert m.steps == m.history["step"][losses.argmin()]
    m.fit(DATA, epochs=1, verbose=False)  # and it can go on
    assert m.history["epoch"].tolist() == [1, 2, 3, 4, 5]


def test_not_finite_leaves_the_model_before_the_step_or_at_its_best() -> None:
    x, t = cr.input("x", (3,)), cr.input("t", ())
    y = cr.sum(cr.dense(x, 1, name="d"), axis=-1)
    data = {"x": X, "t": X[:, 0]}
    for validation, steps in ((None, None), (data, "best")):
        m = cr.Model(y, cr.squared_error(y, t))
        with pytest.raises(NotFinite, match="step"):
            m.fit(data, optimizer=cr.SGD(50.0), epochs=200, batch_size=50, verbose=False,
                  validation=validation)  # fmt: skip
        assert np.isfinite(m.value("d.w")).all()
        if steps == "best":
            scores = m.history["validation_loss"]
            assert m.evaluate(data)["loss"] == pytest.approx(scores.min(), rel=1e-5)
        else:
            assert m.steps == len(m.history)


def test_a_schedule_spans_the_steps_of_its_run() -> None:
    m = model()
    m.fit(DATA, optimizer=cr.SGD(cr.schedules.Cosine(0.1)), epochs=4, batch_size=10,
          validation=None, verbose=False)  # fmt: skip
    rates = m.history["rate"]
    steps = np.arange(20)[4::5]  # each row has the rate of the last step of its epoch
    npt.assert_allclose(rates, 0.05 * (1 + np.cos(np.pi * steps / 20)), atol=0.006)
    assert (np.diff(rates) < 0).all()


# ---------------------------------------------------------------- several epochs in a call


def rows_of(history: History) -> list[dict[str, float]]:
    """The rows without their times."""
    return [{n: x for n, x in row.items() if n != "seconds"} for row in history]


class Breaking(Recorder):
    """A program that fails before a step, and puts the losses before it where they are wanted."""

    def __init__(self, at: int | None = None, error: type[BaseException] = RuntimeError) -> None:
        super().__init__(lambda k: 1.0 / (k + 1))
        self.at, self.error = at, error

    def run(
        self, data: Any, batches: Any, rates: Any, into: Any = None, follows: bool = False
    ) -> Any:
        left = len(batches) if self.at is None else self.at - self.steps
        losses = super().run(data, list(batches)[:left], rates[:left])
        if into is not None:
            into[: len(losses)] = losses
        if left < len(batches):
            raise self.error("now")
        return losses


@pytest.mark.parametrize("epochs", [2, 50, 1000])
@pytest.mark.parametrize("rate", [0.5, cr.schedules.Cosine(0.5)])
def test_short_epochs_share_calls_and_nothing_else_changes(
    epochs: int, rate: float | Schedule
) -> None:
    together, single = Breaking(), Breaking()
    runs = [
        looped(program, epochs=epochs, rate=rate, criterion="loss", alone=alone, scored=False)
        for program, alone in ((together, True), (single, False))
    ]
    assert [run.train() for run in runs] == [None, None]
    assert len(single.calls) >= epochs
    assert len(together.calls) < epochs / 5 + 5
    assert together.rates == single.rates
    for a, b in zip(together.batches, single.batches, strict=True):
        npt.assert_array_equal(a, b)
    histories = [run.view.history for run in runs]
    assert rows_of(histories[0]) == rows_of(histories[1])
    assert (np.diff(histories[0]["seconds"]) >= 0).all()
    assert runs[0].state.step == 3 * epochs
    assert runs[0].state.tracker == runs[1].state.tracker


@pytest.mark.parametrize("patience", [1, 7, 40])
def test_epochs_that_share_a_call_are_never_more_than_patience_allows(patience: int) -> None:
    program = Recorder(lambda k: abs(k - 300.0))  # the lowest loss is in epoch 101
    program.run = partial(spread, program)  # type: ignore[method-assign]
    run = looped(program, epochs=999, patience=patience, criterion="loss", alone=True)
    reason = run.train()
    assert reason is not None
    assert f"not improved for {patience} epoch" in reason
    assert len(run.view.history) == 101 + patience
    assert program.steps == 3 * (101 + patience)


def spread(
    program: Recorder, data: Any, batches: Any, rates: Any, into: Any = None, follows: bool = False
) -> Any:
    losses = Recorder.run(program, data, batches, rates)
    if into is not None:
        into[:] = losses
    return losses


@pytest.mark.parametrize("error", [KeyboardInterrupt, RuntimeError])
@pytest.mark.parametrize("at", [3 * 200, 3 * 200 + 1, 3 * 200 + 2])
def test_a_call_that_breaks_off_leaves_the_rows_of_all_complete_epochs(
    error: type[BaseException], at: int
) -> None:
    program, whole, synced = Breaking(at, error), Breaking(), []
    run = looped(program, epochs=999, criterion="loss", alone=True, scored=False, synced=synced)
    with pytest.raises(error, match="now"):
        run.train()
    assert program.calls[-1] > 3  # it was a call with several epochs
    other = looped(whole, epochs=200, criterion="loss", scored=False)
    other.train()
    assert rows_of(run.view.history) == rows_of(other.view.history)
    assert run.state.step == synced[-1] == at
    assert len(run.state.losses) == at - 600


@pytest.mark.parametrize("when", ["update", "epoch"])
def test_a_display_that_ends_the_run_finds_the_rows_of_all_steps(when: str) -> None:
    program, synced = Breaking(), []
    run = looped(program, epochs=999, criterion="loss", alone=True, scored=False, synced=synced)
    told: list[int] = []

    def stop(*_: Any, **__: Any) -> None:
        told.append(program.steps)
        if program.steps > 600:
            raise KeyboardInterrupt

    setattr(run.progress, when, stop)
    with pytest.raises(KeyboardInterrupt):
        run.train()
    assert program.calls[-1] > 3
    assert run.view.history.row(-1)["step"] == program.steps == synced[-1] < 3 * 999
    assert len(told) >= len(program.calls) - 3  # it is asked after every call


def test_who_looks_between_epochs_gets_them_one_by_one() -> None:
    seen, program = [], Breaking()
    run = looped(
        program, epochs=200, criterion="loss", alone=True, scored=False,
        callbacks=lambda state: seen.append((state.epoch, program.steps)),
    )  # fmt: skip
    run.train()
    assert seen == [(k, 3 * k) for k in range(1, 201)]


@pytest.mark.parametrize("looks", [False, True])
def test_the_program_goes_on_over_epochs_unless_somebody_may_change_data(
    looks: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(loop, "SLICE_SECONDS", 1e-9)  # each call has one step
    program, synced = Recorder(), []
    run = looped(
        program, criterion="loss", alone=True, scored=False, synced=synced,
        callbacks=(lambda state: None) if looks else None,
    )  # fmt: skip
    run.train()
    assert program.followed == ([False, True, True] * 3 if looks else [False] + [True] * 8)
    assert synced == ([3, 6, 9, 9] if looks else [9])


@pytest.mark.parametrize("backend", ["native", "interpreter"])
def test_models_have_the_same_bits_however_many_epochs_share_a_call(backend: str) -> None:
    settings: dict[str, Any] = {
        "optimizer": cr.Adam(cr.schedules.Cosine(0.05)), "batch_size": 8, "epochs": 60,
        "validation": None, "verbose": False, "backend": backend,
    }  # fmt: skip
    together, watched = model(), model()
    together.fit(DATA, **settings)
    watched.fit(DATA, **settings, callbacks=lambda state: None)
    assert same(together, watched)
    assert rows_of(together.history) == rows_of(watched.history)


def test_not_finite_in_a_later_epoch_of_a_call_leaves_the_rows_before_it() -> None:
    x, t = cr.input("x", (3,)), cr.input("t", ())
    y = cr.sum(cr.dense(x, 1, name="d"), axis=-1)
    data, found = {"x": X, "t": X[:, 0]}, []
    for callbacks in (None, lambda state: None):
        m = cr.Model(y, cr.squared_error(y, t))
        with pytest.raises(NotFinite) as caught:
            m.fit(data, optimizer=cr.SGD(0.9), epochs=2000, batch_size=30, verbose=False,
                  validation=None, callbacks=callbacks)  # fmt: skip
        found.append((str(caught.value), m.steps, rows_of(m.history), m.value("d.w").tobytes()))
    assert found[0] == found[1]
    assert len(found[0][2]) > 20
