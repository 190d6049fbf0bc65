"""Ctrl-C at any moment of a native run leaves the state after a whole number of steps."""

from __future__ import annotations

import hashlib
import random
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from functools import partial
from typing import Any

import numpy as np
import pytest

import chainrule as cr
from chainrule.backend.cpu.run.driver import Runner
from chainrule.engine.compile import build_step
from chainrule.engine.native import NativeFunction
from chainrule.engine.nativerows import MOST
from chainrule.engine.program import Program, compile_step
from chainrule.graph import Graph
from chainrule.graph.step import Step

pytest.importorskip("llvmlite")
pytestmark = pytest.mark.skipif(not hasattr(signal, "setitimer"), reason="there is no such timer")

Array = np.ndarray[Any, Any]
ROWS, SIZE, STEPS = 256, 64, 400
X = np.random.default_rng(0).normal(size=(ROWS, 100)).astype("float32")
DATA = {"x": X, "t": (X[:, :1] > 0).astype("float32")}
BATCHES = [np.random.default_rng(k).permutation(ROWS)[:SIZE] for k in range(STEPS)]
RATES = [0.01] * STEPS


def step() -> Step:
    """Large enough that threads share it, small enough that a call does many."""
    x, t = cr.input("x", (100,)), cr.input("t", (1,))
    loss = cr.binary_cross_entropy(cr.dense(cr.dense(x, 150, "tanh"), 1), t)
    return build_step(Graph(loss), loss, cr.Adam(0.01))


def digest(program: Program) -> str:
    state = program.read()
    return hashlib.sha256(b"".join(state[name].tobytes() for name in sorted(state))).hexdigest()


class Bell:
    """Raises SIGINT some times, by a timer."""

    left = 0

    def ring(self, *_: object) -> None:
        if not self.left:
            return
        self.left -= 1
        if not self.left:
            signal.setitimer(signal.ITIMER_REAL, 0)
        signal.raise_signal(signal.SIGINT)

    def wait(self) -> None:
        while self.left:
            time.sleep(1e-4)

    def interrupt(self, work: Callable[[], object], after: float, again: float = 0.0) -> bool:
        """Do some work, with SIGINT after some seconds, and once more `again` seconds later.

        Says whether the work broke off.
        """
        done = False
        self.left = 2 if again else 1
        try:
            try:
                signal.setitimer(signal.ITIMER_REAL, after, again)
                work()
                done = True
                self.wait()
            except KeyboardInterrupt:
                self.wait()
        except KeyboardInterrupt:
            pass  # the second
        assert not self.left
        return not done


@pytest.fixture(scope="module")
def bell() -> Iterator[Bell]:
    made = Bell()
    before = signal.signal(signal.SIGALRM, made.ring)
    yield made
    time.sleep(0.05)  # so that none is still to come
    signal.signal(signal.SIGALRM, before)


@pytest.mark.parametrize("again", [0.0, 2e-5, 1e-3])
@pytest.mark.parametrize("threads", [1, 2])
def test_the_state_is_that_after_the_steps_that_are_counted(
    bell: Bell, threads: int, again: float
) -> None:
    made = step()
    reference = compile_step(made, {}, 5, threads=1)
    known = [digest(reference)]
    for batch, rate in zip(BATCHES, RATES, strict=True):
        reference.run(DATA, [batch], [rate])
        known.append(digest(reference))
    pick, broken = random.Random(threads), 0
    program = compile_step(made, {}, 5, threads=threads)
    program.run(DATA, BATCHES[:3], RATES[:3])
    for _ in range(40):
        first = program.steps if program.steps < STEPS - 30 else 0
        if not first:
            program = compile_step(made, {}, 5, threads=threads)
        part = slice(first, first + pick.choice((1, 5, 30)))
        work = partial(program.run, DATA, BATCHES[part], RATES[part])
        broken += bell.interrupt(work, pick.uniform(1e-5, 3e-3), again)
        assert digest(program) == known[program.steps]
    assert broken


def test_a_fit_that_is_interrupted_goes_on_from_a_whole_step(bell: Bell) -> None:
    x, t = cr.input("x", (100,)), cr.input("t", (1,))
    y = cr.dense(cr.dense(x, 150, "tanh"), 1)
    loss = cr.binary_cross_entropy(y, t)

    def fit(model: cr.Model, epochs: int) -> None:
        model.fit(
            DATA, optimizer=cr.Adam(0.01), batch_size=SIZE, epochs=epochs, keep_best=False,
            verbose=False,
        )  # fmt: skip

    model = cr.Model(y, loss, seed=1)
    bell.interrupt(partial(fit, model, 100_000), 0.5)
    steps = model.steps
    assert steps > 0
    assert all(np.isfinite(model.value(name)).all() for name in model.values)
    fit(model, 1)
    assert model.steps == steps + ROWS // SIZE


PREDICTS = """
import os, signal, sys, threading, time
import numpy as np, chainrule as cr
x = cr.input("x", (50,))
model = cr.Model(cr.dense(cr.dense(x, 300, "tanh"), 300, "tanh"), seed=0)
data = {"x": np.ones((200_000, 50), "float32")}
some = {"x": data["x"][:60_000]}
want = np.asarray(model.predict({"x": data["x"][:1]}))
threading.Timer(1.0, os.kill, (os.getpid(), signal.SIGINT)).start()
try:
    while True:
        model.predict(data)
except KeyboardInterrupt:
    pass
for _ in range(3):
    assert np.allclose(np.asarray(model.predict(some)), want, atol=1e-5)
"""


def test_a_prediction_after_an_interrupted_one_is_whole() -> None:
    done = subprocess.run([sys.executable, "-c", PREDICTS], capture_output=True, timeout=120)
    assert done.returncode == 0, done.stderr.decode()[-2000:]


def test_an_interrupted_prediction_stops_on_all_threads(monkeypatch: pytest.MonkeyPatch) -> None:
    blocks = 50_000 // MOST
    filled = []
    once = Runner.run_rows

    def run_rows(self: Runner, *given: Any) -> Iterator[Array]:
        filled.append(threading.current_thread())
        if filled[-1] is threading.main_thread():
            signal.raise_signal(signal.SIGINT)
        time.sleep(0.005)
        return once(self, *given)

    model = cr.Model(cr.dense(cr.input("x", (3,)), 2))
    data = {"x": np.ones((blocks * MOST, 3), "float32")}
    want = model.predict(data)
    monkeypatch.setattr(Runner, "run_rows", run_rows)
    with pytest.raises(KeyboardInterrupt):
        model.predict(data)
    assert len(filled) < blocks // 2
    monkeypatch.undo()
    np.testing.assert_array_equal(model.predict(data), want)


def test_a_native_function_is_not_left_to_half_of_its_threads(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    x, w = cr.input("x", (100,)), cr.parameter("w", np.ones((100, 300), "float32"))
    y = cr.tanh(x @ w)
    function = NativeFunction(Graph(y), [y], {"x": X}, ROWS)
    want = function({"w": np.ones((100, 300), "float32")})[0]
    once, done = Runner.run, []

    def run(self: Runner, *given: Any, **named: Any) -> Any:
        signal.raise_signal(signal.SIGINT)
        found = once(self, *given, **named)
        done.append(True)
        return found

    monkeypatch.setattr(Runner, "run", run)
    with pytest.raises(KeyboardInterrupt):
        function({"w": np.ones((100, 300), "float32")})
    assert done
    monkeypatch.undo()
    np.testing.assert_array_equal(function({"w": np.ones((100, 300), "float32")})[0], want)
