"""Tables from standard input."""

from __future__ import annotations

import re
import sys
import tempfile
from pathlib import Path

from chainrule.data.readers.encoding import stated_encoding
from chainrule.data.table import Table
from chainrule.errors import DataError

STDIN = "standard input"
"""The source of its table."""
JSON = re.compile(r"\ufeff?\s*(\[\s*\{|\{\s*\")")


def read_stdin(header: bool | None, encoding: str | None, sheet: str | None) -> Table:
    """The table in standard input, in any format that is read; arguments as of `read_file`."""
    from chainrule.data.readers.files import read_file  # noqa: PLC0415  (few programs read files)

    if sys.stdin is None or sys.stdin.isatty():
        raise DataError(STDIN, "is a terminal, not a table", fix="send it a file: - < table.csv")
    content = sys.stdin.buffer.read()
    if not content:
        raise DataError(STDIN, "is empty", expected="a table", fix="check what is before the pipe")
    with tempfile.TemporaryDirectory(prefix="chainrule-") as folder:
        head = content[:1000].decode(
            encoding or stated_encoding(content[:1000]) or "utf-8", "ignore"
        )
        path = Path(folder) / ("input.json" if JSON.match(head) else "input")
        path.write_bytes(content)
        return read_file(path, header=header, encoding=encoding, sheet=sheet, source=STDIN)
