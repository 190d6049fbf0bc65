"""The profile of `Model.profile`: some steps on the user's data, timed task by task."""

from __future__ import annotations

import dataclasses

import numpy as np

from chainrule.costs.forecast import Forecast
from chainrule.costs.measured import MeasuredKernel
from chainrule.costs.profile import Profile
from chainrule.costs.timing import Timing
from chainrule.engine.compile import split_step
from chainrule.engine.encoders import PrecomputedInputs
from chainrule.engine.native import NativeProgram
from chainrule.engine.totals import with_means
from chainrule.graph.demand import turns
from chainrule.graph.graph import Graph
from chainrule.graph.node import Node, Operation
from chainrule.model.plan import final_graph, forecast, step_of
from chainrule.model.state import Data, ModelState
from chainrule.train.fitsettings import FitSettings


def profile(state: ModelState, data: Data, settings: FitSettings, seconds: float) -> Profile:
    """See Model.profile."""
    arrays, rows = state.arrays(data)
    size = min(settings.batch_size, rows)
    settings = dataclasses.replace(settings, batch_size=size)
    step, optimizer = step_of(state, settings)
    split = split_step(step)
    expected = forecast(state, step, split, type(optimizer).__name__, settings, rows)
    given = {**state.values, **state.slots}
    encode = PrecomputedInputs(split)
    program = NativeProgram(split.body, given, state.seed, encode, split.full, expected.threads)
    order = np.random.default_rng(state.seed).permutation(rows)
    batches = [order[k : k + size] for k in range(0, rows - size + 1, size)]
    timing = program.timed(with_means(state.graph, arrays), batches, expected.threads, seconds)
    return _profile(expected, final_graph(split.body), timing)


def _profile(forecast: Forecast, graph: Graph, timing: Timing) -> Profile:
    """The times of tasks with their costs, both in the order of the plan's phases."""
    times = [tuple(x.tolist()) for phase in timing.tasks for x in phase]
    kernels = tuple(
        MeasuredKernel(cost, seconds) for cost, seconds in zip(forecast.kernels, times, strict=True)
    )
    waits = tuple(tuple(x.tolist()) for x in timing.waiting)
    return Profile(
        forecast,
        kernels,
        _shared(kernels, graph, forecast.cost.rows),
        waits,
        timing.step,
        timing.steps,
    )


def _shared(kernels: tuple[MeasuredKernel, ...], graph: Graph, rows: int) -> dict[str, float]:
    """The time of kernels, distributed among their nodes by cost."""
    nodes: dict[str, float] = {}
    for x in kernels:
        kernel = x.cost.work.kernel
        prices = dict.fromkeys(kernel.nodes, 1.0)
        if not kernel.commit:  # else they only copy rows, and the graph has no node of them
            prices = {name: _price(graph[name], rows) for name in kernel.nodes}
        total = sum(prices.values()) or 1.0
        for name, price in prices.items():
            nodes[name] = nodes.get(name, 0.0) + x.seconds * price / total
    return nodes


def _price(node: Node, rows: int) -> float:
    """The cost of a node, in additions."""
    return node.op.price * turns(node, rows) if isinstance(node, Operation) else 0.0
