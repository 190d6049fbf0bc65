"""The device that runs a step or a forward pass soonest, by forecasts: `device="auto"`."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING

import numpy as np

from chainrule.backend.registry import find_backend, forecaster
from chainrule.costs.cost import best_threads, plan_cost
from chainrule.display.tables import seconds_text
from chainrule.engine.compile import plan_forward, plan_step
from chainrule.engine.devicerows import rows_of_block
from chainrule.engine.devices import FAILED, all_devices, candidates
from chainrule.engine.forward import Forward
from chainrule.errors import ChainruleError
from chainrule.graph.step import Step
from chainrule.plan.plan import Plan
from chainrule.types import static_size

if TYPE_CHECKING:
    from chainrule.costs.device import DeviceCost

GAIN = 1.25
"""A device must be so many times as quick as the processor: forecasts are not exact."""


@dataclass(frozen=True)
class Choice:
    """A device.

    Attributes:
        device: "cpu", or the word of another.
        why: in a line, with the forecasts.
    """

    device: str
    why: str


@dataclass(frozen=True)
class _Work:
    """The work to be done.

    Attributes:
        plan: makes the plan.
        rows: at a time.
        times: how often.
        held: bytes of data that the device holds all the time.
        moved: bytes that are copied each time.
        unit: of what one time is.
    """

    plan: Callable[[], Plan]
    rows: int
    times: int
    held: int
    moved: int
    unit: str


def step_choice(step: Step, rows: int, steps: int, held: int, threads: int | None = None) -> Choice:
    """The device for the steps of a run.

    Args:
        step: without what is computed before the run.
        rows: of a minibatch.
        steps: of the run.
        held: bytes of the data set.
        threads: that the processor may use.
    """
    work = _Work(partial(plan_step, step), rows, steps, held, 8 * rows, "step")
    return _chosen(work, threads)


def forward_choice(forward: Forward, rows: int) -> Choice:
    """The device for a forward pass over so many rows."""
    graph = forward.largest
    if graph is None:
        return only_cpu("no part of it is machine code")
    block = max(min(rows, rows_of_block(graph)), 1)
    used = [*graph.outputs, *(x for x in graph.inputs if x.batch)]
    moved = sum(static_size(x.shape[1:]) * np.dtype(x.dtype).itemsize for x in used) * block
    plan = partial(plan_forward, graph, graph.outputs)
    unit = "pass" if block == rows else f"block of {block:,} rows"
    return _chosen(_Work(plan, block, -(-rows // block), 0, moved, unit), None)


def only_cpu(reason: str) -> Choice:
    """The processor, for a reason besides time."""
    return Choice("cpu", f"device cpu: {reason}")


def _chosen(work: _Work, threads: int | None) -> Choice:
    found, told = [], dict[str, str]()
    for word, device in candidates():
        if device.word in FAILED:
            told[word] = f"{word} failed before: {FAILED[device.word]}"
        else:
            found.append((word, device.word))
    if not found:
        refused = [] if told else list(all_devices()[1])
        return Choice("cpu", "; ".join(["device cpu", *told.values(), *refused]))
    plan = work.plan()
    cpu = _seconds(plan, work.rows, threads)
    costs = list[tuple[float, str, str, float]]()
    for word, name in found:
        try:
            cost = _forecast(name, plan, work)
        except ChainruleError as error:
            told[word] = f"{word}: {error.what}"
            continue
        costs.append((cost.begin + work.times * cost.seconds, name, word, cost.seconds))
        also = f", and {seconds_text(cost.begin)} to begin" * (cost.seconds < cpu)
        told[word] = f"{word}: {seconds_text(cost.seconds)}{also} predicted"
    own = f"cpu: {seconds_text(cpu)}"
    best = min(costs, default=None)
    if best is None or best[0] * GAIN > work.times * cpu:
        return Choice("cpu", "; ".join([f"device {own} a {work.unit}", *told.values()]))
    _, name, word, seconds = best
    others = [x for other, x in told.items() if other != word]
    first = f"device {word}: {seconds_text(seconds)} a {work.unit}"
    return Choice(name, "; ".join([first, f"{own} predicted", *others]))


def _seconds(plan: Plan, rows: int, threads: int | None) -> float:
    """The predicted time of a plan on the processor."""
    backend = forecaster()
    speeds, most = backend.speeds(), backend.max_threads(threads)
    return plan_cost(plan, rows, speeds, best_threads(plan, rows, most, speeds)).seconds


def _forecast(name: str, plan: Plan, work: _Work) -> DeviceCost:
    from chainrule.backend.gpu.backend import GPU  # noqa: PLC0415  (for devices alone)

    backend = find_backend(name)
    assert isinstance(backend, GPU)
    return backend.forecast(plan, work.rows, work.held, work.moved)
