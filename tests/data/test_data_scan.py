"""A scan finds out whether all records of a file have one form, in pieces of any size."""

import io
import random
import re

import numpy as np
import pytest

from chainrule.data import read
from chainrule.data.readers import scan as module
from chainrule.data.readers.scan import scan

CELLS = ["a", "", '"a"', '"a,b"', '"a""b"', '"x\ny"', '"x\r\ny"', "'q'", '""', "1", "é"]
QUOTED = re.compile(r'"(?:[^"]|"")*"')


def found(content, chunk, monkeypatch):
    monkeypatch.setattr(module, "CHUNK", chunk)
    return scan(io.BytesIO(content.encode()), ",", '"')


def is_regular(text):
    """By the definition, record by record: quotes around cells, one end, one number of cells."""
    plain = QUOTED.sub(lambda x: "q" * len(x[0]), text)
    sides = [text[max(x.start() - 1, 0) : x.start()] for x in QUOTED.finditer(text)]
    sides += [text[x.end() : x.end() + 1] for x in QUOTED.finditer(text)]
    end = "\r\n" if "\r" in plain else "\n"
    lines = plain.split(end)
    if '"' in plain or any(side not in ",\r\n" for side in sides):
        return False
    if any("\r" in x or "\n" in x for x in lines):
        return False
    if end == "\r\n" and "\r" in text.replace(end, ""):
        return False
    while lines and not lines[-1]:
        lines.pop()
    widths = {x.count(",") + 1 for x in lines}
    return len(widths) == 1 and (all(lines) or widths == {1})


def a_file(draw):
    width, end = draw.randint(1, 3), draw.choice(["\n", "\r\n"])
    rows = [",".join(draw.choices(CELLS, k=width)) for _ in range(draw.randint(1, 6))]
    text = end.join(rows) + draw.choice(["", end, end * 2, end * 3])
    if draw.random() < 0.5:
        at = draw.randrange(len(text) + 1)
        text = text[:at] + draw.choice(["a", ",", '"', "\n", "\r", "\r\n", "'"]) + text[at:]
    return text


def test_it_agrees_with_the_definition(monkeypatch):
    draw, regular = random.Random(0), 0
    for _ in range(4000):
        text = a_file(draw)
        if text.strip("\r\n") and text[0] not in "\r\n":
            expected = is_regular(text)
            got = found(text, draw.choice([1, 2, 5, 9, 1000]), monkeypatch)
            assert got.regular is expected, text
            regular += expected
    assert regular > 1000


@pytest.mark.parametrize("chunk", [1, 4, 1000])
@pytest.mark.parametrize(
    ("content", "regular"),
    [
        ("a,b\n1,2\nnote\n", False),
        ("a,b\n1,2\nnote", False),
        ("a,b\n1,2\n\nnote", False),
        ("a,b\n1,2\n\n\n", True),
        ("a,b\n\n1,2\n", False),
        ("a,b\n1,\n,2\n", True),
        ("a,b\n1,2,\n3,4\n", False),
        ("a,b\r\n1,2\r\n3,4", True),
        ("a,b\r\n1,2\n3,4\r\n", False),
        ("a,b\r1,2\r", False),
        ("a\r,b\n1\r,2\n", False),
        ('a,b\n"x,\n""y""",2\n', True),
        ('a,b\n5" x,3" y\n6" x,4" y\n', False),
        ('a,b\n"x" y,2\n', False),
        ('a,b\n"x,2\n3,4\n', False),
        ("a\n1\n\n2\n", True),
    ],
)
def test_what_is_regular(monkeypatch, content, regular, chunk):
    assert found(content, chunk, monkeypatch).regular is regular


def test_what_a_scan_says_of_a_regular_file(monkeypatch):
    said = found('a,b\r\n"x, y",\'z\r\n', 4, monkeypatch)
    assert (said.quoted, said.returns, said.apostrophes) == (True, True, True)
    assert said.longest >= 11
    said = found("a,b\n1,it's\n", 4, monkeypatch)
    assert (said.quoted, said.returns, said.apostrophes) == (False, False, False)


def test_bytes_that_are_not_utf8_are_an_error():
    with pytest.raises(UnicodeDecodeError):
        scan(io.BytesIO("a,b\n1,é\n".encode("cp1252")), ",", '"')


@pytest.mark.parametrize("odd", [["-0.00"], ["-0.00"] * 1500, ["NA", " 1.50", "1.5e1", "-0.00"]])
def test_odd_cells_are_found_beside_rows_that_were_left_out(write, odd):
    cells = [f"{k / 4:.2f}" for k in range(4000)]
    for k, text in enumerate(odd):
        cells[50 + 2 * k] = text
    rows = [f"{x},{k}\n" for k, x in enumerate(cells)]
    rows.insert(20, "x,n\n")
    rows.insert(3000, "x,n\n")
    column = read(write("x,n\n" + "".join(rows) + ",\n,\n"))["x"]
    assert column.storage == "number"
    assert column.cells() == cells
    values = [np.nan if x == "NA" else float(x) for x in cells]
    np.testing.assert_array_equal(column.values, values)


def test_numbers_of_all_sizes_keep_their_text(write):
    draw = np.random.default_rng(0)
    values = draw.choice([-1, 1], 3000) * 10 ** draw.uniform(-320, 308, 3000)
    values = np.concatenate([values, 10 ** draw.uniform(-4, 17, 3000), draw.integers(-9, 9, 99)])
    cells = list(map(repr, values.tolist()))
    odd = ["1e-7", "1e20", "100000000000000000.0", "0.00001", "1.0e5", "0.0010", "1E5"]
    column = read(write("x,n\n" + "".join(f"{x},1\n" for x in [*cells, *odd])))["x"]
    assert column.storage == "number"
    assert column.cells() == [*cells, *odd]
    assert column.values.tolist() == [float(x) for x in [*cells, *odd]]
