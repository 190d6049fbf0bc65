"""Polluted copies of a clean CSV file: one kind of damage each, at each place where it can be."""

from __future__ import annotations

import csv
import io
from collections.abc import Iterator
from dataclasses import dataclass

HEADER = ["town", "day", "visits", "rate", "remark"]
ROWS = [
    ["Aberford", "2023-04-01", "120", "0.25", "rain, later sun"],
    ["Brimfield", "2023-04-02", "87", "1.5", "quiet"],
    ["Castle Combe", "2023-04-03", "240", "0.75", 'the "old" fair'],
    ["Dunster", "2023-04-04", "31", "2.125", "none at all"],
    ["Eynsham", "2023-04-05", "405", "0.5", "market, parade"],
    ["Frome", "2023-04-06", "98", "3.5", "wind"],
    ["Grasmere", "2023-04-07", "150", "0.125", "lake path closed"],
]
TABLE = [HEADER, *ROWS]
PLAIN = [[cell.replace(",", " and").replace('"', "") for cell in row] for row in TABLE]
"""The table without cells that need quotes."""
GAPPY = [["a", "b", "c"], ["1", "2", "3"], ["4", "5", ""], ["7", "", "9"], ["", "8", "6"]]


@dataclass(frozen=True)
class Polluted:
    """A polluted file: what was done to it, its bytes, and the table that it should give.

    `right` says that it has to be read as that table; else a note or a refusal will do.
    """

    name: str
    content: bytes
    clean: list[list[str]]
    right: bool = False


def written(table: list[list[str]], end: str = "\n", **dialect: object) -> str:
    """The text of a table."""
    out = io.StringIO()
    csv.writer(out, lineterminator=end, **dialect).writerows(table)  # type: ignore[arg-type]
    return out.getvalue()


def polluted() -> Iterator[Polluted]:
    """All polluted files."""
    yield from whole_files()
    yield from encodings()
    yield from around_the_table()
    yield from headers()
    for label, table in (("full", TABLE), ("plain", PLAIN), ("gappy", GAPPY)):
        yield from rows(label, table)


def whole_files() -> Iterator[Polluted]:
    """Other delimiters, quotes, escapes and line ends in all rows."""

    def file(name: str, text: str, table: list[list[str]] = TABLE, right: bool = True) -> Polluted:
        return Polluted(name, text.encode(), table, right)

    for end in ("\n", "\r\n", "\r"):
        for delimiter in ";\t|^~:!#&\x01":
            text = written(TABLE, end, delimiter=delimiter)
            yield file(f"delimiter {delimiter!r} ends {end!r}", text)
        yield file(f"no end at the end {end!r}", written(TABLE, end).rstrip("\r\n"))
        yield file(f"blank lines at the end {end!r}", written(TABLE, end) + end * 3)
        yield file(f"blank lines at the start {end!r}", end * 2 + written(TABLE, end))
        yield file(f"all quoted {end!r}", written(TABLE, end, quoting=csv.QUOTE_ALL))
    lines = written(PLAIN).split("\n")
    ends = ["\r\n", "\n", "\r"]
    mixed = "".join(line + ends[k % 3] for k, line in enumerate(lines[:-1]))
    yield file("mixed line ends", mixed, PLAIN)
    for k in range(len(PLAIN)):
        for odd in ("\r\n", "\r"):
            text = "".join(x + (odd if i == k else "\n") for i, x in enumerate(lines[:-1]))
            yield file(f"line {k + 1} ends with {odd!r}", text, PLAIN)
    for quote in "'`$/":
        for mode in (csv.QUOTE_MINIMAL, csv.QUOTE_ALL, csv.QUOTE_NONNUMERIC):
            text = written(TABLE, quotechar=quote, quoting=mode)
            yield file(f"quote {quote} mode {mode}", text, right=mode != csv.QUOTE_MINIMAL)
    for delimiter in ",;\t":
        text = written(TABLE, delimiter=delimiter, escapechar="\\", doublequote=False)
        yield file(f"escaped quotes {delimiter!r}", text)
        text = written(TABLE, delimiter=delimiter, escapechar="\\", quoting=csv.QUOTE_NONE)
        yield file(f"escaped delimiters {delimiter!r}", text)
    for pair in ("::", "||", "~~", ", ", "; "):
        yield file(f"delimiter {pair!r}", written(PLAIN).replace(",", pair), PLAIN)
    spaced = [
        [f'"{cell}"' if "," in cell or '"' in cell else cell for cell in row] for row in TABLE
    ]
    text = "".join(", ".join(row) + "\n" for row in spaced).replace('"old"', '""old""')
    yield file("a space behind each delimiter", text)
    bare = [[cell.replace(" ", "_") for cell in row] for row in PLAIN]
    yield file("spaces", "".join(" ".join(row) + "\n" for row in bare), bare)
    yield file("columns of equal width", "".join(
        "".join(f"{cell:<20}" for cell in row) + "\n" for row in PLAIN), PLAIN)  # fmt: skip


