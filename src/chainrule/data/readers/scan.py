"""Finds out whether all records of a delimited file have one form, without making them."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from io import BufferedIOBase

import numpy as np

CHUNK = 1 << 17
OPEN = 1 << 26
"""Bytes after which a record that has not ended has a quote that is never closed."""
LF, CR = 10, 13


@dataclass
class Scan:
    """The findings of a scan; those below `regular` are of the whole file only where it is True.

    Attributes:
        regular: whether all records have the same form, so that they are read as they stand.
        longest: a number of bytes that no record exceeds.
        quoted: whether a cell is quoted.
        returns: whether records end in CR LF, not LF.
        apostrophes: whether a cell begins with an apostrophe.
    """

    regular: bool = True
    longest: int = 0
    quoted: bool = False
    returns: bool = False
    apostrophes: bool = False


def scan(file: BufferedIOBase, delimiter: str, quote: str) -> Scan:
    """The form of the records of a UTF-8 file. Raises UnicodeDecodeError for bytes that are not.

    They are regular where the delimiters and line ends outside of quotes are those of the first
    record, again and again. Blank lines may follow the last one; of one column they are records.
    """
    found = Scan()
    d, q = delimiter.encode(), quote.encode()
    others = bytes(set(range(256)).difference(d + q + b"\r\n"))
    form, blank = b"", False
    for piece in _pieces(file, ord(quote)):
        if not piece.isascii():
            piece.decode("utf-8")
        marks = piece.translate(None, others)
        if q in marks:
            found.quoted = True
            marks = _outside(piece, marks, ord(quote), ord(delimiter))
        form = form or marks[: marks.find(b"\n") + 1] or marks + b"\n"
        found.returns = form.endswith(b"\r\n")
        alone = found.returns and piece.count(b"\r") != piece.count(b"\r\n")
        blanks = _blanks(piece, marks, form)
        if alone or q in marks or blanks is None or (blank and piece.strip(b"\r\n")):
            return Scan(regular=False)
        blank = blanks > 0
        found.longest = max(found.longest, len(piece))
        found.apostrophes |= q != b"'" and b"'" in piece and (
            d + b"'" in piece or b"\n'" in piece or piece.startswith(b"'")
        )  # fmt: skip
    return found


def _blanks(piece: bytes, marks: bytes, form: bytes) -> int | None:
    """The bytes of the blank lines below the records of a piece; None: it is not regular.

    form: the marks of a record with its line end.
    """
    end = b"\r\n" if form.endswith(b"\r\n") else b"\n"
    if b"\r" in form.removesuffix(end):
        return None
    if not piece.endswith(b"\n"):
        marks += end
    records = len(marks)
    if form != end and (filled := len(marks.rstrip(b"\r\n"))) < records:
        records = filled and filled + len(end)
    below = marks[records:]
    if marks != form * (records // len(form)) + end * (len(below) // len(end)):
        return None
    bare = piece.endswith(end + below) if records else piece == below
    return len(below) if bare or not below else None


def _pieces(file: BufferedIOBase, quote: int) -> Iterator[bytes]:
    """The file in pieces of whole records, each but the last with its line end."""
    rest = b""
    while chunk := file.read(max(CHUNK, len(rest))):
        rest += chunk
        end = _complete(rest, quote) or (len(rest) if len(rest) > OPEN else 0)
        if end:
            yield rest[:end]
            rest = rest[end:]
    if rest:
        yield rest


def _complete(data: bytes, quote: int) -> int:
    """The length of the records that have ended; a line feed within quotes ends none."""
    end = data.rfind(b"\n") + 1
    codes = np.frombuffer(data, np.uint8)
    if np.count_nonzero(codes[:end] == quote) % 2 == 0:
        return end
    ends = np.flatnonzero(codes == LF)
    quotes = np.searchsorted(np.flatnonzero(codes == quote), ends)
    closed = ends[quotes % 2 == 0]
    return int(closed[-1]) + 1 if len(closed) else 0


def _outside(piece: bytes, marks: bytes, quote: int, delimiter: int) -> bytes:
    """The marks of a piece that stand outside of quotes; all of them if a quote is out of place.

    It is where it stands inside a cell that does not begin with one, or where a text follows the
    quote that ends a cell.
    """
    codes, found = np.frombuffer(piece, np.uint8), np.frombuffer(marks, np.uint8)
    places = np.flatnonzero(codes == quote)
    around = np.zeros(256, bool)
    around[[quote, delimiter, LF, CR]] = True
    opening, closing = places[0::2], places[1::2]
    before = codes[opening[opening > 0] - 1]
    after = codes[closing[closing + 1 < len(codes)] + 1]
    if len(opening) > len(closing) or not (around[before].all() and around[after].all()):
        return marks
    quotes = found == quote
    outside = ~(np.bitwise_xor.accumulate(quotes) | quotes)
    return bytes(found[outside])
