"""Scores and predictions of a stream, block by block."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from chainrule.data.streams.stream import Stream
from chainrule.engine.minibatch import all_rows
from chainrule.graph.node import Array, Input
from chainrule.model.state import Data, ModelState
from chainrule.model.streaming import require_fit, sampled
from chainrule.train.metrics import Metric, Scores, find_metrics
from chainrule.train.metrics.registry import DEFAULTS, Function
from chainrule.types import N

if TYPE_CHECKING:
    from chainrule.model.predicted import Predicted

MEANS = frozenset(("accuracy", "log_loss", "brier", "mae", "label_accuracy", "pinball"))
"""Metrics that are means over rows: those of blocks make that of all rows."""


def as_data(state: ModelState, block: Mapping[str, Array]) -> Data:
    """A block of a stream as the methods of a model take it."""
    if state.schema is None:
        return block
    from chainrule.data.blocks import Encoded  # noqa: PLC0415  (tables alone need it)

    name = state.schema.target.name if state.schema.target else None
    arrays = {key: x for key, x in block.items() if key != name}
    rows = len(next(iter(block.values())))
    return Encoded(arrays, None if name is None else block.get(name), np.arange(rows), [])


def evaluate_stream(
    state: ModelState,
    stream: Stream,
    metrics: Iterable[str | Metric | Function] | None,
) -> Scores:
    """The loss and the metrics over all rows of a stream.

    Where it has more rows than are held in memory, what is not a mean over rows, such as the area
    under a curve, is of some of them, which the notes tell.
    """
    asked = None if metrics is None else list(metrics)
    inputs = {name: x for x, name in state.inputs.items()}
    for name in stream.fields:
        if name in inputs:
            require_fit(stream, name, inputs[name])
    types = {name: x.type for name, x in inputs.items() if name in stream.fields}
    some, count = sampled(stream, types, state.seed)
    arrays, _ = state.arrays(as_data(state, some), weighted=False)
    scores = state.score(arrays, all_rows(count), asked)
    if count == stream.rows:
        return scores
    exact = _means(state, stream, asked)
    rest = [name for name in scores if name not in exact]
    told = f"{', '.join(rest)}: of {count:,} of the {stream.rows:,} rows, chosen by a hash"
    return Scores({**scores, **exact}, [*scores.notes, *([told] if rest else [])])


def _means(
    state: ModelState, stream: Stream, asked: Sequence[str | Metric | Function] | None
) -> dict[str, float]:
    """The loss, and those of the metrics that are means over rows, from all blocks."""
    if state.objectives.several:
        return {}
    one = state.objectives.first
    names: list[str] = []
    if one.task is not None:
        wanted = DEFAULTS[one.task] if asked is None else asked
        names = [x.name for x in find_metrics(wanted, one.task) if x.name in MEANS]
    totals: dict[str, float] = {}
    whole = 0.0
    for block in stream.blocks():
        arrays, rows = state.arrays(as_data(state, block), weighted=False)
        weight = float(rows)
        if one.weights is not None:
            if not isinstance(one.weights, Input):
                return {}
            weight = float(arrays[state.graph.name(one.weights)].sum(dtype=np.float64))
        if not weight:
            continue
        for name, value in state.score(arrays, all_rows(rows), names).items():
            totals[name] = totals.get(name, 0.0) + weight * value
        whole += weight
    return {name: total / whole for name, total in totals.items()}


def predict_stream(
    state: ModelState, asked: Predicted, stream: Stream, values_of: Callable[[Data], Any]
) -> Any:
    """The values of nodes for all rows of a stream, of which a block at a time is in memory.

    values_of: gives them for a block.
    """
    by_rows = [x.shape[:1] == (N,) for x in asked.forward.graph.outputs]
    found: list[Array] = []
    first = 0
    for block in stream.blocks():
        values = values_of(as_data(state, block))
        rows = len(next(iter(block.values())))
        for k, value in enumerate([values] if asked.single else values):
            if not first:
                shape = (stream.rows, *value.shape[1:]) if by_rows[k] else value.shape
                found.append(np.empty(shape, value.dtype))
            found[k][slice(first, first + rows) if by_rows[k] else ...] = value
        first += rows
    return found[0] if asked.single else found
