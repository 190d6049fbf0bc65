"""Prepares a stream for `fit`: inputs checked, rows that validate, and the order of the rest."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING, Any

import numpy as np

from chainrule.data.streams.stream import Stream
from chainrule.data.windows import BlockShuffle, Held, Windows, held_rows, split_sentence
from chainrule.display.tables import bytes_text
from chainrule.engine.minibatch import Chunk, Rows, all_rows
from chainrule.engine.totals import BLOCK, means
from chainrule.errors import DataError, FeedError, SettingError, did_you_mean
from chainrule.graph.feeds import as_feed
from chainrule.graph.node import Array, Input
from chainrule.model.prepare import Prepared, refuse_impossible_targets
from chainrule.model.state import ModelState
from chainrule.train.fitsettings import FitSettings
from chainrule.train.lbfgs import LBFGS
from chainrule.train.streaming import StreamRows, feed_bytes
from chainrule.types import TensorType, resolve

if TYPE_CHECKING:
    from chainrule.engine.program import Program


def prepare_stream(state: ModelState, stream: Stream, settings: FitSettings) -> Prepared:
    """A stream, with rows that validate in memory.

    Raises:
        FeedError: an array does not fit its input. SettingError: a setting that needs all rows in
            memory. DataError: a file cannot be read.
    """
    refuse_unstreamed(settings)
    types = stream_types(state, stream)
    check_extremes(state, stream, types)
    held_arrays: dict[str, Array] | None = None
    validation, size = settings.validation, feed_bytes(types)
    blocks = block_shuffle_of(settings).sized(size)
    assert blocks.rows is not None
    separate = validation is not None and (
        isinstance(validation, bool) or not isinstance(validation, (int, float))
    )
    held = held_rows(stream.rows, None if separate else validation, state.seed, size)
    counts = held.counts(stream.rows, blocks.rows)
    seed = state.seed if settings.shuffle else None
    rows = StreamRows(stream, types, held, Windows(counts, blocks, seed))
    if separate:
        held_arrays, count = separate_rows(state, validation)
        sentence = f"{stream.rows:,} rows to train, {count:,} of their own to validate"
    else:
        count = stream.rows - rows.rows
        sentence = split_sentence(rows.rows, count, validation)
        if held.fraction and not (count and rows.rows):
            raise DataError("fit", "too few rows to split", got=f"{stream.rows:,}",
                            fix="hold out none: validation=0")  # fmt: skip
        if held.fraction:
            held_arrays = gathered(stream, types, held, count)
    told = f"a stream of {stream.rows:,} rows, {bytes_text(stream.bytes)}: {blocks.window} blocks"
    notes = (*stream.notes, f"{told} of {blocks.rows:,} rows are shuffled at a time")
    return Prepared(
        {}, np.arange(0), held_arrays, np.arange(count), sentence, notes=notes, stream=rows
    )


def block_shuffle_of(settings: FitSettings) -> BlockShuffle:
    """The blocks of the order of a stream."""
    return settings.shuffle if isinstance(settings.shuffle, BlockShuffle) else BlockShuffle()


def refuse_unstreamed(settings: FitSettings) -> None:
    """Raises SettingError for what needs all rows in memory."""
    for name in ("groups", "time", "record"):
        if getattr(settings, name) is not None:
            raise SettingError(
                f"fit.{name}", f"{name}= needs all rows in memory, and the data is a stream",
                fix=f"leave {name}= out, or give the arrays themselves",
            )  # fmt: skip
    if isinstance(settings.optimizer, LBFGS):
        raise SettingError("fit.optimizer", "L-BFGS needs all rows in memory, the data is a stream",
                           fix="optimizer=cr.Adam(1e-3)")  # fmt: skip
    validation = settings.validation
    none = validation is None or (isinstance(validation, (int, float)) and not validation)
    if settings.patience is not None and none:
        raise SettingError(
            "fit.patience", "the loss of all training rows would be computed after each epoch",
            fix="hold out some rows of the stream: validation=0.05",
        )  # fmt: skip
    criterion = settings.stopping.criterion
    if criterion is not None and not criterion.startswith("validation_"):
        raise SettingError(
            "EarlyStopping", "a score of all training rows would be computed after each epoch",
            got=criterion, fix='EarlyStopping("validation_loss")',
        )  # fmt: skip


def stream_types(state: ModelState, stream: Stream) -> dict[str, TensorType]:
    """The types of the inputs that a stream feeds, by name.

    Raises:
        FeedError: names, shapes or kinds of numbers do not fit.
    """
    inputs: Mapping[Input, str] = state.inputs
    wanted = {name: x for x, name in inputs.items()}
    unknown = [name for name in stream.fields if name not in wanted]
    missing = [name for name in wanted if name not in stream.fields]
    if missing or unknown:
        raise FeedError(
            "stream", "the names do not match the graph's inputs",
            expected=", ".join(wanted), got=", ".join(stream.fields),
            fix=did_you_mean(unknown[0], missing or wanted) if unknown else None,
        )  # fmt: skip
    for name, x in wanted.items():
        require_fit(stream, name, x)
    return {name: x.type for name, x in wanted.items()}


def require_fit(stream: Stream, name: str, node: Input) -> None:
    """Raises FeedError where the array of a stream does not fit an input."""
    field, where = stream.fields[name], f"input {name!r}"
    if not node.batch:
        raise FeedError(where, "an input that has no axis for rows is not fed by a stream")
    if field.shape != tuple(node.shape[1:]):
        raise FeedError(where, "the shape does not fit", expected=node.type.sizes,
                        got=f"[N, {', '.join(map(str, field.shape))}]")  # fmt: skip
    kind = np.dtype(node.dtype).kind
    if field.dtype.kind == "f" and kind != "f":
        raise FeedError(where, "fractions for an input of integers", expected=node.dtype,
                        got=str(field.dtype), fix=f"write it as {node.dtype}")  # fmt: skip


def check_extremes(state: ModelState, stream: Stream, types: Mapping[str, TensorType]) -> None:
    """Raises FeedError, with the row, where the least or largest numbers do not fit the graph."""
    rows = sorted({row for name in types for row in stream.extremes(name).rows})
    raw = {
        name: np.concatenate([stream.read(row, 1, [name])[name] for row in rows]) for name in types
    }

    def check(arrays: Mapping[str, Array]) -> None:
        fed = {name: as_feed(f"input {name!r}", x, types[name]) for name, x in arrays.items()}
        refuse_impossible_targets(state, fed)

    try:
        check(raw)
    except FeedError as error:
        for k, row in enumerate(rows):
            try:
                check({name: x[k : k + 1] for name, x in raw.items()})
            except FeedError as one:
                if one.what == error.what:
                    one.at = f"row {row:,}"
                    raise one from None
        raise


def check_indices(program: Program, rows: StreamRows) -> None:
    """Raises FeedError, with the row, where an index among the data is out of range."""
    stream = rows.stream
    numbers = sorted({row for name in rows.types for row in stream.extremes(name).rows})
    for row in numbers:
        arrays = stream.read(row, 1, list(rows.types))
        fed = {name: as_feed(f"input {name!r}", x, rows.types[name]) for name, x in arrays.items()}
        try:
            program.load(fed)
        except FeedError as error:
            error.at = f"row {row:,}"
            raise


def gathered(
    stream: Stream, types: Mapping[str, TensorType], held: Held, count: int
) -> dict[str, Array]:
    """The rows of a stream that validate, in memory, in their order."""
    found = {name: np.empty(resolve(x.shape, count), x.dtype) for name, x in types.items()}
    first = done = 0
    for block in stream.blocks():
        rows = len(next(iter(block.values())))
        mask = held.of(first, first + rows)
        some = int(mask.sum())
        for name, x in types.items():
            found[name][done : done + some] = as_feed(f"input {name!r}", block[name][mask], x)
        first, done = first + rows, done + some
    return found


def separate_rows(state: ModelState, validation: Any) -> tuple[dict[str, Array], int]:
    """Data of its own to validate, in memory: of a stream, some rows where it has many."""
    if not isinstance(validation, Stream):
        arrays, count = state.arrays(validation)
        refuse_impossible_targets(state, arrays, "the validation data")
        return arrays, count
    types = stream_types(state, validation)
    check_extremes(state, validation, types)
    return sampled(validation, types, state.seed)


def sampled(
    stream: Stream, types: Mapping[str, TensorType], seed: int
) -> tuple[dict[str, Array], int]:
    """All rows of a stream in memory, or as many as are held there, by a hash of their numbers."""
    almost = held_rows(stream.rows, 1 - 2**-53, seed, feed_bytes(types))
    whole = almost.fraction > 0.999
    chosen = _All(1.0, seed) if whole else almost
    count = stream.rows if whole else int(stream.rows - almost.counts(stream.rows, 1 << 16).sum())
    return gathered(stream, types, chosen, count), count


class _All(Held):
    """All rows."""

    def of(self, start: int, stop: int) -> Any:
        return np.ones(stop - start, bool)


def fixed_arrays(state: ModelState, rows: StreamRows, step: int) -> dict[str, Array]:
    """The inputs of a step that have no rows: means over all training rows."""
    return means(state.graph, _training_parts(rows), step)


def _training_parts(rows: StreamRows) -> Iterator[tuple[Chunk, Rows]]:
    """The training rows of a stream in their order, BLOCK at a time, with their places."""
    kept: list[Chunk] = []
    have = first = 0
    for block in rows.stream.blocks():
        count = len(next(iter(block.values())))
        mask = ~rows.held.of(first, first + count)
        fed = {name: as_feed(name, block[name][mask], x) for name, x in rows.types.items()}
        kept.append(Chunk(fed, first + np.flatnonzero(mask)))
        first, have = first + count, have + int(mask.sum())
        while have >= BLOCK:
            whole = _joined(kept)
            yield _part(whole, slice(BLOCK)), all_rows(BLOCK)
            kept, have = [_part(whole, slice(BLOCK, None))], have - BLOCK
    if have:
        yield _joined(kept), all_rows(have)


def _joined(parts: list[Chunk]) -> Chunk:
    arrays = {name: np.concatenate([x[name] for x in parts]) for name in parts[0]}
    return Chunk(arrays, np.concatenate([x.numbers for x in parts]))


def _part(chunk: Chunk, rows: slice) -> Chunk:
    return Chunk({name: x[rows] for name, x in chunk.items()}, chunk.numbers[rows])
