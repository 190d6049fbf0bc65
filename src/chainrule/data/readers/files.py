"""Tables from files: their format by their first bytes and name."""

from __future__ import annotations

import errno
import gzip
import shutil
import tempfile
import zlib
from pathlib import Path

from chainrule.data.readers.arrays import is_idx, read_idx, read_npz
from chainrule.data.readers.delimited import File, read_delimited
from chainrule.data.readers.duck import literal_path, read_json, read_typed
from chainrule.data.readers.encoding import decode, stated_encoding
from chainrule.data.readers.excel import MAGIC, read_workbook
from chainrule.data.readers.partitions import with_partitions
from chainrule.data.table import Table
from chainrule.errors import DataError

SPREADSHEETS = (".xlsx", ".xlsm", ".xlsb", ".xls", ".ods")
UNPACKED = 1 << 20  # bytes at a time
JSON = (".json", ".jsonl", ".ndjson", ".geojson")


def read_file(
    path: Path, *, header: bool | None = None, encoding: str | None = None,
    sheet: str | None = None, source: str | None = None,
) -> Table:  # fmt: skip
    """Returns the table in a file; its first bytes and its name determine the format.

    `source` is the name of the file in messages.
    """
    source = source or path.name
    if path.stat().st_size == 0:
        raise DataError(source, "the file is empty")
    with path.open("rb") as opened:
        magic = opened.read(4)
    if magic == b"PAR1":
        return read_typed("SELECT * FROM read_parquet(?)", [literal_path(path)], source)
    if path.suffix.lower() == ".npz":
        return read_npz(path, source)
    if magic[:2] in (b"\0\0", b"\x1f\x8b") and is_idx(path):
        return read_idx(path, source)
    if magic in MAGIC or path.suffix.lower() in SPREADSHEETS:
        return read_workbook(path, source, header=header, sheet=sheet)
    if magic[:2] == b"\x1f\x8b":
        with tempfile.TemporaryDirectory(prefix="chainrule-") as folder:
            copy = Path(folder) / (path.stem if path.suffix == ".gz" else path.name)
            unpack(path, copy, source)
            table = read_file(copy, header=header, encoding=encoding, sheet=sheet, source=source)
            return with_partitions(table, path)
    file = File(path, source)
    if path.suffix.lower() in JSON:
        return _read_json(file, encoding)
    table = read_delimited(file, file.head(), header=header, encoding=encoding)
    return with_partitions(table, path)


def unpack(path: Path, copy: Path, source: str) -> None:
    """Writes the content of a gzip file, so that it is unpacked once for all who read it."""
    try:
        with gzip.open(path) as packed, copy.open("wb") as plain:
            shutil.copyfileobj(packed, plain, UNPACKED)
    except (OSError, EOFError, zlib.error) as error:
        full = isinstance(error, OSError) and error.errno == errno.ENOSPC
        fix = f"free space in {tempfile.gettempdir()}" if full else "get it again"
        raise DataError(source, "cannot be unpacked", got=str(error), fix=fix) from None


def _read_json(file: File, encoding: str | None) -> Table:
    """The table in JSON or JSON lines; a copy is made of what is not plain UTF-8."""
    encoding = encoding or stated_encoding(file.head()[:1000])
    if encoding in (None, "utf-8"):
        return read_json(literal_path(file.path), file.source)
    with tempfile.TemporaryDirectory(prefix="chainrule-") as folder:
        copy = Path(folder) / "copy.json"
        copy.write_text(decode(file.content(), encoding, file.source), "utf-8", newline="")
        return read_json(literal_path(copy), file.source)
