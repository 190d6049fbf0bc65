"""Streams of tables: files or a query, read once, learned in SQL, encoded to a store on disk."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from chainrule.data.blocks import Encoded
from chainrule.data.column import Column
from chainrule.data.columns.decimals import one_decimal_mark
from chainrule.data.columns.encoder import ENCODERS, Encoder, GridEncoder
from chainrule.data.columns.kinds import check_kinds
from chainrule.data.columns.pictures import PictureColumn
from chainrule.data.columns.target import Target
from chainrule.data.columns.texts import GapNote, Notes, column_with_gaps
from chainrule.data.columns.told import reading_notes
from chainrule.data.learn import Options, labelled, learn_columns, learn_target, refuse_words
from chainrule.data.readers.inparts import InParts
from chainrule.data.readers.spool import Spool, block_rows
from chainrule.data.schema import Schema
from chainrule.data.streams.columndigests import ColumnDigests
from chainrule.data.streams.condense import Digest, condensed, looked_at, lost_cells
from chainrule.data.streams.moments import Moments
from chainrule.data.streams.stream import COLUMNS, SCHEMA, Stream
from chainrule.data.streams.turns import Turns
from chainrule.data.streams.writer import StoreWriter, kept
from chainrule.data.table import Table, require_column
from chainrule.errors import DataError
from chainrule.system.ranks.world import SERIAL
from chainrule.version import __version__


def table_stream(
    parts: InParts, target: str | None, *, folder: Path | None = None, header: bool | None = None,
    **how: Any,
) -> Stream:  # fmt: skip
    """The stream of files or a query; see `cr.data.stream`. `how` as of `stream_of`."""
    made_of = "" if folder is None else fingerprint(parts, target, header, parts.encoding, how)
    if folder is not None and (found := kept(folder, made_of)) is not None:
        return found
    with parts.spool(header=header) as spool:
        writer = StoreWriter(folder, source=spool.source, fingerprint=made_of)
        stream, _ = stream_of(spool, target, memory=parts.memory, writer=writer, **how)
        return stream


def fingerprint(parts: InParts, *how: Any) -> str:
    """A digest of the files of a source, with their size and time, and of how they are read."""
    if isinstance(parts.source, str):
        return ""  # of a query the files are not known
    found = [path.stat() for path in parts.source]
    files = [
        (str(path.resolve()), x.st_size, x.st_mtime_ns)
        for path, x in zip(parts.source, found, strict=True)
    ]
    return hashlib.sha256(repr((__version__, files, how)).encode()).hexdigest()


def stream_of(
    spool: Spool, target: str | None, *, kinds: Mapping[str, str] | None = None,
    task: str | None = None, ignore: Sequence[str] = (), gaps: Sequence[str] | None = None,
    options: Options | None = None, memory: int, writer: StoreWriter | None = None,
    turns: Turns | None = None,
) -> tuple[Stream, str]:  # fmt: skip
    """The stream of rows that are read already, and the condition of those that are in it.

    turns: the ranks that encode; None: this one alone.

    Raises:
        DataError, SettingError: as `Schema.learn`.
    """
    chosen = None if gaps is None else tuple(gaps)
    learner = Learner(spool, chosen, target, kinds, ignore)
    schema = learner.schema(task, options or {})
    moments, digests = Moments(schema), ColumnDigests(schema)
    with writer or StoreWriter(source=spool.source) as store:
        turns = turns or Turns(SERIAL, [0])
        for encoded in turns.blocks(spool, schema, block_rows(memory, len(spool.names))):
            moments.add(encoded)
            digests.add(encoded)
            store.write(_feeds(schema, encoded))
        schema = moments.exact(schema)
        store.facts |= {SCHEMA: schema.to_dict(), COLUMNS: digests.done()}
        store.notes = schema.notes
        return store.finish(), learner.where


def rows_at(spool: Spool, where: str, rows: NDArray[np.int64]) -> Table:
    """Rows of a stream by their ascending numbers, as a table; `where` as of `stream_of`."""
    connection = spool.connection
    connection.execute("CREATE OR REPLACE TABLE asked AS SELECT unnest(?) AS r", [rows.tolist()])
    if where != "true":
        number = "row_number() OVER (ORDER BY rowid) - 1"
        numbered = f"SELECT rowid AS r, {number} AS k FROM spool.rows WHERE {where}"
        connection.execute(
            f"CREATE OR REPLACE TABLE asked AS SELECT n.r FROM ({numbered}) AS n WHERE n.k IN "
            "(SELECT r FROM asked)"
        )
    found = connection.execute("SELECT r FROM asked ORDER BY r").fetchnumpy()["r"]
    return spool.table_of("rowid IN (SELECT r FROM asked)", np.asarray(found))


def _feeds(schema: Schema, encoded: Encoded) -> dict[str, Any]:
    """The arrays of a block by the inputs that they feed; codes as narrow as they may be."""
    feeds: dict[str, Any] = {}
    for block in schema.blocks:
        array = encoded.arrays[block.name]
        feeds[block.name] = _narrow(array, block.width) if block.kind == "category" else array
    if schema.target is not None and encoded.target is not None:
        classes = schema.classes
        target = encoded.target
        feeds[schema.target.name] = target if classes is None else _narrow(target, len(classes))
    return feeds


def _narrow(codes: Any, width: int) -> Any:
    """Codes below `width` in as few bytes as they need."""
    return codes.astype(np.int8 if width <= 127 else np.int16 if width < 2**15 else np.int32)


class Learner:
    """Learns the schema of a spool.

    Attributes:
        where: the condition of the rows that have a target, in SQL.
    """

    def __init__(
        self, spool: Spool, gaps: tuple[str, ...] | None, target: str | None,
        kinds: Mapping[str, str] | None, ignore: Sequence[str],
    ) -> None:  # fmt: skip
        first = spool.table(0, 1)
        require_column("target", target, first)
        for name in ignore:
            require_column("ignore", name, first)
        self._chosen = check_kinds(first, dict(kinds or {}) | dict.fromkeys(ignore, "ignore"))
        self._spool, self._gaps, self._target = spool, gaps, target
        self.where = "true"

    def schema(self, task: str | None, options: Options) -> Schema:
        """The schema, of the rows that have a target. Raises DataError, SettingError."""
        notes, rows = Notes(self._spool.notes), self._spool.rows
        digest = self._digest("true", notes)
        whole, found, learned = dict(digest.columns), list[str](), None
        if self._target is not None:
            learned, self.where, found = self._learned_target(digest, task)
            if self.where != "true":
                rows = self._rows(self.where)
                digest = self._digest(self.where, Notes())
        features = [x for x in digest.columns.values() if x.name != self._target]
        for column in features:
            self._refuse_grid(column)
        encoders = learn_columns(digest, features, self._chosen, options)
        for encoder in encoders:
            found += reading_notes(whole[encoder.name], encoder)
        return Schema(columns=encoders, target=learned, rows=rows, source=self._spool.source,
                      notes=tuple(map(str, [*notes.lines(), *found])), gaps=self._gaps)  # fmt: skip

    def _digest(self, where: str, notes: Notes) -> Digest:
        """The condensed columns of the rows that fulfil a condition."""
        spool, digest = self._spool, Digest(self._spool, self._gaps)
        texts = None if self._gaps is None else frozenset(text.strip() for text in self._gaps)
        found, columns = Notes(), []
        for i, facts in enumerate(looked_at(spool, where)):
            columns.append(condensed(spool, i, facts, where, found))
        if texts is not None:
            found = Notes([note for note in found.lines() if not isinstance(note, GapNote)])
            columns = [column_with_gaps(column, texts, found) for column in columns]
        for note in found.lines():
            notes.add(note)
        marked, more = one_decimal_mark(columns)
        for note in more:
            notes.add(note)
        digest.columns = {column.name: column for column in marked}
        return digest

    def _learned_target(self, digest: Digest, task: str | None) -> tuple[Target, str, list[str]]:
        """The target, the condition of the rows that have one, and notes."""
        assert self._target is not None
        column, i = digest[self._target], self._spool.names.index(self._target)
        learned = learn_target(digest, column, task, self._chosen.get(self._target))
        _, kept, found = labelled(digest, learned)
        refuse_words(digest, learned, kept)
        found += reading_notes(column, learned)
        if len(kept) == len(column):
            return learned, "true", found
        lost = np.ones(len(column), bool)
        lost[kept] = False
        condensed(self._spool, i, looked_at(self._spool, "true")[i], "true", Notes())  # t again
        return learned, lost_cells(self._spool, i, lost, "true"), found

    def _rows(self, where: str) -> int:
        query = f"SELECT count(*) FROM spool.rows WHERE {where}"
        return int(self._spool.connection.execute(query).fetchone()[0])

    def _refuse_grid(self, column: Column) -> None:
        chosen: type[Encoder] = ENCODERS.get(self._chosen.get(column.name, ""), Encoder)
        guessed = column.storage in ("text", "array") and column.name not in self._chosen
        if issubclass(chosen, GridEncoder) or (guessed and PictureColumn.guess(column)):
            raise DataError(
                self._spool.source, f"column {column.name!r} holds pictures or signals, which are "
                "not streamed", fix="read the table as it is, without stream=True",
            )  # fmt: skip
