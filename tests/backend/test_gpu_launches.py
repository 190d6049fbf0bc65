"""What is launched on a device: many steps at once, few kernels a step, the same numbers always."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import asdict, replace
from typing import Any

import numpy as np
import numpy.testing as npt
import pytest
from opencl import device, joining

import chainrule as cr
from chainrule.backend.gpu.emit import module
from chainrule.backend.gpu.emit.module import build
from chainrule.backend.gpu.program import Program, Traits
from chainrule.backend.gpu.run import microbench
from chainrule.backend.gpu.run import runner as runners
from chainrule.backend.gpu.run.devices import driver_of
from chainrule.backend.gpu.run.driver import Device, Function, Launched, Recording
from chainrule.backend.gpu.run.opencl import OpenCLSession
from chainrule.backend.gpu.run.runner import Executable, Runner
from chainrule.costs.device import CALL_SECONDS, DeviceSpeeds, device_cost
from chainrule.engine.compile import build_split, plan_step
from chainrule.engine.step import Objective
from chainrule.errors import SettingError
from chainrule.plan.plan import Plan
from chainrule.train.optim import Optimizer

Array = np.ndarray[Any, Any]
GRAPHICS = Traits(float64=True, items=1024, local=48 * 1024)
"""Those of a graphics processor: it joins launches."""

ROWS = 200
DATA = {
    "x": np.random.default_rng(0).standard_normal((ROWS, 6)).astype("float32"),
    "t": np.random.default_rng(1).integers(0, 3, ROWS).astype("int32"),
}


@pytest.fixture(autouse=True)
def whole(monkeypatch: pytest.MonkeyPatch) -> None:
    """No step takes so long that it is done in pieces, however busy the machine is."""
    monkeypatch.setattr(runners, "LONG", math.inf)


def plan_of(widths: Sequence[int], optimizer: Optimizer) -> Plan:
    """The plan of a classifier's step."""
    x, t = cr.input("x", (widths[0],)), cr.input("t", (), dtype="int32")
    z = x
    for width in widths[1:-1]:
        z = cr.dense(z, width, "relu")
    z = cr.dense(z, widths[-1])
    model = cr.Model(z, cr.cross_entropy(z, t), seed=0)
    assert model.loss is not None
    return plan_step(build_split(Objective(model.graph, model.loss, optimizer)).body)


class Counting(OpenCLSession):
    """Counts launches, recorded ones, calls that replay some, and copies that go on meanwhile."""

    launched = replayed = brought = 0

    def __init__(self, device: Device) -> None:
        super().__init__(device)
        self.recorded: list[int] = []

    def launch(self, function: Function, groups: int, items: int) -> None:
        self.launched += 1
        super().launch(function, groups, items)

    def record(self, launches: Sequence[Launched]) -> Recording:
        self.recorded.append(len(launches))
        return super().record(launches)

    def replay(self, recording: Recording) -> None:
        self.replayed += 1
        super().replay(recording)

    def bring(self, memory: Any, array: Array) -> None:
        self.brought += 1
        super().bring(memory, array)


def runner(program: Program, **changed: int) -> tuple[Runner, Counting]:
    """A runner on a device with some other sizes."""
    here = replace(device(), **changed)
    assert driver_of(here).name == "opencl"
    session = Counting(here)
    made = Runner(Executable(program, here), session)
    numbers = np.random.default_rng(5)
    for name in made.state:
        made.state[name] = numbers.uniform(0.0, 0.5, made.state[name].shape)
    for name, array in DATA.items():
        made.bind(name, array)
    return made, session


INDEX = np.random.default_rng(2).integers(0, ROWS, 20 * 32 + 7)
ENDS = np.array([*range(0, 20 * 32 + 1, 32), 20 * 32 + 7])
RATES = {
    "step.rate": np.linspace(0.1, 0.2, len(ENDS) - 1),
    "step.number": np.arange(1.0, len(ENDS)),
}
FAILING = {"step.rate": np.where(np.arange(len(ENDS) - 1) == 13, np.inf, 0.1)}
"""Step 13 is not finite."""


def results(made: Runner) -> tuple[bytes, ...]:
    losses, failed = made.run(INDEX, ENDS, RATES)
    assert failed is None
    assert np.isfinite(losses).all()
    return (losses.tobytes(), *(made.state[name].tobytes() for name in made.state))


@pytest.mark.parametrize(
    ("widths", "optimizer", "most"),
    [
        ((4, 16, 3), cr.SGD(0.1), 256), ((4, 16, 3), cr.Adam(1e-3), 256),
        ((64, 64, 10), cr.SGD(0.1), 100), ((64, 64, 10), cr.Adam(1e-3), 100),
    ],
)  # fmt: skip
def test_a_small_network_does_many_steps_in_a_launch(
    widths: Sequence[int], optimizer: Optimizer, most: int
) -> None:
    program = build(plan_of(widths, optimizer), 64, GRAPHICS)
    assert len(program.launches) == 1
    assert program.steps >= most


@pytest.mark.parametrize("optimizer", [cr.SGD(0.1), cr.Adam(1e-3)])
def test_a_larger_one_takes_four_launches_and_the_end_of_the_step(optimizer: Optimizer) -> None:
    program = build(plan_of((784, 128, 10), optimizer), 64, GRAPHICS)
    assert program.steps == 0
    assert len(program.launches) == 4
    assert [len(x.levels) for x in program.launches] == [1, 5, 1, 1]


