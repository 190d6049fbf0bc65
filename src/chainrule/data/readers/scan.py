"""Counts the cells of each record of a delimited file, without making them."""

from __future__ import annotations

import codecs
from collections.abc import Iterator
from dataclasses import dataclass
from io import BufferedIOBase

import numpy as np
from numpy.typing import NDArray

CHUNK = 1 << 22
OPEN = 1 << 26
"""Bytes after which a record that has not ended has a quote that is never closed."""
LF, CR = 10, 13


@dataclass
class Scan:
    """The findings of a scan.

    Attributes:
        widths: how many records have each number of cells; blank lines are not counted.
        longest: the bytes of the longest record.
        blank: whether a blank line stands above another record.
        quoted: whether a cell is quoted.
        ragged_quotes: whether a quote stands inside a cell that does not begin with one, or a
            text follows the quote that ends a cell.
        returns: whether records end in CR LF, not LF.
        mixed_ends: whether records end in different ways, or in CR alone.
        apostrophes: whether a cell begins with an apostrophe.
    """

    widths: set[int]
    longest: int = 0
    blank: bool = False
    quoted: bool = False
    ragged_quotes: bool = False
    returns: bool = False
    mixed_ends: bool = False
    apostrophes: bool = False

    @property
    def regular(self) -> bool:
        """Whether all records have the same form, so that they are read as they stand."""
        odd = self.ragged_quotes or self.mixed_ends
        return not odd and len(self.widths) == 1 and not (self.blank and self.widths != {1})


def scan(file: BufferedIOBase, delimiter: str, quote: str) -> Scan:
    """The form of the records of a UTF-8 file. Raises UnicodeDecodeError for bytes that are not."""
    found = Scan(set())
    ends: set[bool] = set()
    blank = False
    for piece in _pieces(file, ord(quote)):
        codes = np.frombuffer(piece, np.uint8)
        outside = _outside(codes, ord(quote), ord(delimiter), found)
        marks = (codes == ord(delimiter)) & outside
        stops = np.flatnonzero((codes == LF) & outside)
        returns = np.flatnonzero((codes == CR) & outside)
        found.returns = bool(len(returns))
        ends.add(found.returns)
        found.mixed_ends |= len(ends) > 1 or bool(len(returns) and not (
            len(returns) >= len(stops) - (not piece.endswith(b"\n"))
            and np.array_equal(returns + 1, stops)
        ))  # fmt: skip
        if not piece.endswith(b"\n"):
            stops = np.append(stops, len(codes))
        cells = np.diff(np.searchsorted(np.flatnonzero(marks), stops), prepend=0) + 1
        lengths = np.diff(stops, prepend=-1)
        full = lengths > 1 + bool(len(returns))
        found.widths |= set(np.unique(cells[full]).tolist())
        found.longest = max(found.longest, int(lengths.max(initial=0)))
        last = int(np.flatnonzero(full)[-1]) if full.any() else -1
        found.blank |= (blank and last >= 0) or not full[: last + 1].all()
        blank = last + 1 < len(full)
        apostrophes = quote.encode() != b"'" and (delimiter + "'").encode() in piece
        found.apostrophes |= apostrophes or piece.startswith(b"'") or b"\n'" in piece
        if found.ragged_quotes or found.mixed_ends:
            break
    return found


def _pieces(file: BufferedIOBase, quote: int) -> Iterator[bytes]:
    """The file in pieces of whole records, all of them UTF-8."""
    decoder = codecs.getincrementaldecoder("utf-8")()
    rest = b""
    while chunk := file.read(CHUNK):
        decoder.decode(chunk)
        rest += chunk
        end = _complete(rest, quote) or (len(rest) if len(rest) > OPEN else 0)
        if end:
            yield rest[:end]
            rest = rest[end:]
    decoder.decode(b"", final=True)
    if rest:
        yield rest


def _complete(data: bytes, quote: int) -> int:
    """The length of the records that have ended; a line feed within quotes ends none."""
    if not data.count(quote):
        return data.rfind(b"\n") + 1
    codes = np.frombuffer(data, np.uint8)
    ends = np.flatnonzero(codes == LF)
    quotes = np.searchsorted(np.flatnonzero(codes == quote), ends)
    closed = ends[quotes % 2 == 0]
    return int(closed[-1]) + 1 if len(closed) else 0


def _outside(
    codes: NDArray[np.uint8], quote: int, delimiter: int, found: Scan
) -> NDArray[np.bool_]:
    """True where a byte is outside of quotes; notes quotes that are not around a cell."""
    quotes = codes == quote
    places = np.flatnonzero(quotes)
    if not len(places):
        return np.ones(len(codes), bool)
    found.quoted = True
    around = np.zeros(256, bool)
    around[[quote, delimiter, LF, CR]] = True
    opening, closing = places[0::2], places[1::2]
    before = codes[opening[opening > 0] - 1]
    after = codes[closing[closing + 1 < len(codes)] + 1]
    closed = len(opening) == len(closing)
    found.ragged_quotes |= not (closed and around[before].all() and around[after].all())
    return ~np.bitwise_xor.accumulate(quotes)
