"""The state of a run: plain data, from which another run goes on with the same bits."""

from __future__ import annotations

import json
from typing import Any

import numpy as np
import numpy.testing as npt
import pytest

import chainrule as cr
from chainrule.engine.compile import build_step
from chainrule.engine.minibatch import Minibatches
from chainrule.engine.program import Program, compile_step
from chainrule.graph.jsonvalues import Decoder, Encoder
from chainrule.train import loop
from chainrule.train.callbacks import BestTracker, PlateauTracker, State
from chainrule.train.fitsettings import FitSettings
from chainrule.train.history import History
from chainrule.train.loop import Run
from chainrule.train.progress import Progress
from chainrule.train.runstate import RunState

R = np.random.default_rng(0)
X = R.normal(size=(22, 3)).astype("float32")
DATA = {"x": X, "t": (X[:, 0] > 0).astype("int32")}
OPTIMIZER = cr.Adam(cr.schedules.ReduceOnPlateau(cr.schedules.Cosine(0.3), factor=0.5, patience=1))
EPOCHS, SIZE = 6, 4


def network() -> cr.Model:
    x, t = cr.input("x", (3,)), cr.input("t", (), dtype="int32")
    h = cr.dropout(cr.batch_norm(cr.dense(x, 8, "relu", name="h")), 0.4)
    logits = cr.dense(h, 2, name="logits")
    return cr.Model(logits, cr.cross_entropy(logits, t), seed=3)


def program_of(backend: str) -> Program:
    model = network()
    assert model.loss is not None
    step = build_step(model.graph, model.loss, OPTIMIZER)
    return compile_step(step, model.values, model.seed, backend=backend)


class Snapshots(Progress):
    """Copies all that a run consists of after each of its minibatches, as it could be saved."""

    def __init__(self) -> None:
        self.taken: list[Any] = []
        self.run: Run | None = None

    def update(
        self, epoch: int, fraction: float, *, loss: float | None = None, rate: float | None = None
    ) -> None:
        run = self.run
        assert run is not None
        history = run.view.history.to_dict()
        self.taken.append((saved(run.state.to_dict()), run.program.read(), history))


def saved(plain: dict[str, Any]) -> tuple[str, dict[str, Any]]:
    """Plain data as JSON text, and arrays."""
    encoder = Encoder()
    return json.dumps(encoder.encode(plain, "state")), dict(encoder.arrays)


def loaded(text: str, arrays: dict[str, Any]) -> RunState:
    return RunState.from_dict(Decoder(arrays).decode(json.loads(text), "state"))


def run_on(program: Program, state: RunState, history: History, snapshots: Snapshots) -> Run:
    run = Run(
        program=program, data=DATA, rows=np.arange(len(X)), seed=5,
        settings=FitSettings(optimizer=OPTIMIZER, batch_size=SIZE, keep_best=True),
        state=state, score=lambda: {"score": float(np.abs(program.read()["h.w"]).sum() % 1)},
        sync=program.read, view=State(None, history), progress=snapshots,
    )  # fmt: skip
    snapshots.run = run
    return run


def begun(program: Program, history: History) -> RunState:
    tracker = BestTracker("score", patience=4)
    return RunState.start(history.begin_run(), EPOCHS, program.steps, tracker, PlateauTracker())


def untimed(state: RunState) -> dict[str, Any]:
    return {**state.to_dict(), "seconds": None}


@pytest.fixture
def whole(backend: str, monkeypatch: pytest.MonkeyPatch) -> tuple[Run, Snapshots]:
    """A run that has ended, with a snapshot after every minibatch."""
    monkeypatch.setattr(loop, "SLICE_SECONDS", 0)
    program, history, snapshots = program_of(backend), History(), Snapshots()
    run = run_on(program, begun(program, history), history, snapshots)
    run.train()
    return run, snapshots


@pytest.mark.parametrize("backend", ["interpreter"])
def test_a_state_is_the_same_from_its_plain_form(whole: tuple[Run, Snapshots]) -> None:
    run, _ = whole
    state = run.state
    assert state.tracker.best_epoch is not None
    assert state.best_values is not None
    assert state.plateau is not None
    assert state.plateau.scale < 1
    again = loaded(*saved(state.to_dict()))
    assert again.tracker == state.tracker
    assert again.plateau == state.plateau
    npt.assert_equal(again.to_dict(), state.to_dict())
    state.best_values["h.w"][:] = 0  # a copy shares nothing
    assert again.best_values is not None
    assert again.best_values["h.w"].any()


@pytest.mark.parametrize("backend", ["native", "interpreter"])
def test_a_run_in_two_parts_does_the_steps_of_one(whole: tuple[Run, Snapshots]) -> None:
    run, snapshots = whole
    batches = len(Minibatches(np.arange(len(X)), SIZE))
    assert len(snapshots.taken) == batches * (run.view.epoch)
    backend = "native" if type(run.program).__name__ == "NativeProgram" else "interpreter"
    for done in (1, batches, batches + 2, 2 * batches - 1, 3 * batches + 4):
        state, values, history = snapshots.taken[done - 1]
        rest = run_on(program_of(backend), loaded(*state), History.from_dict(history), Snapshots())
        assert rest.state.step == done
        rest.program.write(values, rest.state.step)
        assert rest.train() == run.view.stop_reason
        assert rest.program.steps == run.program.steps
        npt.assert_equal(untimed(rest.state), untimed(run.state))
        bits = {name: x.tobytes() for name, x in run.program.read().items()}
        assert {name: x.tobytes() for name, x in rest.program.read().items()} == bits
        for column in ("epoch", "step", "rate", "loss", "score"):
            npt.assert_array_equal(rest.view.history[column], run.view.history[column])
