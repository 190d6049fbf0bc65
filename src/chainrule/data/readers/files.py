"""Tables from files: their format by their first bytes and name."""

from __future__ import annotations

import tempfile
from pathlib import Path

from chainrule.data.readers.delimited import Packed, read_delimited
from chainrule.data.readers.duck import literal_path, read_json, read_typed
from chainrule.data.readers.encoding import decode, stated_encoding
from chainrule.data.readers.excel import MAGIC, read_workbook
from chainrule.data.table import Table
from chainrule.errors import DataError

SUFFIXES = (
    "CSV (.csv .tsv .txt), Parquet, JSON or JSON lines (.json .jsonl .ndjson), plain or .gz; "
    "spreadsheets (.xlsx .xls .ods)"
)
SPREADSHEETS = (".xlsx", ".xlsm", ".xlsb", ".xls", ".ods")
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
        raise DataError(source, "the file is empty", at=path)
    with path.open("rb") as file:
        magic = file.read(4)
    if magic == b"PAR1":
        return read_typed("SELECT * FROM read_parquet(?)", [literal_path(path)], source)
    if magic in MAGIC or path.suffix.lower() in SPREADSHEETS:
        return read_workbook(path, source, header=header, sheet=sheet)
    packed = Packed(path, source, compressed=magic[:2] == b"\x1f\x8b")
    inner = path.with_suffix("").name if packed.compressed and path.suffix == ".gz" else path.name
    if Path(inner).suffix.lower() in JSON:
        return _read_json(packed, encoding)
    head = packed.head()
    if encoding is None and b"\0" in head and stated_encoding(head) is None:
        raise DataError(
            source,
            "is not a table that can be read",
            expected=SUFFIXES,
            got=f"a binary file that begins with {head[:8]!r}",
            fix="export it as CSV; if it is text, name its encoding: encoding='utf-16-le'",
        )
    return read_delimited(packed, head, header=header, encoding=encoding)


def _read_json(file: Packed, encoding: str | None) -> Table:
    """The table in JSON or JSON lines; a copy is made of what is not plain UTF-8."""
    encoding = encoding or stated_encoding(file.head()[:1000])
    if encoding in (None, "utf-8"):
        return read_json(literal_path(file.path), file.source)
    with tempfile.TemporaryDirectory(prefix="chainrule-") as folder:
        copy = Path(folder) / "copy.json"
        copy.write_text(decode(file.content(), encoding, file.source), "utf-8", newline="")
        return read_json(literal_path(copy), file.source)
