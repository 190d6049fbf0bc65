"""What `Model.profile` does: some steps on the user's data, timed task by task."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Mapping
from typing import TYPE_CHECKING

import numpy as np

from chainrule.backend.cpu.run.profile import Timing
from chainrule.costs.forecast import Forecast
from chainrule.costs.profile import MeasuredKernel, Profile
from chainrule.engine.compile import split_step
from chainrule.engine.encoders import PrecomputedInputs
from chainrule.engine.native import NativeProgram
from chainrule.graph.graph import Graph
from chainrule.graph.node import Array, Node, Operation
from chainrule.model import plan as planning
from chainrule.types import Dim, Shape

if TYPE_CHECKING:
    from chainrule.model.model import Model


def profile(
    model: Model,
    arrays: Mapping[str, Array],
    rows: int,
    settings: planning.Settings,
    seconds: float,
) -> Profile:
    """See Model.profile."""
    size = min(settings.batch_size, rows)
    settings = dataclasses.replace(settings, batch_size=size)
    step, optimizer = planning.step_of(model, settings)
    parts = split_step(step)
    forecast = planning.forecast(model, step, parts, type(optimizer).__name__, settings, rows)
    state = {**model.values, **model.slots}
    encode = PrecomputedInputs(parts)
    program = NativeProgram(parts.body, state, model.seed, encode, parts.full, forecast.threads)
    order = np.random.default_rng(model.seed).permutation(rows)
    batches = [order[k : k + size] for k in range(0, rows - size + 1, size)]
    timing = program.timed(arrays, batches, forecast.threads, seconds)
    return _profile(forecast, planning.final_graph(parts.body), timing)


def _profile(forecast: Forecast, graph: Graph, timing: Timing) -> Profile:
    """The times of tasks beside their costs: both go through the plan's phases."""
    times = [float(x.mean()) for phase in timing.tasks for x in phase]
    kernels = tuple(
        MeasuredKernel(cost, seconds) for cost, seconds in zip(forecast.kernels, times, strict=True)
    )
    waiting = float(sum(x.mean() for x in timing.waiting))
    return Profile(
        forecast,
        kernels,
        _shared(kernels, graph, forecast.cost.rows),
        waiting,
        timing.step,
        timing.steps,
    )


def _shared(kernels: tuple[MeasuredKernel, ...], graph: Graph, rows: int) -> dict[str, float]:
    """The time of kernels, shared among their nodes by what each costs."""
    nodes: dict[str, float] = {}
    for x in kernels:
        prices = {name: _price(graph[name], rows) for name in x.cost.work.kernel.nodes}
        total = sum(prices.values()) or 1.0
        for name, price in prices.items():
            nodes[name] = nodes.get(name, 0.0) + x.seconds * price / total
    return nodes


def _price(node: Node, rows: int) -> float:
    """What a node costs, in additions."""
    return node.op.price * _turns(node, rows) if isinstance(node, Operation) else 0.0


def _turns(node: Operation, rows: int) -> int:
    """How many elements, or terms of sums, a node has."""
    if node.op.name != "einsum":
        return max(_elements(x.shape, rows) for x in (node, *node.operands))
    sizes: dict[str, Dim] = {}
    terms = node.attributes["equation"].split("->")[0].split(",")
    for term, x in zip(terms, node.operands, strict=True):
        sizes |= dict(zip(term, x.shape, strict=True))
    return _elements(tuple(sizes.values()), rows)


def _elements(shape: Shape, rows: int) -> int:
    return math.prod(d if isinstance(d, int) else rows for d in shape)