def test_what_lies_in_local_memory_fits() -> None:
    """States, where there is room for them beside what kernels need."""
    plan = plan_of((6, 8, 3), cr.SGD(0.1))
    near = [build(plan, 32, replace(GRAPHICS, local=x)).text for x in (48 * 1024, 4000, 2000)]
    assert ["#define STATE_AT NEAR" in x for x in near] == [True, True, False]
    assert ["#define WORK_AT NEAR" in x for x in near] == [True, False, False]


def test_one_group_has_the_bits_of_many_and_takes_one_launch() -> None:
    plan, found, launched = plan_of((6, 3), cr.SGD(0.1)), set(), []
    stopped = set()
    for traits in (replace(GRAPHICS, joins=False), GRAPHICS):
        program = build(plan, 32, replace(traits, items=device().traits.items))
        made, session = runner(program)
        found.add(results(made))
        launched.append(session.launched)
        losses, failed = made.run(INDEX, ENDS, FAILING)
        assert (len(losses), failed, made.done) == (13, 13, 13)
        stopped.add(tuple(made.state[name].tobytes() for name in made.state))
    assert len(found) == len(stopped) == 1
    assert launched[0] > 4 * len(RATES["step.rate"])
    assert launched[1] == 1


def test_kernels_that_are_launched_together_give_the_same_bits(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(module, "SMALL", 0)
    monkeypatch.setattr(module, "BRIEF", 2000)
    plan, found, launched = plan_of((6, 3), cr.Adam(1e-2)), set(), []
    for joins in (False, True):
        made, session = runner(build(plan, 32, replace(joining(), joins=joins)))
        found.add(results(made))
        launched.append(session.launched / len(RATES["step.rate"]))
        levels = [len(x.levels) for x in made.code.program.launches]
        parts = [len(x.parts) for x in made.code.program.launches]
        if joins:
            assert max(levels) > 1
            assert any(a == 1 and b > 1 for a, b in zip(levels, parts, strict=True))
    assert len(found) == 1
    assert launched[1] < launched[0]


def test_steps_that_come_again_are_recorded_together_and_give_the_same_bits(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    program = build(plan_of((6, 3), cr.Adam(1e-2)), 32, replace(device().traits, joins=False))
    made, session = runner(program)
    start = {name: made.state[name].copy() for name in made.state}
    found, step = set(), len(program.launches) + 1
    for replayed in (0, 3, 6):
        made.state.update(start)
        found.add(results(made))
        assert session.recorded == [16 * step, 4 * step, step][:replayed]  # of 32 rows, and of 7
        assert session.replayed == replayed
        assert session.launched == (replayed // 3 + 1) * step * len(RATES["step.rate"])
    assert len(found) == 1
    monkeypatch.setattr(runners, "KEPT", 2)
    made.state.update(start)
    assert results(made) in found
    assert session.replayed == 6  # they were forgotten
    made.bind("x", 2 * DATA["x"])  # other memory: what was recorded does not read it
    made.state.update(start)
    other, again = results(made), runner(program)[0]
    again.bind("x", 2 * DATA["x"])
    again.state.update(start)
    assert other == results(again)
    assert {other} != found


def test_forecasts_of_steps_that_one_group_does_follow_its_own_speeds() -> None:
    plan, rate = plan_of((4, 16, 3), cr.SGD(0.1)), 1 + 1e-4 / CALL_SECONDS
    speeds = DeviceSpeeds(
        launch=1e-5, call=1e-4, peak=1e12, bandwidth=1e11, transfer=1e10, build=1.0, group=1e10,
        next=1e-6,
    )  # fmt: skip

    def seconds(**changed: float) -> float:
        return device_cost(plan, 64, 1 / 256, 0, replace(speeds, **changed), alone=True).seconds

    waits = len(plan.tasks) * 1e-6 * rate
    assert seconds(next=2e-6) - seconds() == pytest.approx(waits)
    computing = seconds() - waits - 1e-5 / 256 * rate
    assert seconds(group=5e9) - seconds() == pytest.approx(computing)
    assert computing > 0


def test_speeds_of_a_group_are_measured_where_kernels_are_joined(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    for name, value in (("SIDE", 64), ("ELEMENTS", 4096), ("SECONDS", 1e-4)):
        monkeypatch.setattr(microbench, name, value)
    for traits in (joining(), replace(device().traits, joins=False)):
        here = replace(device(), traits=traits)
        found = microbench.speeds(here, driver_of(here), None)
        assert min(asdict(found).values()) > 0
        alike = (found.group, found.next) == (found.peak, found.launch)
        assert alike != traits.joins


def test_a_data_set_that_does_not_fit_is_read_in_slices_with_the_same_bits() -> None:
    program = build(plan_of((6, 3), cr.SGD(0.1)), 32, device().traits)
    whole, session = runner(program)
    want = results(whole)
    assert session.brought == 0
    data = sum(x.nbytes for x in DATA.values())
    some, session = runner(program, memory=whole.bytes + 4000)
    assert data > 4000
    assert results(some) == want
    assert session.brought > 10
    with pytest.raises(SettingError, match="two minibatches of the data set") as error:
        results(runner(program, memory=whole.bytes + 2000)[0])
    assert "a smaller batch_size" in str(error.value)


def test_a_failed_step_in_a_slice_is_not_taken() -> None:
    program, stopped = build(plan_of((6, 3), cr.SGD(0.1)), 32, device().traits), []
    for room in (1 << 30, 4000):
        made, _ = runner(program, memory=runner(program)[0].bytes + room)
        losses, failed = made.run(INDEX, ENDS, FAILING)
        assert (len(losses), failed, made.done) == (13, 13, 13)
        stopped.append([made.state[name].copy() for name in made.state])
    for one, other in zip(*stopped, strict=True):
        npt.assert_array_equal(one, other)
