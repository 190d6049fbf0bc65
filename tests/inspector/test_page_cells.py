"""Cells edited in a page: each kind of column is read as Python reads a file with the cell."""

from __future__ import annotations

import csv
import json
import math
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from evaluator import run_node
from playwright.sync_api import Page, expect

import chainrule as cr
from chainrule.data.readers.sources import read
from chainrule.inspector.page import Page as File

FRUIT = ("red apple", "green apple", "ripe banana", "pear, small", "blue plum", "3.0")


def written_at(path: Path, columns: dict[str, list[str]]) -> Path:
    with path.open("w", encoding="utf-8", newline="") as file:
        out = csv.writer(file)
        out.writerow(columns)
        out.writerows(zip(*columns.values(), strict=True))
    return path


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> cr.Model[Any]:
    n, rng = 160, np.random.default_rng(0)
    pick = rng.integers(0, 6, n)
    days = [f"{d:02}.{m:02}.20{y}" for d, m, y in zip(
        rng.integers(1, 29, n), rng.integers(1, 13, n), rng.integers(18, 25, n), strict=True
    )]  # fmt: skip
    parts = [f"{a} {b}" for a in ("senior", "junior", "chief", "lead", "deputy")
             for b in ("data engineer", "clerk", "tax officer", "nurse", "pilot", "cook",
                       "teacher", "tailor", "baker", "judge", "smith", "editor")]  # fmt: skip
    columns = {
        "amount": [f"${x:,.2f}" if x % 7 > 1 else "NA" for x in rng.uniform(1, 9000, n)],
        "weight": [f"{x:.1f} kg".replace(".", ",") for x in rng.uniform(1, 90, n)],
        "share": [f"{x} %" for x in rng.integers(0, 100, n)],
        "born": days,
        "seen": [f"20{x % 20 + 10}-0{x % 9 + 1}-1{x % 10} {x % 24:02}:30:00+02:00"
                 for x in range(n)],
        "stamp": [str(20200101 + int(x)) for x in rng.integers(0, 28, n)],
        "paid": ["yes" if x else "No" for x in rng.integers(0, 2, n)],
        "kind": [FRUIT[x] for x in pick],
        "size": [str(x % 4) for x in range(n)],
        "job": [parts[x % len(parts)] for x in range(n)],
        "told": [f"the {FRUIT[x]} isn't good on day {y} of the week" if y % 5 else ""
                 for x, y in zip(pick, range(n), strict=True)],
        "price": [f"{10 + 3 * x + y:.2f}" for x, y in zip(pick, rng.normal(size=n), strict=True)],
    }  # fmt: skip
    path = written_at(tmp_path_factory.mktemp("cells") / "shop.csv", columns)
    kinds = {"stamp": "date", "size": "category", "job": "category", "told": "text"}
    return cr.train(path, "price", kinds=kinds, quality="fast", epochs=40, verbose=False)


CELLS = {
    "amount": ["$12.50", "1,234.5", "-$3", "(4.5)", "7 €", "1e3", "NA", "?", "", "abc", "1,5",
               "+5", "-0.5", ".5", "12 345", "--3", "nan"],
    "weight": ["3,5 kg", "3.500 kg", "1.163", "kg 7", "12", "x kg", "", "-2,25kg", "1,5", "1.5",
               "1 000,5", "− 3", "-3", "n/a", "7 lb", "0", "99 kg"],
    "share": ["45 %", "45%", "0.5", "%", "100", "", "-", "5 % 5", "(5 %)", "07", "1,000", "12",
              "None", "1_0", "5.", "5,5", "0x10"],
    "born": ["24.12.2023", "1.2.2020", "2023-12-24", "24.12.2023 18:30", "31.02.2020", "",
             "12/24/2023", "24.12.23", "29.02.2024", "29.02.2023", "24.12.2023 6:05 pm",
             "24.12.2023 18:30:15.25 +01:00", "01.01.1950", "gestern", "24. 12.2023", "?",
             "24.12.2023 25:00"],
    "seen": ["2020-02-03 04:05:06+02:00", "2020-02-03", "2020-02-03T04:05", "2020-02-03 04:05Z",
             "2020-02-03 04:05:06.123456", "2020-02-30", "2020-2-3", "", "20200203",
             "2020-02-03 04:05 PM", "1969-12-31 23:59:59", "2020-12-31 23:00-05:30", "2300-06-01",
             "2020-02-03T040506", "now", "2020-02-03 24:00", "0001-01-02"],
    "stamp": ["20200115", "20191231", "2020-01-15", "20200230", "", "2020", "20200115.0", "x",
              "20200101 12:00", "20200131", "20240229", "20230229", "0", "-20200115", "15.01.2020",
              "?", "20200116"],
    "paid": ["yes", "NO", "1", "0", "true", "maybe", "", "Y", "n", "1.0", "on", "N/A", "2", "False",
             "yess", "t", "?"],
    "kind": [*FRUIT, "3", "3.00", "kiwi", "", "NA", "RED APPLE", " red apple ", "null", "?", "-",
             "banana"],
    "size": ["0", "1", "2.0", "3", "4", "", "02", "1.00", "x", "?", "1e0", "+1", "-1", "NA", "3.0",
             "three", "0.0"],
    "job": ["senior clerk", "clerk", "data pilot", "", "Senior Data Engineer", "king", "lead cook",
            "chief  chief", "?", "tax", "junior judge, retired", "smith's", "deputy nurse", "NA",
            "senior", "baker-baker", "x"],
    "told": ["the red apple", "", "Isn't it good?", "BANANA banana week", "nothing here known: qq",
             "naïve Äpfel", "day_7", "on", "isn’t good", "the the the the plum", "?", "NA", "7",
             "good, good; green", "İ pear", "a\nsmall\tpear", "week 3 of day 4"],
}  # fmt: skip


