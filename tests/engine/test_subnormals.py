"""Numbers too small for all of their digits: a step takes them for 0, a prediction keeps them.

They would cost some processors a hundred cycles each, and rounding keeps them for ever: units that
have died, and columns that are rarely hit, would make every later step slower.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.testing as npt
import pytest

import chainrule as cr
from chainrule.backend.cpu.emit.steps import run_function
from chainrule.backend.cpu.machine import machine
from chainrule.backend.cpu.run.driver import Runner
from chainrule.backend.cpu.run.jit import assembly
from chainrule.engine.compile import build_step
from chainrule.engine.native import NativeProgram
from chainrule.engine.program import compile_step
from chainrule.graph import Graph
from chainrule.graph.step import Step
from chainrule.train.optim import OPTIMIZERS

Array = np.ndarray[Any, Any]
ROWS = 32
RNG = np.random.default_rng(0)
DATA = {"x": RNG.standard_normal((ROWS, 6)), "t": RNG.integers(0, 3, ROWS).astype("int32")}


def dead(optimizer: Any, dtype: str) -> Step:
    """A network of which all hidden units are off: their gradients are exactly 0."""
    x, t = cr.input("x", (6,), dtype=dtype), cr.input("t", (), dtype="int32")
    h = cr.relu(cr.dense(x, 20, name="h") - 1000.0)
    loss = cr.cross_entropy(cr.dense(h, 3, name="y"), t)
    return build_step(Graph(loss), loss, optimizer)


def subnormal(state: dict[str, Array]) -> int:
    floats = [x for x in state.values() if x.dtype.kind == "f"]
    return sum(int(((x != 0) & (abs(x) < np.finfo(x.dtype).tiny)).sum()) for x in floats)


def steps(program: Any, dtype: str, count: int) -> None:
    program.run(DATA | {"x": DATA["x"].astype(dtype)}, [np.arange(ROWS)] * count, [1e-3] * count)


OLD = [kind() for kind in OPTIMIZERS.values() if kind is not cr.LBFGS]


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("optimizer", OLD, ids=lambda x: x.name)
def test_moments_of_dead_units_become_zero_in_both(optimizer: Any, dtype: str) -> None:
    step = dead(optimizer, dtype)
    found = {}
    for backend in ("native", "interpreter"):
        program = compile_step(step, {}, 0, backend=backend)
        state, old = program.read(), 0
        for name, value in state.items():
            if name.startswith("h.w.") and value.ndim:  # 0.9 of 3 smallest numbers are again 3
                state[name] = np.full_like(value, 3 * np.finfo(dtype).smallest_subnormal)
                old += value.size
        program.write(state)
        assert subnormal(program.read()) == old
        assert old or not any(name.startswith("h.w.") for name in state)
        steps(program, dtype, 2)
        found[backend] = program.read()
        assert subnormal(found[backend]) == 0
    for name, value in found["interpreter"].items():
        npt.assert_allclose(found["native"][name], value, rtol=1e-4, atol=1e-6, err_msg=name)
        npt.assert_array_equal(found["native"][name] == 0, value == 0, err_msg=name)


def test_every_step_of_a_long_run_is_free_of_them() -> None:
    """Momentum falls by half a step, through all exponents, while the unit stays off."""
    for backend in ("native", "interpreter"):
        program = compile_step(dead(cr.SGD(1e-3, momentum=0.5), "float32"), {}, 0, backend=backend)
        state = program.read()
        momenta = [name for name in state if name.startswith("h.w.")]
        program.write(state | {name: np.full_like(state[name], 1e-30) for name in momenta})
        counts = []
        for _ in range(40):
            steps(program, "float32", 1)
            assert subnormal(program.read()) == 0
            counts.append(sum(int(np.count_nonzero(program.read()[name])) for name in momenta))
        assert momenta
        assert counts[0] > 0 == counts[-1]


def keeps(_: int = 0) -> bool:
    """Whether this thread's arithmetic has subnormal numbers."""
    one, half = np.full(8, 1.5e-38, "float32"), np.full(8, 0.5, "float32")
    return bool(((one * half) != 0).all() and ((one * half) + (one * half) == one).all())


def test_all_threads_have_their_mode_back_also_after_a_step_that_is_not_finite() -> None:
    step = dead(cr.Adam(), "float32")
    program = compile_step(step, {}, 0)
    assert isinstance(program, NativeProgram)
    steps(program, "float32", 1)
    assert isinstance(program._runner, Runner)
    native, ends = Runner(program._runner.code, threads=2), np.array([0, ROWS])
    native.state.update(program.read())
    inputs = program._step_inputs(DATA, [1e-3], ends)
    for x, failed in ((DATA["x"], None), (np.full((ROWS, 6), np.nan), 0)):
        native.bind("x", x)
        native.bind("t", DATA["t"])
        assert native.run(np.arange(ROWS), ends, inputs)[1] == failed
        found = dict[int, bool]()
        native._pool.run(lambda thread, found=found: found.update({thread: keeps()}))
        assert found == {0: True, 1: True}


def test_a_prediction_keeps_them() -> None:
    x = cr.input("x", (3,))
    model = cr.Model(cr.exp(x) * 1.0)
    given = {"x": np.full((40, 3), -95.0, "float32")}
    wanted = np.exp(given["x"].astype("float64"))
    npt.assert_allclose(model.predict(given), wanted, rtol=1e-4)
    assert 0 < wanted[0, 0] < np.finfo("float32").tiny


@pytest.mark.parametrize(
    ("triple", "sets", "count"),
    [("x86_64-unknown-linux-gnu", "ldmxcsr", 2), ("aarch64-unknown-linux-gnu", "msr\tfpcr", 2)],
)
def test_every_processor_sets_the_mode_and_restores_it(triple: str, sets: str, count: int) -> None:
    target = machine(triple, "", {})
    assert assembly(run_function(triple), target).lower().count(sets) == count
    assert assembly(run_function(triple, timed=True), target).lower().count(sets) == count
    assert sets not in assembly(run_function(triple, exact=True), target).lower()
