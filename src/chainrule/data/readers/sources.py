"""`read`: makes a table from any source of data."""

from __future__ import annotations

import os
import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from chainrule.data.columns.decimals import with_one_decimal_mark
from chainrule.data.columns.picturefiles import is_picture
from chainrule.data.columns.texts import with_gaps
from chainrule.data.readers.duck import read_query
from chainrule.data.readers.filenames import with_files
from chainrule.data.readers.folder import PICTURE, one_picture, read_folder
from chainrule.data.readers.memory import from_array, from_frame, from_mapping, from_records
from chainrule.data.readers.several import name_of, several
from chainrule.data.readers.stdin import STDIN, read_stdin
from chainrule.data.table import Table
from chainrule.display.format import clip
from chainrule.errors import DataError, nearest
from chainrule.system.memory import free_memory
from chainrule.system.signals import interrupted_queries

QUERY = re.compile(r"\s*(select|with|from)\s", re.IGNORECASE)


def is_query(source: str) -> bool:
    """Whether a source is an SQL query, and not the name of a file that begins like one."""
    return QUERY.match(source) is not None and not os.path.exists(source)


def read(
    source: Any, *, header: bool | None = None, encoding: str | None = None,
    sheet: str | None = None, gaps: Sequence[str] | None = None,
) -> Table:  # fmt: skip
    """Returns the table in a file, SQL query, named data set, array, dict, or data frame.

    Args:
        source: a path (CSV, TSV, Parquet, JSON, JSON lines; plain or gzip; .xlsx, .xls and .ods
            with `pip install 'chainrule[excel]'`), a folder of pictures in a sub-folder for each
            class, a list of paths of pictures, IDX, NPZ, "-" for standard input, the name of an
            embedded or fetched data set, a SQL query that begins with SELECT, WITH or FROM (and
            may name files), a dict of columns, a list of dicts, a 2-D or structured NumPy array,
            one of pictures (rows, height, width) or (rows, height, width, channels),
            or any data frame that narwhals knows (pandas, polars, Arrow, ...).
        header: for CSV, whether the first line names the columns; None detects it.
        encoding: for CSV and JSON, any encoding that Python knows; None: as the first bytes say,
            or UTF-8; a CSV file that is not UTF-8 has the encoding that its bytes suggest, which
            is noted.
        sheet: for spreadsheets, the name of the sheet; None: the first, and others are noted.
        gaps: texts that are gaps, such as ["NA", "-999"], and no others but empty cells. None: in
            CSV the usual ones, where they are neither quoted nor frequent in a column of texts.

    Raises:
        DataError: it cannot be read; the message names the file, the line or row, and the column.
    """
    with interrupted_queries():
        return with_one_decimal_mark(with_gaps(_read(source, header, encoding, sheet), gaps))


def _read(
    source: Any, header: bool | None, encoding: str | None, sheet: str | None
) -> Table:  # fmt: skip
    if isinstance(source, Table):
        return source
    if isinstance(source, str) and is_query(source):
        return read_query(source)
    if (files := several(source)) is not None and len(files) != 1:
        from chainrule.data.readers.spool import Spool  # noqa: PLC0415  (few tables need it)

        name = name_of(files) if isinstance(source, (list, tuple)) else str(source)
        with Spool(files, name, memory=free_memory(), header=header, encoding=encoding) as spool:
            table = spool.table()
            return table.replaced(table, [*spool.notes, *table.notes], None)
    source = source if files is None else files[0]
    if isinstance(source, (str, os.PathLike)):
        if str(source) in ("-", STDIN):
            return read_stdin(header, encoding, sheet)
        from chainrule.data.readers.files import read_file  # noqa: PLC0415  (arrays need no files)

        path = find(source)
        if path.is_dir():
            return read_folder(path, str(source))
        if is_picture(path.name):
            return one_picture(path, str(source))
        table = read_file(path, header=header, encoding=encoding, sheet=sheet)
        table = with_files(table, path)
        return table if path.name == Path(source).name else table.called(str(source))
    return _filled(_from_memory(source))


def _from_memory(source: Any) -> Table:
    if isinstance(source, np.ndarray):
        if source.ndim in (3, 4):
            return from_mapping({PICTURE: source}, "a NumPy array")
        return from_array(source)
    if isinstance(source, Mapping):
        return from_mapping(source)
    if isinstance(source, Sequence) and not isinstance(source, bytes):
        if source and all(isinstance(record, Mapping) for record in source):
            return from_records(source)
        if source and all(isinstance(x, (str, os.PathLike)) and is_picture(x) for x in source):
            return from_mapping({PICTURE: list(map(os.fspath, source))}, "a list of pictures")
    elif (table := from_frame(source)) is not None:
        return table
    raise DataError(
        "read",
        "is not a table",
        expected="a path, a SQL query, a dict of columns, a 2-D array or a data frame",
        got=f"{type(source).__name__}",
        fix=_fix(source),
    )


def _fix(source: Any) -> str | None:
    """The fix for a source that is almost a table."""
    if hasattr(source, "to_frame"):
        return "call .to_frame() of it: that is a table"
    if hasattr(source, "getexif"):
        return "give the path of the picture, or np.asarray(image)[None] in the model's size"
    if hasattr(source, "toarray"):
        return "call .toarray() of the sparse matrix"
    return "give np.array(...) of it" if isinstance(source, (list, tuple)) and source else None


def _filled(table: Table) -> Table:
    if not table.columns or not len(table):
        what = "has no columns" if not table.columns else "has no rows"
        raise DataError(table.source, what)
    return table


def find(source: str | os.PathLike[str]) -> Path:
    """The file of a path, or of a data set's name."""
    from chainrule.data.readers import datasets  # noqa: PLC0415  (arrays need none)

    path = Path(source).expanduser()
    try:
        if path.is_file():
            return path
    except OSError as error:  # too long for a name, or a loop of links
        raise DataError(
            "read", "no such file or data set", got=clip(str(source), 60), expected="the name of "
            "a file or data set, or a query that begins with SELECT, WITH or FROM",
            fix=f"check it: {error.strerror}",
        ) from None  # fmt: skip
    if path.is_dir():
        return path
    if path.exists():
        raise DataError(str(source), "is a pipe, not a file", fix="write it to a file first")
    if isinstance(source, str):
        file = datasets.find(source)
        if file is not None:
            return file
        if re.match(r"\w{2,}://", source):
            raise DataError("read", "web addresses are not read", got=source, fix="download it")
        if (advice := datasets.explain(source)) is not None:
            raise DataError("read", "this data set is not fetched yet", got=source, fix=advice)
    raise DataError("read", "no such file or data set", got=str(source), fix=_suggest(path))


def _suggest(path: Path) -> str:
    """The nearest file in the folder or the nearest data set."""
    from chainrule.data.readers import datasets  # noqa: PLC0415  (arrays need none)
    from chainrule.data.readers.delimited import SUFFIXES  # noqa: PLC0415

    folder = path.parent
    if not folder.is_dir():
        return f"there is no folder {str(folder)!r}"
    files = [entry.name for entry in folder.iterdir() if entry.is_file()]
    guess = nearest(path.name, files)
    if guess is not None:
        return f"did you mean {str(folder / guess)!r}?"
    if not path.suffix:
        known = datasets.names()
        guess = nearest(path.name, known)
        return f"did you mean {guess!r}?" if guess else "data sets: " + ", ".join(known)
    return f"files that can be read: {SUFFIXES}"
