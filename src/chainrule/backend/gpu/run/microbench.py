"""Micro-benchmarks of a device, cached on disk: launches, calls, products, memory, transfers."""

from __future__ import annotations

import dataclasses
import itertools
import math
import time
from collections.abc import Callable, Sequence
from dataclasses import replace
from functools import partial
from pathlib import Path

import numpy as np

from chainrule.backend.gpu.emit.module import build
from chainrule.backend.gpu.run.driver import Device, Driver
from chainrule.backend.gpu.run.runner import Executable, Runner
from chainrule.costs.device import DeviceSpeeds
from chainrule.ir.kernel import Acc, At, Axis, Buffer, Call, Expr, Kernel, Read, Reduction, Write
from chainrule.plan.plan import Plan
from chainrule.plan.schedule import schedule
from chainrule.system.cachedir import file_for, save_value, saved_value

VERSION = 2
"""The version of the measurements; files of other versions are not used."""

CHAIN = 15
"""Small kernels of a step, each of which needs the one before."""

SIDE = 512
"""Rows, columns and terms of the product that is timed."""

GROUP_SIDE = 64
"""The same of one that a group computes alone."""

ELEMENTS = 1 << 22
"""Elements of float32 that are read, and written, where bytes are timed."""

SECONDS = 0.02
"""Seconds of the longest timed run, at least."""

_speeds: dict[tuple[Device, Path | None], DeviceSpeeds] = {}


def speeds(device: Device, driver: Driver, folder: Path | None) -> DeviceSpeeds:
    """The speeds of a device, measured by the first process that needs them.

    Args:
        device, driver: which.
        folder: the place of the cached speeds; a damaged file is replaced. None caches nothing.

    Raises:
        DeviceError: the device fails.
    """
    key = device, folder
    if key not in _speeds:
        found = _cached(device, folder)
        if found is None:
            found = _measured(device, driver)
            if folder is not None:
                save_value(_file(device, folder), dataclasses.asdict(found))
        _speeds[key] = found
    return _speeds[key]


def _cached(device: Device, folder: Path | None) -> DeviceSpeeds | None:
    if folder is None:
        return None
    try:
        found = DeviceSpeeds(**saved_value(_file(device, folder)))
        usable = all(0 < x < math.inf for x in dataclasses.astuple(found))
    except (OSError, ValueError, TypeError):
        return None
    return found if usable else None


def _file(device: Device, folder: Path) -> Path:
    told = device.word, device.name, device.platform, device.version, device.traits
    return file_for(folder, "device", VERSION, *told)


def _measured(device: Device, driver: Driver) -> DeviceSpeeds:
    def ready(plan: Plan, *, joins: bool = False) -> Runner:
        code = Executable(build(plan, 1, replace(device.traits, joins=joins)), device)
        return Runner(code, driver.session(device))

    begun = time.perf_counter()
    chain = ready(_chain())
    _run(chain, 1)
    built = time.perf_counter() - begun
    call = _shortest(lambda: _run(chain, 1))
    launch = _step(chain, call) / (CHAIN + 1)
    peak = 2 * SIDE**3 / _step(ready(_product(SIDE)), call)
    bandwidth = 8 * ELEMENTS / _step(ready(_copy()), call)
    session, block = driver.session(device), np.ones(ELEMENTS, np.float32)
    memory = session.allocate(block.nbytes)
    moved = block.nbytes / _shortest(lambda: session.write(memory, block))
    group, following = peak, launch
    if device.traits.joins:
        following = _step(ready(_chain(), joins=True), call) / CHAIN
        group = 2 * GROUP_SIDE**3 / _step(ready(_product(GROUP_SIDE), joins=True), call)
    return DeviceSpeeds(launch, call, peak, bandwidth, moved, built, group, following)


def _run(runner: Runner, steps: int) -> None:
    runner.run(np.zeros(steps, np.int64), np.arange(steps + 1), {})


def _step(runner: Runner, call: float) -> float:
    """Seconds of a step, in a run of as many as take long enough."""
    steps, seconds = 1, 0.0
    _run(runner, 1)  # the first one takes longer
    while True:
        seconds = _shortest(partial(_run, runner, steps))
        if seconds > max(SECONDS, 4 * call) or steps >= 4096:
            return max(seconds - call, seconds / 2) / steps
        steps *= 4


def _shortest(function: Callable[[], object], times: int = 3) -> float:
    """The shortest time of several calls, the least disturbed; of one, where that takes long."""
    shortest = math.inf
    for _ in range(times):
        start = time.perf_counter()
        function()
        shortest = min(shortest, time.perf_counter() - start)
        if shortest > 4 * SECONDS:
            break
    return shortest


# ---------------------------------------------------------------- the plans that are timed


def _plan(kernels: Sequence[Kernel], buffers: Sequence[Buffer]) -> Plan:
    return Plan(schedule(kernels), tuple(buffers), loss=buffers[-1])


def _chain() -> Plan:
    links = [Buffer(f"link{k}", (8,), "float32") for k in range(CHAIN + 1)]
    return _plan([_added(x, y, 8) for x, y in itertools.pairwise(links)], links)


def _copy() -> Plan:
    x, y = (Buffer(name, (ELEMENTS,), "float32") for name in ("x", "y"))
    return _plan([_added(x, y, ELEMENTS)], (x, y))


def _added(x: Buffer, y: Buffer, size: int) -> Kernel:
    i = Axis("i", size)
    value = Call("add", (Read(x, (At(i),)), Read(x, (At(i),))), "float32")
    return Kernel(y.name, (i,), (Write(y, (At(i),), value),))


def _product(side: int) -> Plan:
    m, v, k = (Axis(name, side) for name in "mvk")
    a, b, c = (Buffer(name, (side, side), "float32") for name in "abc")
    factors: tuple[Expr, ...] = Read(a, (At(m), At(k))), Read(b, (At(k), At(v)))
    kernel = Kernel(
        "product", (m, v), (Write(c, (At(m), At(v)), Acc("float32")),),
        Reduction((k,), "sum", Call("mul", factors, "float32")),
    )  # fmt: skip
    return _plan([kernel], (a, b, c))
