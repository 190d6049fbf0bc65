"""No byte beyond the caller's arrays is touched, and none of ours between two buffers matters."""

from __future__ import annotations

import random
import subprocess
import sys
from dataclasses import replace
from itertools import combinations
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from runners import runnable

import chainrule as cr
from chainrule.backend.cpu.layout import (
    Layout,
    Lives,
    Memory,
    Same,
    extent,
    layout,
    lives,
    same_rows,
)
from chainrule.backend.cpu.machine import host
from chainrule.backend.cpu.run import driver
from chainrule.engine.compile import build_step, plan_step
from chainrule.engine.totals import with_means
from chainrule.graph import Graph
from chainrule.graph.keys import step_key
from chainrule.graph.step import RATE, STEP_INDEX, STEP_INPUTS
from chainrule.interpret import initial_value
from chainrule.plan.plan import Plan
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


def trained(
    case: Network, lanes: int, *, spoilt: bool = False, forgets: bool = False
) -> list[bytes]:
    """Losses and state after some steps; where `spoilt`, NaN is in all that holds no element.

    Where it `forgets`, NaN is before each step in all that is neither state nor constant.
    """
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
        for buffer in native.memory.places if forgets else ():
            if buffer.value is None:
                native.memory.view(buffer)[...] = np.nan if "float" in buffer.dtype else -1
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


@pytest.mark.parametrize("seed", range(4))
def test_a_step_reads_nothing_that_the_step_before_left_between_kernels(seed: int) -> None:
    case = network(random.Random(seed))
    assert trained(case, WIDTHS[-1], forgets=True) == trained(case, WIDTHS[-1])


def test_sharing_changes_no_bit(monkeypatch: pytest.MonkeyPatch) -> None:
    cases = [network(random.Random(seed)) for seed in range(4)]
    shared = [trained(case, WIDTHS[-1]) for case in cases]
    assert sum(bool(alive(plan_step(case.step()))) for case in cases) > 2
    assert any(taken_over(plan_step(case.step())) for case in cases)
    monkeypatch.setattr(driver, "same_rows", lambda *_: {})
    assert [trained(case, WIDTHS[-1]) for case in cases] == shared
    monkeypatch.setattr(driver, "lives", lambda *_: {})
    assert [trained(case, WIDTHS[-1]) for case in cases] == shared


def deep() -> Plan:
    """A step of twenty layers whose rows meet in each, with kernels in many phases."""
    h, t = cr.input("x", (64,)), cr.input("t", (), dtype="int32")
    for _ in range(20):
        h = cr.relu(cr.batch_norm(cr.dense(h, 64)))
    loss = cr.cross_entropy(cr.dense(h, 10), t)
    return plan_step(build_step(Graph(loss), loss, cr.Adam(0.1)))


def alive(plan: Plan) -> Lives:
    phases = ((task.operands for task in phase.tasks) for phase in plan.phases)
    return lives(phases, plan.outputs)


def taken_over(plan: Plan) -> Same:
    chains = ([(task.split, task.operands) for task in phase.tasks] for phase in plan.phases)
    return same_rows(chains, plan.outputs, 64)


def clashes(plan: Plan, made: Layout) -> int:
    """The number of pairs of buffers that lie in the same memory while both hold a value."""
    phases = [set().union(*(task.reads | task.writes for task in x.tasks)) for x in plan.phases]
    used = {b: [k for k, x in enumerate(phases) if b in x] for b in made.places}
    always = {b for b in used if b.space != "work" or b in plan.outputs}
    ends = {b: place.offsets[0] + extent(b, 64) for b, place in made.places.items()}
    count = 0
    for a, b in combinations(made.places, 2):
        one, other = made.places[a].offsets[0], made.places[b].offsets[0]
        together = {a, b} & always or not (used[a][-1] < used[b][0] or used[b][-1] < used[a][0])
        count += bool(together and one < ends[b] and other < ends[a])
    return count


def test_buffers_share_memory_that_they_need_at_different_times() -> None:
    plan = deep()
    buffers = [b for b in plan.buffers if b.space != "state"]
    alone, shared = layout(buffers, (), 64), layout(buffers, (), 64, alive(plan))
    assert shared.end < 0.6 * alone.end
    assert clashes(plan, shared) == clashes(plan, alone) == 0
    short = {b: (first, max(first, last - 1)) for b, (first, last) in alive(plan).items()}
    assert clashes(plan, layout(buffers, (), 64, short)) > 0  # the count can tell


def test_what_is_read_after_a_step_shares_with_nothing() -> None:
    plan = deep()
    kept = next(b for b, life in alive(plan).items() if life[1] < len(plan.phases) - 1)
    told = replace(plan, outputs=(kept,))
    assert kept not in alive(told)
    buffers = [b for b in plan.buffers if b.space != "state"]
    assert clashes(told, layout(buffers, (), 64, alive(told))) == 0


def test_other_kernels_of_one_phase_share_nothing() -> None:
    """A chain of dense layers: threads go through all of its rows without waiting."""
    h, t = cr.input("x", (64,)), cr.input("t", (), dtype="int32")
    for _ in range(5):
        h = cr.dense(h, 64, "relu")
    loss = cr.cross_entropy(cr.dense(h, 10), t)
    plan = plan_step(build_step(Graph(loss), loss, cr.Adam(0.1)))
    buffers = [b for b in plan.buffers if b.space != "state"]
    assert clashes(plan, layout(buffers, (), 64, alive(plan))) == 0


def test_a_chain_of_kernels_takes_over_rows_that_it_needs_no_more() -> None:
    """The scores of an attention lie where those of the one before it lay."""
    h, t = cr.input("x", (16, 8)), cr.input("t", (), dtype="int32")
    for _ in range(3):
        h = cr.transformer_encoder(h, 2, hidden=16)
    loss = cr.cross_entropy(cr.dense(cr.sequence_pool(h), 10), t)
    plan = plan_step(build_step(Graph(loss), loss, cr.Adam(0.1)))
    same, buffers = taken_over(plan), [b for b in plan.buffers if b.space != "state"]
    apart, made = (layout(buffers, (), 64, alive(plan), x) for x in ({}, same))
    assert made.end < 0.8 * apart.end
    users = {
        b: [(p, k, task.split) for p, phase in enumerate(plan.phases)
            for k, task in enumerate(phase.tasks) if b in task.reads | task.writes]
        for b in plan.buffers
    }  # fmt: skip
    for root in set(same.values()):
        sharing = [root, *(b for b in same if same[b] is root)]
        assert len({made.places[b].offsets for b in sharing}) == 1
        assert len({made.places[b].strides[0] for b in sharing}) == 1
        assert {(p, split) for b in sharing for p, _, split in users[b]} == {
            (users[root][0][0], "rows")
        }
        for one, other in combinations(sharing, 2):
            first, second = ([k for _, k, _ in users[b]] for b in (one, other))
            assert max(first) < min(second) or max(second) < min(first)
