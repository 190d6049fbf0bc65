"""Predicts and evaluates tables that are read in parts: rows in, rows out, in constant memory."""

from __future__ import annotations

import contextlib
import errno
import os
import re
import sys
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any, BinaryIO, NamedTuple

import numpy as np
import numpy.typing as npt

from chainrule.data.blocks import Encoded, subset
from chainrule.data.column import Column
from chainrule.data.columns.gaps import QUOTED
from chainrule.data.predictions import csv_text
from chainrule.data.readers.spool import Spool, block_rows
from chainrule.data.readers.sqltext import sql_name, sql_text
from chainrule.data.repeats import MIN_SHARE, repeated
from chainrule.data.schema import Schema
from chainrule.data.table import Table
from chainrule.display.format import counted
from chainrule.display.screen import forget
from chainrule.errors import DataError
from chainrule.model.model import Model
from chainrule.recipe.tally import Tally
from chainrule.system.atomicfile import replacing
from chainrule.system.signals import interrupted_queries
from chainrule.train.metrics import Scores

Columns = dict[str, npt.NDArray[Any]]
NUMBER = re.compile(r"\d[\d,.]*")
WATCHED = 50_000
"""Rows of the sample by which the distribution of a table is held against that of training."""


class PartNotes:
    """The notes on the parts of a table: one that comes again, with other numbers, is told once."""

    def __init__(self) -> None:
        self._first: dict[str, tuple[str, int]] = {}
        self._parts = 0

    def add(self, notes: Sequence[str]) -> None:
        """Take the notes on the next part."""
        self._parts += 1
        for key, note in {NUMBER.sub("#", note): note for note in notes}.items():
            first, count = self._first.get(key, (note, 0))
            self._first[key] = first, count + 1

    def lines(self) -> list[str]:
        """All notes; with the number of parts where it is not that of all, or numbers differ."""
        lines = []
        for note, count in self._first.values():
            more = f" (the first of {counted(count, 'part')} of {self._parts:,} with such a note)"
            lines.append(note + (more if self._parts > 1 and NUMBER.search(note) else ""))
        return lines


def parts_of(spool: Spool, memory: int) -> Iterator[tuple[int, Table]]:
    """The parts of a spool, each with the number of its first row."""
    size = block_rows(memory, len(spool.names))
    for begin in range(0, spool.rows, size):
        yield begin, spool.table(begin, min(begin + size, spool.rows))


def unlike(model: Model, spool: Spool) -> list[str]:
    """Notes where rows at random are distributed otherwise than those of training."""
    assert model.schema is not None
    encoded = model.schema.encode(spool.sample(WATCHED), "none", watch=False)
    return model.schema.unlike(encoded.arrays)


# ---------------------------------------------------------------- predict


Made = Callable[[Table], tuple[Columns, Sequence[str]]]
"""Gives the columns that are written of a part, and notes on it."""


def write_text_parts(
    spool: Spool, memory: int, made: Made, keep: Sequence[str], output: str | None, delimiter: str
) -> tuple[int, list[str]]:
    """Write CSV, part by part: all of the file or nothing. Returns the rows, and notes."""
    notes, rows = PartNotes(), 0
    with _opened(output) as file:
        for begin, table in parts_of(spool, memory):
            columns, found = made(table)
            notes.add(found)
            kept = {name: _texts(table[name]) for name in keep}
            text = csv_text(kept | columns, delimiter)
            text = text if not begin else text[text.index("\n") + 1 :]
            rows += len(table)
            try:
                file.write(text.encode("utf-8", "replace"))
            except BrokenPipeError:  # the reader closed the pipe
                forget(sys.stdout)
                break
    return rows, notes.lines()


@contextlib.contextmanager
def _opened(output: str | None) -> Iterator[BinaryIO]:
    if output in (None, "-"):
        yield sys.stdout.buffer
        with contextlib.suppress(BrokenPipeError):
            sys.stdout.buffer.flush()
        return
    assert output is not None
    with replacing(output) as new, new.open("wb") as file:
        yield file


def _texts(column: Column) -> npt.NDArray[Any]:
    return np.array([text or "" for text in column.cells()], object)


def write_column_parts(
    spool: Spool, memory: int, made: Made, keep: Sequence[str], path: Path, form: str
) -> tuple[int, list[str]]:
    """Write Parquet or JSON lines in the same way; the columns to keep have their types."""
    notes, rows, connection = PartNotes(), 0, spool.connection
    kept = ", ".join(f"{_kept(spool, name)} AS {sql_name(name)}" for name in keep)
    with interrupted_queries(), replacing(path) as new, spool.named(spool.source):
        for begin, table in parts_of(spool, memory):
            columns, found = made(table)
            notes.add(found)
            connection.register("part", {n: plain(v) for n, v in columns.items()})
            query = "SELECT * FROM part"
            if keep:
                which = f"rowid >= {begin} AND rowid < {begin + len(table)} ORDER BY rowid"
                query = (
                    f"SELECT * FROM (SELECT {kept} FROM spool.rows WHERE {which}) POSITIONAL JOIN "
                    "part"
                )
            into = "INSERT INTO spool.out" if begin else "CREATE TABLE spool.out AS"
            connection.execute(f"{into} {query}")
            connection.unregister("part")
            rows += len(table)
        write_query(connection, "SELECT * FROM spool.out", new, form)
        connection.execute("DROP TABLE spool.out")
    return rows, notes.lines()


def write_query(connection: Any, query: str, path: Path, form: str) -> None:
    """Write the result of a query as Parquet or JSON lines. Raises OSError."""
    import duckdb  # noqa: PLC0415  (heavy: only where no CSV is wanted)

    try:
        connection.execute(f"COPY ({query}) TO {sql_text(str(path))} (FORMAT {form})")
    except duckdb.IOException as error:
        found = re.search(r'"errno":"(\d+)"', str(error))
        code = int(found[1]) if found else errno.EIO
        raise OSError(code, os.strerror(code)) from None