def encodings() -> Iterator[Polluted]:
    """Encodings with and without marks."""
    table = [["straße", "größe", "y"], ["Grüner Weg", "4,5", "1"], ["Süße Gasse", "2,5", "0"]]
    for name in ("utf-8", "utf-8-sig", "utf-16", "utf-16-le", "utf-16-be", "utf-32", "cp1252"):
        yield Polluted(f"encoding {name}", written(table).encode(name), table, right=True)
    cyrillic = [["город", "кто", "y"], ["Москва", "Анна", "1"], ["Казань", "Борис", "0"]]
    for name in ("cp1251", "koi8-r", "cp866"):
        yield Polluted(f"encoding {name}", written(cyrillic).encode(name), cyrillic, right=True)
    japanese = [["名前", "都市", "y"], ["田中さん", "東京", "1"], ["鈴木さん", "大阪", "0"]]
    for name in ("shift_jis", "euc_jp"):
        yield Polluted(f"encoding {name}", written(japanese).encode(name), japanese, right=True)
    chinese = [["姓名", "城市", "y"], ["张伟", "北京", "1"], ["王芳", "上海", "0"]]
    yield Polluted("encoding gbk", written(chinese).encode("gbk"), chinese, right=True)


def around_the_table() -> Iterator[Polluted]:
    """Lines above, below and between the rows; several tables."""
    text = written(TABLE)
    padding = "," * (len(HEADER) - 1)
    for name, above in {
        "a title": "Visits of spring\n", "a title and a blank line": "Visits, by town\n\n",
        "two titles": "Visits\nAll towns of the county\n\n", "a comment": "# made by hand\n",
        "a padded title": f"Visits of spring{padding}\n{padding}\n",
        "a padded blank line": f"{padding}\n", "a blank line": "\n", "spaces": "   \n",
    }.items():  # fmt: skip
        yield Polluted(f"above: {name}", (above + text).encode(), TABLE, right=name != "spaces")
    for name, below in {
        "a source": "Source: the county\n", "a blank line and a source": "\nSource: x, y\n",
        "padded blank lines": f"{padding}\n{padding}\n", "a padded source": f"Source: x{padding}\n",
        "a comment": "# end\n", "a sum": "Total,,1131,8.75,\n", "two blank lines": "\n\n",
        "a note of three lines": "\n* means an estimate\n** means a guess\nby hand\n",
    }.items():  # fmt: skip
        right = name not in ("a padded source", "a sum")
        yield Polluted(f"below: {name}", (text + below).encode(), TABLE, right=right)
    other = [["shop", "owner", "since"], ["Bell", "Ann Lee", "1990"], ["Crown", "Bo Ray", "2001"]]
    for between in ("", "\n", "\n\n", "Shops\n", "\nShops\n"):
        for name, second in {
            "narrower": other, "the same": TABLE, "wider": [[*r, *r, *r] for r in other],
            "as wide": [["shop", "owner", "since", "rooms", "note"],
                        *([*r[:3], "12", "a"] for r in other[1:])],
        }.items():  # fmt: skip
            content = text + between + written(second)
            clean = TABLE + second[1:] if name == "the same" else TABLE
            yield Polluted(f"a second table, {name}, after {between!r}", content.encode(), clean)
    lines = text.splitlines(keepends=True)
    for k in range(1, len(lines)):
        content = "".join([*lines[:k], "\n", *lines[k:]])
        yield Polluted(f"a blank line above line {k + 1}", content.encode(), TABLE, right=True)
        content = "".join([*lines[:k], "# a remark\n", *lines[k:]])
        yield Polluted(f"a comment above line {k + 1}", content.encode(), TABLE, right=True)


