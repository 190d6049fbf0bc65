"""Polluted files are read right, or with a word of what was done, or refused; never silently."""

from pathlib import Path

import pytest
from pollution import polluted, written

from chainrule.data import check_table, read
from chainrule.errors import DataError


def cells(table):
    """The names and texts of a table, a gap as ''."""
    columns = []
    for column in table:
        codes, labels = column.labels()
        columns.append([column.name, *("" if code < 0 else labels[code] for code in codes)])
    return columns


def test_no_polluted_file_is_read_as_another_table_without_a_word(tmp_path):
    path, failures, count = tmp_path / "t.csv", [], 0
    seen = {}
    for case in polluted():
        count += 1
        key = str(case.clean)
        if key not in seen:
            path.write_text(written(case.clean), "utf-8")
            clean = read(path, header=True)
            seen[key] = cells(clean), set(clean.notes)
        path.write_bytes(case.content)
        try:
            table = read(path)
        except DataError as error:
            if case.right:
                failures.append(f"{case.name}: refused: {error}")
            continue
        expected, usual = seen[key]
        if cells(table) == expected:
            continue
        told = set(table.notes) - usual or [x for x in check_table(table) if "total" in x.message]
        if case.right or not told:
            failures.append(f"{case.name}: {table.notes}\n{case.content[:300]!r}\n{table!r}")
    assert count > 300
    assert not failures, f"{len(failures)} of {count}\n" + "\n\n".join(failures[:30])


def test_a_quote_that_is_never_closed_in_a_long_file(tmp_path: Path) -> None:
    lines = ["a,b,c", *(f"{k},{k + 1},{k + 2}" for k in range(100_000))]
    lines[4] = '3,"4,5'
    path = tmp_path / "long.csv"
    path.write_text("\n".join(lines), "utf-8")
    with pytest.raises(DataError, match="a quoted cell is not closed") as error:
        read(path)
    assert "line 5" in str(error.value)