def _kept(spool: Spool, name: str) -> str:
    """The SQL of a column to keep: of CSV, numbers or dates where all of its cells are."""
    cell = f"c{spool.names.index(name)}"
    if spool.typed:
        return cell
    cell = f"nullif(trim(ltrim({cell}, chr({ord(QUOTED)}))), '')"
    tests = {
        "BIGINT": f"TRY_CAST({cell} AS BIGINT)::VARCHAR = {cell}",
        "DOUBLE": f"TRY_CAST({cell} AS DOUBLE) IS NOT NULL AND NOT regexp_matches({cell}, "
                  "'^[+-]?0[0-9]|^[+]')",
        "TIMESTAMP": f"TRY_CAST({cell} AS TIMESTAMP) IS NOT NULL",
    }  # fmt: skip
    asked = ", ".join(f"bool_and({cell} IS NULL OR {test})" for test in tests.values())
    found = spool.connection.execute(f"SELECT {asked}, count({cell}) FROM spool.rows").fetchone()
    kind = next((kind for kind, all_are in zip(tests, found, strict=False) if all_are), None)
    return cell if kind is None or not found[-1] else f"TRY_CAST({cell} AS {kind})"


def plain(values: npt.NDArray[Any]) -> npt.NDArray[Any]:
    """Text as objects: DuckDB would make an enum of it."""
    return values.astype(object) if values.dtype.kind == "U" else values


# ---------------------------------------------------------------- evaluate


def seen_before(schema: Schema, source: str, rows: int) -> list[str]:
    """A caution where the rows have the source of the training data."""
    if source != schema.source or rows < schema.rows:
        return []
    return [f"the model was trained on most rows of {source}: on new rows it may fare worse"]


class Scored(NamedTuple):
    """Scores of a model and of the best constant guess on some rows, and what they say."""

    name: str
    rows: int
    scores: Scores
    guess: Scores
    counts: npt.NDArray[np.int64]
    headline: Sequence[str]


class Evaluated:
    """The scores of a model on a spool.

    Attributes:
        all, others: the tally of all rows, and of those that repeat no training row; None: all.
        again: the rows that repeat one.
        target: of the model.
        notes: on the table.
    """

    def __init__(self, model: Model, spool: Spool, memory: int) -> None:
        """Evaluate part by part. Raises DataError where no row has a target."""
        schema = model.schema
        assert schema is not None
        assert schema.target is not None
        self.target = schema.target
        sampled = model.predict(schema.encode(spool.sample(WATCHED), "none", watch=False))
        self.all, self.again = Tally(schema, sampled.values), 0
        self.others: Tally | None = None
        notes = PartNotes()
        for _, table in parts_of(spool, memory):
            encoded = schema.encode(table, "optional", watch=False)
            if encoded.target is None:
                schema.encode(table, "required")  # raises: the column is not there
            assert encoded.target is not None
            known = ~np.isnan(encoded.target.astype(float)) & (
                (encoded.target >= 0) | (schema.classes is None)
            )
            lost = int((~known).sum())
            more = [f"{counted(lost, 'row')} without a target left out"] if lost else []
            notes.add([*encoded.notes, *more])
            if lost:
                encoded = subset(encoded, np.flatnonzero(known))
            if len(encoded):
                self._add(model, encoded)
        if not self.all.rows and not self.all.model.broken:
            raise DataError(spool.source, "no row has a target")
        seen = seen_before(schema, spool.source, spool.rows)
        self.notes = [
            *spool.notes, *notes.lines(), *unlike(model, spool), *seen, *self._remarks()
        ]  # fmt: skip
        if self.again < MIN_SHARE * self.all.rows:
            self.others = None

    def _remarks(self) -> list[str]:
        """Sentences on the worth of the scores."""
        found, rows = [], self.all.rows
        if self.all.model.broken:
            found.append(f"for {counted(self.all.model.broken, 'row')} the prediction is not a "
                         "finite number: the parts that hold them are not scored")  # fmt: skip
        if self.again >= max(MIN_SHARE * rows, 1):
            share = f"{100 * self.again / rows:.0f} %"
            told = f"{self.again:,} of {counted(rows, 'test row')} ({share}) repeat a training row"
            alone = self.again == rows
            found.append(f"{told}: the scores tell nothing of new rows." if alone else
                         f"{told}; the scores without them are beside.")  # fmt: skip
        return found

    @property
    def scored(self) -> list[Scored]:
        """The scores on all rows, and on those that repeat no training row where there are any."""
        tallies = {"test": self.all}
        if self.others is not None and self.others.rows:
            tallies["unrepeated test"] = self.others
        return [
            Scored(name, x.rows, x.scores, x.guess, x.counts, x.headline(name))
            for name, x in tallies.items()
        ]

    def _add(self, model: Model, encoded: Encoded) -> None:
        assert model.schema is not None
        assert encoded.target is not None
        prediction = model.predict(encoded).values
        loss = float(model.evaluate(encoded, metrics=[])["loss"])
        again = np.zeros(len(encoded), bool)
        if model.trained_rows is not None:
            again = repeated(model.schema, model.trained_rows, encoded)
        if again.any() and self.others is None:
            self.others = self.all.copy()
        self.all.add(encoded.target, prediction, loss)
        self.again += int(again.sum())
        if self.others is not None and not again.all():
            rows = np.flatnonzero(~again)
            if again.any():
                loss = float(model.evaluate(subset(encoded, rows), metrics=[])["loss"])
            self.others.add(encoded.target[rows], prediction[rows], loss)