def row_file(folder: Path, k: int) -> Path:
    return written_at(folder / f"row{k}.csv", {name: [cells[k]] for name, cells in CELLS.items()})


def test_every_cell_becomes_what_python_makes_of_it(model: cr.Model[Any], tmp_path: Path) -> None:
    assert model.schema is not None
    forms = {e["column"]: e for e in model.show().document["encoders"]}
    assert forms.keys() == CELLS.keys()
    kinds = {name: form["kind"] for name, form in forms.items()}
    assert {kinds[x] for x in ("born", "seen", "stamp")} == {"date"}
    assert kinds["job"] == "category"
    assert forms["job"]["reading"]["words"]
    source, out = tmp_path / "in.json", tmp_path / "out.json"
    source.write_text(json.dumps([[forms[name], cells] for name, cells in CELLS.items()]), "utf-8")
    run_node("cells.mjs", source, out)
    found = dict(zip(CELLS, json.loads(out.read_text("utf-8")), strict=True))
    for k in range(17):
        arrays = model.schema.encode(read(row_file(tmp_path, k)), "none").arrays
        for name, reads in found.items():
            assert reads[k]["values"] is not None, (name, CELLS[name][k])
            for part, values in zip(forms[name]["parts"], reads[k]["values"], strict=True):
                row = arrays[part["input"]][0]
                expected = np.ravel(row if part["position"] is None else row[part["position"]])
                got = np.array([math.nan if x is None else x for x in values], row.dtype)
                np.testing.assert_allclose(
                    got, expected, 1e-6, 1e-12, err_msg=f"{name}: {CELLS[name][k]!r}"
                )


def predicted(model: cr.Model[Any], path: Path, folder: Path, **cells: str) -> float:
    """Python's prediction for the first row of a file, with some of its cells changed."""
    with path.open(encoding="utf-8", newline="") as file:
        row = next(csv.DictReader(file))
    changed = written_at(folder / "changed.csv", {k: [v] for k, v in (row | cells).items()})
    return float(model.predict(changed).values[0])


def test_an_edited_row_is_predicted_as_by_python(
    model: cr.Model[Any], opened: Page, tmp_path: Path
) -> None:
    path = row_file(tmp_path, 0)
    opened.set_default_timeout(10_000)
    page = model.show(path, rows=0).write(tmp_path / "page.html")
    opened.goto(page.as_uri() + "#view=encoders")
    answer = opened.locator("[data-answer]")
    cells: dict[str, str] = {}
    seen = {answer.inner_text()}
    for name, text in {
        "amount": "1,234.5", "weight": "2,5 kg", "share": "80 %", "born": "24.12.2023 18:30",
        "seen": "", "stamp": "20200115", "told": "a ripe banana isn't blue", "job": "tax pilot",
    }.items():  # fmt: skip
        cells[name] = text
        opened.get_by_label(name, exact=True).fill(text)
        expected = predicted(model, path, tmp_path, **cells)
        assert float(answer.inner_text()) == pytest.approx(expected, abs=6e-4), name
        seen.add(answer.inner_text())
    assert len(seen) >= 8
    for name, text in (("paid", "No"), ("kind", "blue plum"), ("size", "3")):
        opened.get_by_label(name, exact=True).select_option(label=text)
        cells[name] = text
        expected = predicted(model, path, tmp_path, **cells)
        assert float(answer.inner_text()) == pytest.approx(expected, abs=6e-4), name
    expect(opened.get_by_role("button", name="Reset 10 edits")).to_be_enabled()
    born = opened.locator('[data-column="born"]')
    expect(born).to_contain_text("read as 2023-12-24 18:30:00")
    expect(born).to_contain_text("was 24.12.2023")
    opened.get_by_label("born", exact=True).fill("soon")
    expect(born).to_contain_text("not a date read as day.month.year: it counts as a gap")
    before = answer.inner_text()
    opened.get_by_label("amount", exact=True).fill("inf")
    expect(opened.locator('[data-column="amount"]')).to_contain_text("infinity is refused")
    assert answer.inner_text() == before
    opened.get_by_role("button", name="Reset born").click()
    expect(opened.get_by_label("born", exact=True)).to_have_value("24.12.2023")


def test_a_page_says_which_cells_it_cannot_read(
    model: cr.Model[Any], opened: Page, tmp_path: Path
) -> None:
    document = dict(model.show(row_file(tmp_path, 0), rows=0).document)
    document["encoders"] = [
        e | ({"reading": None} if e["column"] == "born" else {}) for e in document["encoders"]
    ]
    opened.goto(File(document).write(tmp_path / "p.html").as_uri() + "#view=encoders")
    expect(opened.locator('[data-column="born"]')).to_contain_text(
        "the page cannot read such cells"
    )
    expect(opened.get_by_label("Target price", exact=True)).to_be_visible()
