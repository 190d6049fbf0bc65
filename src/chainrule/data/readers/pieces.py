"""The files of one table: their names and formats, and the types that their columns share."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from chainrule.data.readers.files import JSON, SPREADSHEETS
from chainrule.display.format import counted
from chainrule.errors import DataError

INTEGERS = ("TINYINT", "SMALLINT", "INTEGER", "BIGINT", "UTINYINT", "USMALLINT", "UINTEGER")
WIDE = ("UBIGINT", "HUGEINT", "UHUGEINT")
REALS = ("FLOAT", "DOUBLE", "DECIMAL")


@dataclass(frozen=True)
class Piece:
    """One file of a source: the query that selects its rows, and its name."""

    path: Path | None
    query: str
    parameters: list[Any]
    name: str


def short_names(files: Sequence[Path]) -> list[str]:
    """The names of files in messages: without their folders, where these are not needed."""
    short = [path.name for path in files]
    return short if len(set(short)) == len(short) else [str(path) for path in files]


def format_of(path: Path, name: str) -> str:
    """The format of a file: parquet, json or text. Raises DataError where it has none of them."""
    try:
        if path.stat().st_size == 0:
            raise DataError(name, "the file is empty", fix="leave it out, or write it again")
        with path.open("rb") as opened:
            magic = opened.read(4)
    except OSError as error:
        raise DataError(name, "cannot be read", got=error.strerror) from None
    if magic == b"PAR1":
        return "parquet"
    endings = [x.lower() for x in path.suffixes]
    if magic[:2] == b"\0\0" or {*SPREADSHEETS, ".npz", ".idx", ".parquet"} & set(endings):
        what = "is damaged or truncated" if ".parquet" in endings else "has to be read whole"
        raise DataError(
            name, f"{what}, and is not read in parts", expected="CSV, Parquet, JSON, or a query",
            got=f"a file that begins with {magic!r}", fix="write it again, as Parquet or CSV",
        )  # fmt: skip
    return "json" if set(JSON) & set(endings) else "text"


def common_type(name: str, kinds: list[str], files: list[str]) -> str:
    """The type of a column in all files. Raises DataError for numbers in one, texts in another."""
    first, bases = kinds[0], [kind.split("(")[0] for kind in kinds]
    if len(set(kinds)) == 1:
        return first
    known = [(base, kind) for base, kind in zip(bases, kinds, strict=True) if kind != '"NULL"']
    some = {base for base, _ in known}
    if len({kind for _, kind in known}) == 1:
        return known[0][1]
    if some <= {*INTEGERS}:
        return "BIGINT"
    if some <= {*INTEGERS, *WIDE}:
        return "HUGEINT"
    if some <= {*INTEGERS, *WIDE, *REALS}:
        return "DOUBLE"
    if all(base == "DATE" or base.startswith("TIMESTAMP") for base in some):
        return "TIMESTAMP"
    if some <= {"VARCHAR", "ENUM"}:
        return "VARCHAR"
    other = next(k for k, base in enumerate(bases) if base != bases[0])
    same = counted(len([x for x in kinds if x == kinds[other]]), "file")
    raise DataError(
        files[other], f"column {name!r} is of another type", expected=f"{first}, as in {files[0]}",
        got=f"{kinds[other]}, in {same} of {len(files)}",
        fix="leave the file out, or a query that converts it: \"SELECT * REPLACE "
            f"(TRY_CAST({name} AS {first}) AS {name}) FROM '*.parquet'\"",
    )  # fmt: skip
