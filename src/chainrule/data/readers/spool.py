"""The rows of files or of a query in a database on disk: read once, in order, in bounded memory."""

from __future__ import annotations

import os
import shutil
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Self

import numpy as np

from chainrule.data.columns.texts import Notes
from chainrule.data.readers.delimited import File, load_delimited
from chainrule.data.readers.duck import (
    QUERY,
    cell,
    described,
    json_query,
    literal_path,
    refuse_changes,
)
from chainrule.data.readers.files import unpack
from chainrule.data.readers.partitions import partitions
from chainrule.data.readers.pieces import Piece, common_type, format_of, short_names
from chainrule.data.readers.spooled import SHARED, Spooled
from chainrule.data.readers.sqltext import sql_name
from chainrule.data.readers.unchanged import unchanged
from chainrule.display.format import listed
from chainrule.errors import DataError
from chainrule.system.atomicfile import remove_leftovers, work_folder
from chainrule.system.signals import interrupted_queries


class Spool(Spooled):
    """The rows of a source, in order, which stay what they are whatever becomes of its files.

    A context manager; its end removes the database.

    Attributes:
        kinds: the types of the columns in DuckDB.
        notes: as of a Table.
    """

    def __init__(
        self, source: str | Sequence[Path], name: str, *, memory: int,
        header: bool | None = None, encoding: str | None = None, folder: str | None = None,
    ) -> None:  # fmt: skip
        """Read all rows.

        Args:
            source: a query, or files.
            name: of the source in messages.
            memory: the bytes that the process may take; DuckDB has a third.
            header, encoding: as of `read`.
            folder: for temporary data; None: that of the system.

        Raises:
            DataError: a file cannot be read, changes, or differs from the others; the disk is full.
        """
        self.source, self.notes, self.parts = name, list[str](), list[tuple[int, str]]()
        self.names, self.kinds, self.typed, self.rows = list[str](), list[str](), True, 0
        self.memory, self._header, self._encoding = memory, header, encoding
        place = Path(folder or disk_folder()) / "chainrule-rows"
        remove_leftovers(place)  # of processes that were killed
        self.folder, self._lock = work_folder(place)
        try:
            with interrupted_queries():
                self._open(source)
        except BaseException:
            self.close()
            raise

    def _open(self, source: str | Sequence[Path]) -> None:
        self._connect(self.folder / "spill", "")
        self.connection.execute("USE spool")
        try:
            if isinstance(source, str):
                refuse_changes(source)
                self._load_typed([Piece(None, source.strip().rstrip(";"), [], QUERY)])
            else:
                self._load_files(list(source))
            self._contiguous()
        except self._duckdb.Error as error:
            raise self._failed(self.source, error) from None
        self.connection.execute("USE memory")
        self.connection.execute("SET lock_configuration=true")
        if not self.rows:
            raise DataError(self.source, "has no rows", got=f"columns {listed(self.names)}")

    def _load_files(self, files: list[Path]) -> None:
        names = short_names(files)
        formats = {path: format_of(path, name) for path, name in zip(files, names, strict=True)}
        if len(set(formats.values())) > 1:
            first = files[0]
            other = next(x for x in files if formats[x] != formats[first])
            raise DataError(
                self.source, "has files of several kinds", at=str(other),
                expected=f"{formats[first]}, as {first.name}", got=formats[other],
            )  # fmt: skip
        if formats[files[0]] == "text":
            self._load_texts(list(zip(files, names, strict=True)))
            return
        pieces = []
        for path, name in zip(files, names, strict=True):
            if formats[path] == "json":
                plain = self._plain(path, name)
                query, parameters = json_query(literal_path(plain), name)
                if plain != path and (cells := partitions(path, typed=True)):
                    named = ", ".join(f"{cell} AS {sql_name(x)}" for x, cell in cells.items())
                    query = f"SELECT *, {named} FROM ({query})"
            else:
                query, parameters = "SELECT * FROM read_parquet(?)", [literal_path(path)]
            pieces.append(Piece(path, query, parameters, name))
        self._load_typed(pieces)

    # ------------------------------------------------------------ sources with types

    def _load_typed(self, pieces: list[Piece]) -> None:
        tables = []
        for piece in pieces:
            with self.named(piece.name), unchanged(piece.path, piece.name):
                tables.append(described(self.connection, piece.query, piece.parameters, piece.name))
        self.names = tables[0][0]
        for piece, (names, _) in zip(pieces, tables, strict=True):
            self._compare(names, piece.name, pieces[0].name)
        found = [dict(zip(*table, strict=True)) for table in tables]
        files = [piece.name for piece in pieces]
        self.kinds = [
            common_type(name, [kinds[name] for kinds in found], files) for name in self.names
        ]
        for k, piece in enumerate(pieces):
            cells = ", ".join(
                self._cell(name, found[k][name], kind, i)
                for i, (name, kind) in enumerate(zip(self.names, self.kinds, strict=True))
            )
            into = "INSERT INTO rows" if k else "CREATE TABLE rows AS"
            with self.named(piece.name), unchanged(piece.path, piece.name):
                query = f"{into} SELECT {cells} FROM ({piece.query}\n)"
                self._add(piece.name, query, piece.parameters)
        self._drop_copies()

    def _cell(self, name: str, own: str, common: str, i: int) -> str:
        written = cell(name, own)
        return f"{written if own == common else f'({written})::{common}'} AS c{i}"

    # ------------------------------------------------------------ CSV

    def _load_texts(self, files: list[tuple[Path, str]]) -> None:
        self.typed = False
        notes: dict[str, list[str]] = {}
        for k, (path, name) in enumerate(files):
            with self.named(name), unchanged(path, name):
                loaded, more = self._load_text(path, name)
                own = partitions(path) | {x: f"c{k}" for k, x in enumerate(loaded)}
                found = [*loaded, *(x for x in own if x not in loaded)]
                self.names = self.names or found
                self._compare(found, name, files[0][1])
                cells = ", ".join(f"{own[x]} AS c{i}" for i, x in enumerate(self.names))
                into = "INSERT INTO rows" if k else "CREATE TABLE rows AS"
                self._add(name, f"{into} SELECT {cells} FROM t", [])
                self.connection.execute("DROP TABLE t")
            self._drop_copies()
            for note in more:
                notes.setdefault(note, []).append(name)
        self.kinds = ["VARCHAR"] * len(self.names)
        for note, where in notes.items():
            self.notes.append(note if len(files) == 1 else f"{listed(where, 3)}: {note}")

    def _load_text(self, path: Path, name: str) -> tuple[list[str], list[str]]:
        """Makes the table t of a file; returns its names, and notes."""
        notes = Notes()
        file = File(self._plain(path, name), name)
        most = self.memory // 12  # it is taken apart by Python, as several copies
        found, quotes = load_delimited(
            self.connection, file, file.head(), notes, self._header, self._encoding, most
        )
        if quotes is not None:
            quotes.mark(self.connection, len(found))
        return found, notes.lines()

    def _plain(self, path: Path, name: str) -> Path:
        """The file, or what is packed in it."""
        with path.open("rb") as opened:
            if opened.read(2) != b"\x1f\x8b":
                return path
        count = len(list(self.folder.glob("unpacked-*")))
        copy = self.folder / f"unpacked-{count}{path.with_suffix('').suffix}"
        unpack(path, copy, name)
        return copy

    # ------------------------------------------------------------ both

    def _add(self, name: str, query: str, parameters: list[Any]) -> None:
        self.connection.execute(query, parameters)
        rows = self.connection.execute("SELECT count(*) FROM rows").fetchone()[0]
        self.parts.append((self.rows, name))
        self.rows = rows

    def _drop_copies(self) -> None:
        """Remove what was unpacked."""
        for path in self.folder.glob("unpacked-*"):
            path.unlink()

    def _compare(self, names: list[str], file: str, first: str) -> None:
        """Raise DataError where a file has other columns than the first; note another order."""
        lost, more = [x for x in self.names if x not in names], set(names) - set(self.names)
        if not lost and not more:
            if names != self.names:
                self.notes.append(f"{file}: columns in another order than in {first}: matched by "
                                  "name")  # fmt: skip
            return
        what = f"lacks column {lost[0]!r}" if lost else f"has one more column, {min(more)!r}"
        raise DataError(
            file, f"{what}: the files of a table have the same columns",
            expected=f"{listed(self.names)}, as in {first}", got=listed(names),
            fix="leave the file out, or a query with the columns that all have: \"SELECT a, b FROM "
                "read_parquet('*.parquet', union_by_name=true)\" (of CSV: read_csv)",
        )  # fmt: skip

    def _contiguous(self) -> None:
        """Number the rows from 0, where some were left out while reading."""
        last = self.connection.execute("SELECT max(rowid) FROM rows").fetchone()[0]
        if last is not None and last + 1 != self.rows:
            self.connection.execute("CREATE TABLE again AS FROM rows ORDER BY rowid")
            self.connection.execute("DROP TABLE rows")
            self.connection.execute("ALTER TABLE again RENAME TO rows")

    def shared(self) -> dict[str, Any]:
        """The facts by which `opened` reads the rows in other processes, from now on."""
        self.connection.execute("DETACH spool")
        self._attach("(READ_ONLY)")
        return {name: getattr(self, name) for name in SHARED}

    @property
    def bytes(self) -> int:
        """Of the database on disk."""
        return sum(path.stat().st_size for path in self.folder.glob("rows.duckdb*"))

    def close(self) -> None:
        """Remove the database."""
        if hasattr(self, "connection"):
            self.connection.close()
        shutil.rmtree(self.folder, ignore_errors=True)
        if self._lock is not None:
            os.close(self._lock)
            self._lock = None

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: object, error: BaseException | None, trace: object) -> None:
        told = self._failed(self.source, error) if isinstance(error, self._duckdb.Error) else None
        self.close()
        if told is not None:
            raise told from None


def block_rows(memory: int, columns: int) -> int:
    """The rows of a block, so that its cells and their copies take a small part of the memory."""
    return int(np.clip(memory // 8 // (200 * max(columns, 1)), 1000, 1 << 17))


def disk_folder() -> str:
    """The folder for large temporary data: $TMPDIR, or one that is not in memory."""
    if os.environ.get("TMPDIR") or not os.access("/var/tmp", os.W_OK):
        return tempfile.gettempdir()
    return "/var/tmp"
