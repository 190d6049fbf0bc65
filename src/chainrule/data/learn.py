"""The encoders of a table's columns and target, learned; errors name file, row and column."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from functools import partial
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from chainrule.data.column import Column
from chainrule.data.columns.columns import LEFT_OUT, DroppedColumn, learn_column
from chainrule.data.columns.encoder import ENCODERS, Encoder, GridEncoder, Infinite
from chainrule.data.columns.kinds import Kind, guess_task, kind_of
from chainrule.data.columns.target import ClassTarget, NumberTarget, Target
from chainrule.data.table import Table
from chainrule.display.format import clip, counted, listed
from chainrule.errors import DataError

Options = Mapping[str, Mapping[str, Any]]
"""Further arguments of a kind's `fit`, by its name or that of a column."""


class Cells(Protocol):
    """The columns of a table, or condensed ones, as they are learned from."""

    @property
    def source(self) -> str: ...
    @property
    def gaps(self) -> tuple[str, ...] | None: ...
    def __getitem__(self, name: str) -> Column: ...
    def place(self, row: int, column: str) -> str: ...


MAX_LOST = 0.2
"""The share of rows up to which words in place of the target are gaps without being asked."""


def learn_target(table: Cells, column: Column, task: str | None, kind: str | None) -> Target:
    """The encoder of the target. Raises DataError for gaps alone, an infinity, a single value."""
    if column.gaps == column.rows:
        raise DataError(
            f"target {column.name!r}",
            "has no values, only gaps",
            got=", ".join([counted(column.rows, "gap"), *map(repr, column.gap_texts)]),
            at=table.source,
            fix="choose another target, or data that has labels"
            + (", or read these words as values: gaps=[]" if column.gap_texts else ""),
        )
    if column.storage == "number":
        refuse_infinities(table, [column.name], column.values[:, None])
    found = guess_task(column, task, kind)
    learner = ClassTarget if found.name == "classification" else NumberTarget
    learned: Target = located(table, column.name, partial(learner.fit, reason=found.reason))
    return learned


def labelled(table: Cells, target: Target) -> tuple[NDArray[Any], NDArray[np.int64], list[str]]:
    """The target of the rows that have one, encoded, these rows, and a note on the others."""
    codes, column = located(table, target.name, target.encode), table[target.name]
    missing = codes < 0 if isinstance(target, ClassTarget) else np.isnan(codes)
    lost = column.tally(missing)
    if lost == column.rows:
        raise DataError(f"target {target.name!r}", "has no values, only gaps", at=table.source)
    note = f"{counted(lost, 'row')} without a target {target.name!r} left out"
    return codes[~missing], np.flatnonzero(~missing), [note] if lost else []


def refuse_words(table: Cells, target: Target, kept: NDArray[np.int64]) -> None:
    """Raise where words, not empty cells, would cost more than a fifth of the rows."""
    if table.gaps is not None:
        return
    rows, lost = table[target.name].rows, np.ones(len(table[target.name]), bool)
    lost[kept] = False
    column = table[target.name].take(np.flatnonzero(lost))
    codes, labels = column.labels(known=column.gap_texts)
    counts = column.counts(codes, len(labels))
    if counts.sum() <= MAX_LOST * rows:
        return
    used = [k for k in np.argsort(-counts, kind="stable") if counts[k]]
    cells = [f"{clip(labels[k])!r} in {counts[k]:,}" for k in used]
    classes = "; or make classes of them: gaps=[]" if isinstance(target, ClassTarget) else ""
    raise DataError(
        f"target {target.name!r}",
        "too many rows would be left out, as words in its place are read as gaps",
        expected=f"at most {MAX_LOST:.0%} of {counted(rows, 'row')}",
        got=f"{listed(cells, 5)} rows",
        at=table.source,
        fix=f"leave them out: gaps={[labels[k] for k in used[:5]]!r}" + classes,
    )


def learn_columns(
    table: Cells, features: list[Column], chosen: Mapping[str, str], options: Options
) -> tuple[Encoder, ...]:
    """The encoder of each column, in order. Raises DataError where none is left to learn from."""
    kinds = {column.name: kind_of(column, chosen) for column in features}
    if all(kind.name in LEFT_OUT for kind in kinds.values()):
        for column in features:  # an id is better than nothing
            if kinds[column.name].name == "id" and column.name not in chosen:
                name = "category" if column.storage == "text" else "number"
                kinds[column.name] = Kind(name, "looks like an id, but there is nothing else")
    encoders = tuple(
        located(
            table,
            name,
            partial(
                learn_column,
                kind=kind.name,
                reason=kind.reason,
                options=options.get(name, options.get(kind.name)),
            ),
        )
        for name, kind in kinds.items()
    )
    if all(isinstance(encoder, DroppedColumn) for encoder in encoders):
        guessed = [e.name for e in encoders if e.reason != "chosen by you"]
        first = next(iter([*guessed, *kinds]), "COLUMN")
        raise DataError(
            table.source,
            "no column is left to learn from",
            got="\n".join(f"{e.name!r}: {e.reason}" for e in encoders[:12]) or "only the target",
            fix=f"overrule a guess: kinds={{{first!r}: 'category'}}",
        )
    return encoders


def located(table: Cells, name: str, work: Callable[[Column], Any]) -> Any:
    """`work` on a column; an infinity is reported with file, row and column."""
    try:
        return work(table[name])
    except Infinite as infinite:
        raise _infinity(table, name, infinite.row) from None


def refuse_infinities(table: Cells, names: Sequence[str], values: NDArray[Any]) -> None:
    """Raise DataError where values (n, parts) hold an infinity; `names` are the parts' columns."""
    infinite = np.isinf(values)
    if infinite.any():
        part = int(infinite.any(axis=0).argmax())
        raise _infinity(table, names[part], int(infinite[:, part].argmax()))


def _infinity(table: Cells, name: str, row: int) -> DataError:
    return DataError(
        table.source,
        f"column {name!r} holds an infinity",
        expected="finite numbers, or gaps",
        at=table.place(row, name),
        fix="replace it by a gap or a large number, or leave the column out",
    )


def absent_of(table: Table, grids: Sequence[GridEncoder]) -> NDArray[np.bool_] | None:
    """The rows of which a picture or signal is not there, (n,); None where there are none."""
    lost = np.zeros(len(table), bool)
    for encoder in grids:
        if encoder.name in table:
            lost |= encoder.absent(table[encoder.name])
    return lost if lost.any() else None


def readable(
    table: Table, target: str | None, chosen: Mapping[str, str], options: Options
) -> tuple[Table, list[str]]:
    """The rows whose pictures and signals can be read, and notes on the others."""
    notes: list[str] = []
    grids: list[GridEncoder] = []
    for column in table:
        kind = kind_of(column, chosen).name if column.name != target else ""
        if issubclass(ENCODERS.get(kind, Encoder), GridEncoder):
            given = options.get(column.name, options.get(kind))
            encoder = learn_column(column, kind, options=given)
            assert isinstance(encoder, GridEncoder)
            notes += encoder.encode(column)[1]
            grids.append(encoder)
    absent = absent_of(table, grids)
    if absent is None:
        return table, notes
    lost = counted(int(absent.sum()), "row")
    notes.append(f"{lost} without a picture or signal that can be read left out")
    return table.take(np.flatnonzero(~absent)), notes
