"""No byte beyond the caller's arrays is touched, and none of ours between two buffers matters."""

from __future__ import annotations

import random
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from runners import runnable

from chainrule.backend.cpu.layout import Memory
from chainrule.backend.cpu.machine import host
from chainrule.engine.compile import plan_step
from chainrule.engine.totals import with_means
from chainrule.graph import Graph
from chainrule.graph.keys import step_key
from chainrule.graph.step import RATE, STEP_INDEX, STEP_INPUTS
from chainrule.interpret import initial_value
from networks import Network, network

PROGRAM = Path(__file__).with_name("guarded.py")


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="guards memory as Linux does")
@pytest.mark.parametrize("side", ["end", "start"])
@pytest.mark.parametrize("lanes", [0, 4], ids=["widest", "narrow"])
@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_nothing_is_read_beyond_the_data(dtype: str, lanes: int, side: str) -> None:
    done = subprocess.run(
        [sys.executable, "-X", "faulthandler", str(PROGRAM), dtype, str(lanes), side],
        capture_output=True, text=True,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr[-2000:]


Array = np.ndarray[Any, Any]
WIDTHS = [lanes for lanes in (4, 8, 16) if 4 * lanes <= host().vector]


def elements(memory: Memory) -> Array:
    """Which bytes hold elements of buffers."""
    used = np.zeros(len(memory.block), np.uint8)
    for buffer, place in memory.places.items():
        for side, offset in enumerate(place.offsets):
            view = memory.view(buffer, side)
            for byte in range(view.itemsize if view.size else 0):
                np.ndarray(view.shape, np.uint8, used.data, offset + byte, view.strides)[...] = 1
    return used.astype(bool)


def beyond(memory: Memory) -> Array:
    """Which bytes belong to no buffer, not even as its padding."""
    free = np.ones(len(memory.block), bool)
    for buffer, place in memory.places.items():
        size = np.dtype(buffer.dtype).itemsize
        size = place.shape[0] * place.strides[0] if place.shape else size
        for offset in place.offsets:
            free[offset : offset + size] = False
    return free


def trained(case: Network, lanes: int, *, spoilt: bool) -> list[bytes]:
    """Losses and state after some steps; where `spoilt`, NaN is in all that holds no element."""
    step = case.step()
    data = with_means(Graph([*case.outputs, case.loss]), case.data)
    native = runnable(plan_step(step), max(map(len, case.batches)), width=lanes, threads=2)
    memories = (native.memory, native.state_memory)
    for memory in memories if spoilt else ():
        memory.block[~elements(memory)] = 0xFF
    for x in step.graph.parameters:
        name = step.graph.name(x)
        native.state[name] = initial_value(x, name, case.seed)
    names = {step.graph.name(x): x for x in step.graph.inputs}
    for name, x in names.items():
        if x.batch and x not in STEP_INPUTS:
            native.bind(name, data[name])
    found = []
    for k, (rows, rate) in enumerate(zip(case.batches, case.rates, strict=True)):
        given = {"step.key": step_key(case.seed, k), RATE.label: rate, STEP_INDEX.label: k + 1.0}
        brought = {n: (given | data)[n] for n, x in names.items() if not x.batch}
        losses, failed = native.run(rows, [0, len(rows)], brought)
        assert failed is None
        found.append(losses.tobytes())
    for memory in memories if spoilt else ():
        assert (memory.block[beyond(memory)] == 0xFF).all()
    return [*found, *(native.state[name].tobytes() for name in native.state)]


@pytest.mark.parametrize("lanes", WIDTHS)
@pytest.mark.parametrize("seed", range(5))
def test_what_lies_between_buffers_is_not_written_and_does_not_matter(
    seed: int, lanes: int
) -> None:
    case = network(random.Random(seed))
    assert trained(case, lanes, spoilt=True) == trained(case, lanes, spoilt=False)
