"""Data prepared for `fit`: checked arrays, training rows and validation rows."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from chainrule.data.windows import BlockShuffle, Windows, held_rows, split_sentence, windows_of
from chainrule.engine.forward import Forward
from chainrule.engine.minibatch import Rows
from chainrule.errors import DataError, FeedError
from chainrule.graph.node import Array, Input, Node
from chainrule.model.state import Data, ModelState, is_encoded
from chainrule.nn.loss import Bounds
from chainrule.passes.hoist import row_bytes
from chainrule.train.objective import Objective

if TYPE_CHECKING:
    from chainrule.data.schema import Schema
    from chainrule.train.streaming import StreamRows


@dataclass(frozen=True)
class Prepared:
    """Prepared data: checked arrays, training rows and validation rows.

    Attributes:
        arrays, rows: of the training data.
        held_arrays, held_rows: of the validation data; the same arrays where rows were held out.
        sentence: a description of the split.
        notes: on the table, such as the number of rows without a target.
        places: positions in the table of the rows of `arrays`; None: the same.
        stream: the training rows where they are those of a stream; `arrays` and `rows` are empty.
        windows: the order of `rows` in memory where it is that of a stream.
    """

    arrays: dict[str, Array]
    rows: Rows
    held_arrays: dict[str, Array] | None
    held_rows: Rows
    sentence: str
    notes: tuple[str, ...] = ()
    places: Rows | None = None
    stream: StreamRows | None = None
    windows: Windows | None = None


def prepare(
    state: ModelState,
    data: Data | Prepared,
    validation: Any,
    groups: Any,
    time: Any,
    blocks: BlockShuffle | None = None,
) -> Prepared:
    """Check data and split its rows into training and validation rows.

    Data that is prepared already is returned as it is.

    blocks: the order of a stream, which arrays in memory are to have too.
    """
    if isinstance(data, Prepared):
        return data
    more: dict[str, Any] = {}
    if state.schema is not None:
        data, groups, time = encode(state.schema, data, groups, time)
        more = {"notes": tuple(data.notes), "places": data.rows}
    arrays, n = state.arrays(data)
    refuse_impossible_targets(state, arrays)
    all_rows = np.arange(n)
    if validation is not None and (
        isinstance(validation, bool) or not isinstance(validation, (int, float))
    ):
        held, m = state.arrays(validation)
        refuse_impossible_targets(state, held, "the validation data")
        sentence = f"{n:,} row{'s' * (n != 1)} to train, {m:,} of their own to validate"
        whole = Prepared(arrays, all_rows, held, np.arange(m), sentence, **more)
        return whole if blocks is None else _windowed(state, whole, n, blocks)
    if blocks is not None and groups is None and time is None:
        return replace(_hashed(state, arrays, n, validation, blocks), **more)
    stratify = classes_of(state, arrays) if groups is None and time is None else None
    share = None if validation is not None and float(validation) == 0 else validation
    ways = {"stratify": stratify, "groups": groups, "time": time}
    divided = replace(divide(arrays, all_rows, share, state.seed, **ways), **more)
    return divided if blocks is None else _windowed(state, divided, n, blocks)


def _hashed(
    state: ModelState, arrays: dict[str, Array], n: int, validation: Any, blocks: BlockShuffle
) -> Prepared:
    """The rows in memory divided as those of a stream are, and in its order."""
    held = held_rows(n, validation, state.seed, _row_bytes(state))
    train, validates = held.numbers(n)
    if held.fraction and not (len(train) and len(validates)):
        raise DataError("fit", "too few rows to split", got=f"{n:,}",
                        fix="hold out none: validation=0")  # fmt: skip
    sentence = split_sentence(len(train), len(validates), validation)
    held_arrays = arrays if held.fraction else None
    prepared = Prepared(arrays, train, held_arrays, validates, sentence)
    return _windowed(state, prepared, n, blocks)


def _windowed(state: ModelState, prepared: Prepared, n: int, blocks: BlockShuffle) -> Prepared:
    """The same, with the order of a stream of so many rows."""
    sized = blocks.sized(_row_bytes(state))
    return replace(prepared, windows=windows_of(prepared.rows, n, sized, state.seed))


def _row_bytes(state: ModelState) -> int:
    return sum(row_bytes(x) for x in state.inputs if x.batch)


def encode(schema: Schema, data: Any, *columns: Any) -> tuple[Any, ...]:
    """Data as a schema encodes it, and columns of the table by name, at the rows that remain.

    Data that is encoded already, and columns that are not names, are returned as they are.
    """
    if is_encoded(data):
        return data, *columns
    from chainrule.data.readers.sources import read  # noqa: PLC0415  (tables alone need it)

    table = read(data)
    encoded = schema.encode(table, "required")
    taken = (table[x].take(encoded.rows) if isinstance(x, str) else x for x in columns)
    return encoded, *taken


def divide(
    arrays: dict[str, Array], rows: Rows, fraction: float | None, seed: int, **ways: Any
) -> Prepared:
    """Some rows of the data, a fraction of them held out; see `holdout` for the kinds of split."""
    if fraction is None:
        sentence = f"all {len(rows):,} rows train, none validate"
        return Prepared(arrays, rows, None, rows[:0], sentence)
    from chainrule.data.split import holdout  # noqa: PLC0415  (it knows tables too)

    train, held, sentence = holdout(len(rows), fraction, seed, **ways)
    return Prepared(arrays, rows[train], arrays, rows[held], sentence)


def classes_of(state: ModelState, arrays: Mapping[str, Array]) -> Array | None:
    """The class of each row, for a stratified split; None where rows have none."""
    for objective in state.objectives.each:
        if objective.task == "classification" and objective.target is not None:
            array = arrays.get(state.graph.name(objective.target))
            if array is not None and array.ndim == 1:
                return array
    return None


def refuse_impossible_targets(
    state: ModelState, arrays: Mapping[str, Array], where: str = "the data"
) -> None:
    """Raises FeedError, with the row, for what means nothing to the loss.

    That is a target outside its domain, if it weighs anything, a negative weight, and weights
    that are all 0.

    Args:
        where: what holds the arrays, for the message.
    """
    for objective in state.objectives.each:
        if isinstance(objective.weights, Input):
            weights = arrays[state.graph.name(objective.weights)]
            positive = Bounds(0, np.inf, "a weight is negative", "a weight of 0 leaves a row out")
            _refuse(objective, objective.weights, weights, positive, np.argwhere(weights < 0))
            if not weights.any():
                raise FeedError(
                    f"input {objective.weights.label!r}", "all weights are 0: no row counts",
                    expected="a weight above 0 for some row", at=where,
                )  # fmt: skip
        target, bounds = objective.target, objective.bounds
        values = None if target is None else arrays.get(state.graph.name(target))
        if target is None or bounds is None or values is None:
            continue
        beyond = np.argwhere((values < bounds.low) | (values > bounds.high))
        _refuse(objective, target, values, bounds, _counted(state, objective, arrays, beyond))


def _refuse(
    objective: Objective, node: Node, values: Array, bounds: Bounds, beyond: npt.NDArray[np.intp]
) -> None:
    """Raises FeedError for the first of the entries of an input at some places (k, axes)."""
    if len(beyond):
        index = tuple(beyond[0])
        low, high, what, fix = bounds
        raise FeedError(
            f"input {node.label!r}",
            f"{what}: the loss is {objective.kind}",
            expected=f"from {max(low, 0):g}" + (f" to {high:g}" if high < np.inf else ""),
            got=values[index],
            at=f"row {index[0]}",
            fix=fix,
        )


def _counted(
    state: ModelState,
    objective: Objective,
    arrays: Mapping[str, Array],
    places: npt.NDArray[np.intp],
) -> npt.NDArray[np.intp]:
    """The places (k, axes) in the target, first axis rows, whose weight is not 0."""
    if objective.weights is None or not len(places):
        return places
    (weights,) = Forward(state.graph, [objective.weights])(state.values, arrays, places[:, 0])
    index = (np.arange(len(places)), *places.T[1 : weights.ndim])
    counted: npt.NDArray[np.intp] = places[weights[index] != 0]
    return counted
