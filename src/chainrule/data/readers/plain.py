"""Columns of CSV cells that are all plain numbers, or all ISO dates."""

from __future__ import annotations

import re
from collections.abc import Collection, Mapping
from dataclasses import replace
from typing import Any, Literal, NamedTuple

import numpy as np
from numpy.typing import NDArray

from chainrule.data.column import Column, Condensed
from chainrule.data.columns.cells import PLAIN_NUMBER, are_digits, number_storage
from chainrule.data.columns.datetexts import ISO_MOMENT, parse_dates
from chainrule.data.columns.gaps import QUOTED, gap_among_numbers
from chainrule.data.columns.texts import Notes, coded, zero_note
from chainrule.data.written import GENERAL, SHORTEST, Written

SAMPLE = 1000
FAST = "0.001 AND 1e15"  # numbers that to_json writes as a cast does, in a fourth of its time
FEW = 1000  # rows up to which these are read by number
DIGITS = 15  # decimal digits that every float gives back
POINTED = re.compile(r"-?\d+\.(\d+)")
SCIENTIFIC = re.compile(r"-?\d\.(\d+)e[+-]\d\d+")
DATE_FORMS = (
    "%Y-%m-%d", "%Y-%m-%d %H:%M:%S", "%Y-%m-%dT%H:%M:%S", "%Y-%m-%d %H:%M", "%Y-%m-%dT%H:%M",
    "%Y-%m-%dT%H:%M:%SZ", "%Y-%m-%d %H:%M:%S+00:00", "%Y-%m-%d %H:%M:%S UTC",
)  # fmt: skip


class Form(NamedTuple):
    """A storage, and the way in which most cells of a column are written; see `Written`."""

    storage: Literal["integer", "number", "date"]
    written: str

    def value(self, cell: str) -> str:
        """The SQL that reads a cell."""
        types = {"integer": "BIGINT", "number": "DOUBLE", "date": "TIMESTAMP"}
        fixed = f"DECIMAL({DIGITS}, {self.written[1:-1]})" if self.written.endswith("f") else ""
        return f"TRY_CAST({cell} AS {fixed or types[self.storage]})"

    def text(self, v: str) -> str:
        """The SQL that writes a value of `value` in this form."""
        if self.storage == "date":
            return f"strftime({v}, '{self.written}')"
        if self.written.endswith("e"):
            return f"format('{{:{self.written}}}', {v})"
        if self.storage == "integer" or self.written.endswith("f"):
            return f"{v}::VARCHAR"
        fast = f"abs({v}) BETWEEN {FAST} THEN to_json({v})::VARCHAR"
        shortest = f"CASE WHEN {fast} ELSE {v}::VARCHAR END"
        if self.written == SHORTEST:
            return shortest
        integer = f"TRY_CAST({v} AS BIGINT)::VARCHAR"
        return f"CASE WHEN {v} = trunc({v}) THEN {integer} ELSE {shortest} END"


def guess_plain(connection: Any) -> list[Form | None]:
    """By column of the table t, the form that its first cells suggest; None: texts.

    A wrong guess costs time alone: all cells are held against it.
    """
    sample = connection.execute(f"SELECT * FROM t LIMIT {SAMPLE}").fetchall()
    return [
        _guess({cell.removeprefix(QUOTED).strip() for cell in cells if cell})
        for cells in zip(*sample, strict=True)
    ]


def _guess(cells: set[str]) -> Form | None:
    """The form of a column with these cells, without quotes and spaces around them."""
    texts = {text for text in cells if text and not gap_among_numbers(text)}
    if not texts:
        return None
    if all(map(PLAIN_NUMBER.fullmatch, texts)):
        if are_digits(texts):
            return Form("integer", GENERAL)
        return Form("number", _number_form(texts))
    if all(map(ISO_MOMENT.fullmatch, texts)):
        fits = {form: np.count_nonzero(_moments_fit(texts, form)) for form in DATE_FORMS}
        return Form("date", max(fits, key=fits.__getitem__))
    return None


def _number_form(texts: Collection[str]) -> str:
    for pattern, kind in ((POINTED, "f"), (SCIENTIFIC, "e")):
        found = [pattern.fullmatch(text) for text in texts]
        decimals = {len(match[1]) if match else 0 for match in found}
        if len(decimals) == 1 and 0 < max(decimals) < (DIGITS if kind == "f" else 30):
            return f".{max(decimals)}{kind}"
    whole = any(text.lstrip("+-").isdigit() for text in texts)
    return GENERAL if whole else SHORTEST


def _moments_fit(texts: Collection[str], form: str) -> list[bool]:
    """Whether each text has the marks of a form, at the same places."""
    shape = re.sub("%[A-Za-z]", lambda part: "0000" if part[0] == "%Y" else "00", form)
    return [re.sub(r"\d", "0", text) == shape for text in texts]