def headers() -> Iterator[Polluted]:
    """Headers that are absent, of two rows, with units, with names twice or missing; few cells."""
    body, empty = written(ROWS), Polluted("empty", b"", TABLE)
    yield empty
    numbered = [[f"x{i}" for i in range(len(HEADER))], *ROWS]
    yield Polluted("no header", body.encode(), numbered, right=True)
    yield Polluted("the header alone", written([HEADER]).encode(), TABLE)
    yield Polluted("one row", written(TABLE[:2]).encode(), TABLE[:2], right=True)
    groups = ["place", "", "numbers", "", ""]
    yield Polluted("groups above the names", written([groups, *TABLE]).encode(), TABLE)
    yield Polluted(
        "two rows of names", written([["A", "B", "C", "D", "E"], *TABLE]).encode(), TABLE
    )
    units = ["", "", "persons", "per hour", ""]
    yield Polluted("units", written([HEADER, units, *ROWS]).encode(), TABLE, right=True)
    yield Polluted("two units", b"a,b\nkg,m\n1,2\n", [["a", "b"], ["1", "2"]], right=True)
    yield Polluted("one unit", b"who,b\n,(kg)\nann,2\nbob,3\n",
                   [["who", "b"], ["ann", "2"], ["bob", "3"]], right=True)  # fmt: skip
    for k in range(len(HEADER)):
        twice = [*HEADER[:k], HEADER[(k + 1) % len(HEADER)], *HEADER[k + 1 :]]
        yield Polluted(f"name {k + 1} twice", written([twice, *ROWS]).encode(), TABLE)
        blank = [*HEADER[:k], "", *HEADER[k + 1 :]]
        yield Polluted(f"name {k + 1} blank", written([blank, *ROWS]).encode(), TABLE)
    years = [["Country", "2001", "2002", "2003"], ["A", "1", "2", "3"], ["B", "5", "6", "7"]]
    yield Polluted("years as names", written(years).encode(), years, right=True)
    wide = [[f"c{i}" for i in range(600)], [str(i) for i in range(600)]]
    yield Polluted("600 columns", written(wide).encode(), wide, right=True)
    texts = [["quote"], ["Hello, world"], ["plain"], ["one, two, three"], ["end"]]
    bare = "\n".join(row[0] for row in texts)
    yield Polluted("one column of bare texts", bare.encode(), texts, right=True)
    yield Polluted("one column", b"x\n1\n2\n3\n", [["x"], ["1"], ["2"], ["3"]], right=True)
    persons = [["name"], ["Smith, John"], ["Doe, Jane"]]
    yield Polluted("one column of names", b"name\nSmith, John\nDoe, Jane\n", persons, right=True)
    yield Polluted("one column of times", b"time\n12:30\n13:45\n", [["time"], ["12:30"], ["13:45"]],
                   right=True)  # fmt: skip
    yield Polluted("a blank first line", b"\nx,y\n0,1\n1,3\n", [["x", "y"], ["0", "1"], ["1", "3"]],
                   right=True)  # fmt: skip
    yield Polluted("each row ends with a delimiter", b"a,b\n1,2,\n3,4,\n",
                   [["a", "b"], ["1", "2"], ["3", "4"]], right=True)  # fmt: skip
    yield Polluted("a name is missing", b"a b,c\n1,2,\n3,4,\n",
                   [["a", "b", "c"], ["1", "2", ""], ["3", "4", ""]])  # fmt: skip


def rows(label: str, table: list[list[str]]) -> Iterator[Polluted]:
    """One delimiter, quote or cell too many or too few, at each place of each row."""
    lines = written(table).splitlines()
    for k, line in enumerate(lines):
        for name, other in _broken(line, table[k]):
            content = "\n".join([*lines[:k], other, *lines[k + 1 :]]) + "\n"
            yield Polluted(f"{label}, line {k + 1}: {name}", content.encode(), table)
        if k:
            content = "\n".join([*lines[: k - 1], lines[k - 1] + line, *lines[k + 1 :]]) + "\n"
            yield Polluted(f"{label}, line {k} has no end", content.encode(), table)


def _broken(line: str, cells: list[str]) -> Iterator[tuple[str, str]]:
    """A line with one thing wrong, and what it is."""
    for i, char in enumerate(line):
        if char == "," and line.count('"', 0, i) % 2:
            continue  # part of a cell
        if char in ',"':
            yield f"without {char} at {i + 1}", line[:i] + line[i + 1 :]
            yield f"with {char} twice at {i + 1}", line[:i] + char + line[i:]
        if char == ",":
            for other in "; ":
                yield f"with {other!r} for , at {i + 1}", line[:i] + other + line[i + 1 :]
    yield "with , at its start", "," + line
    yield "with , at its end", line + ","
    yield 'with " at its start', '"' + line
    yield 'with " at its end', line + '"'
    yield "in other quotes", ",".join(f"'{cell}'" for cell in cells)
    yield "with other delimiters", ";".join(cells)
    yield "with escaped quotes", line.replace('""', '\\"')
    yield "short", ",".join(cells[:-1])
    yield "its first half", line[: len(line) // 2]