def regular_cells(
    connection: Any, forms: Mapping[int, Form]
) -> dict[int, tuple[NDArray[Any], NDArray[np.bool_]]]:
    """The values of columns of t by number, and True where a cell is not written in their form."""
    cells, values = [], []
    for i, form in forms.items():
        cells.append(f"c{i}, {form.value(f'c{i}')} AS v{i}")
        value = f"v{i}::DOUBLE" if form.storage == "number" else f"v{i}"
        values.append(f"CASE WHEN c{i} = {form.text(f'v{i}')} THEN {value} END AS v{i}")
    query = f"SELECT {', '.join(values)} FROM (SELECT {', '.join(cells)} FROM t)"
    found = connection.execute(query).fetchnumpy()
    return {
        i: (np.ma.getdata(found[f"v{i}"]), np.ma.getmaskarray(found[f"v{i}"]).copy()) for i in forms
    }


def _odd_cells(
    connection: Any, i: int, form: Form, missing: NDArray[np.bool_]
) -> tuple[NDArray[np.intp], list[str]]:
    """The rows and texts of the cells of column i that are neither in its form nor NULL."""
    rows = np.flatnonzero(missing)
    if len(rows) > FEW:
        cells = f"(SELECT c{i} AS c, {form.value(f'c{i}')} AS v FROM t)"
        query = f"SELECT c FROM {cells} WHERE (c = {form.text('v')}) IS NOT TRUE"
        found = connection.execute(query).fetchnumpy()["c"]
    else:
        numbers = connection.execute("SELECT rowid AS r FROM t").fetchnumpy()["r"][rows]
        query = f"SELECT c{i} AS c FROM t WHERE rowid IN (SELECT unnest(?)) ORDER BY rowid"
        found = connection.execute(query, [numbers.tolist()]).fetchnumpy()["c"]
    given = ~np.ma.getmaskarray(found)
    return rows[given], list(np.ma.getdata(found)[given])


def read_plain(
    connection: Any, i: int, name: str, form: Form, present: int,
    regular: tuple[NDArray[Any], NDArray[np.bool_]], notes: Notes,
    condensed: Condensed | None = None,
) -> Column | None:  # fmt: skip
    """Column i of t as numbers or dates; None if a cell is neither one nor a gap: it is text.

    present: the number of its cells that are not NULL; regular: see `regular_cells`;
    condensed: the rows that each cell stands for.
    """
    values, missing = regular
    weights = None if condensed is None else condensed.counts
    if len(values) - int(missing.sum()) == present:
        return _column(name, form, values, missing, Written(form.written))
    odd, texts = _odd_cells(connection, i, form, missing)
    kinds, levels = coded([text.removeprefix(QUOTED) for text in texts])
    stripped = [text.strip() for text in levels]
    gaps = np.array([not text or gap_among_numbers(text) for text in stripped])
    numbers: dict[str, int] = {}
    some = np.bincount(kinds, None if weights is None else weights[odd])
    for text, gap, count in zip(stripped, gaps, some.astype(int).tolist(), strict=True):
        if not gap:
            numbers[text] = numbers.get(text, 0) + count
    usual = ~missing
    read = _read(numbers, form, int(usual.sum() if weights is None else weights[usual].sum()))
    if read is None:
        again = form.storage == "integer" and all(map(PLAIN_NUMBER.fullmatch, numbers))
        decimals = again and not are_digits(numbers)
        other = Form("number", GENERAL)
        if not decimals:
            return None
        cells = regular_cells(connection, {i: other})[i]
        return read_plain(connection, i, name, other, present, cells, notes, condensed)
    values = values.copy()
    missing[odd] = gaps[kinds]
    known = np.array([read.get(text, _gap(form)) for text in stripped], values.dtype)
    values[odd] = known[kinds]
    codes = np.full(len(values), -1, np.int32)
    codes[odd] = kinds
    written = Written(form.written, codes, np.array(levels, object))
    column = replace(_column(name, form, values, missing, written), condensed=condensed)
    notes.gaps(column)
    if form.storage == "number":
        for note in zero_note(column):
            notes.add(note)
    return column


def _read(texts: dict[str, int], form: Form, regular: int) -> dict[str, Any] | None:
    """The values of the cells that are written in another form than most; None: not all are."""
    if form.storage == "date":
        stamps = dict(zip(texts, parse_dates(texts, "iso"), strict=True))
        return None if any(map(np.isnat, stamps.values())) else stamps
    usual = "1" if form.storage == "integer" else "1.5"  # stands for the cells that are regular
    if number_storage(texts | {usual: texts.get(usual, 0) + regular}) != form.storage:
        return None
    return {text: (int if form.storage == "integer" else float)(text) for text in texts}


def _gap(form: Form) -> Any:
    gaps = {"integer": 0, "number": np.nan, "date": np.datetime64("NaT", "us")}
    return gaps[form.storage]


def _column(
    name: str, form: Form, values: NDArray[Any], missing: NDArray[np.bool_], written: Written
) -> Column:
    """The column of values, with gaps where `missing` says so."""
    if form.storage == "date":
        values = values.astype("datetime64[us]")
    if form.storage == "integer":
        values = np.where(missing, 0, values) if missing.any() else values
        mask = missing if missing.any() else None
        return Column(name, "integer", values, mask=mask, written=written)
    if missing.any():
        values = np.where(missing, _gap(form), values)
    return Column(name, form.storage, values, written=written)
