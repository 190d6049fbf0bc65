"""The HTML report: what it says, that it stands alone, and that hostile content stays text."""

import math
import re
import subprocess
import sys
import xml.etree.ElementTree as ElementTree
from html.parser import HTMLParser

import numpy as np
import pytest

from chainrule.data.check import Finding
from chainrule.report import charts, results
from chainrule.report.headline import headline
from chainrule.report.page import Report, render
from chainrule.report.results import Importance, Outcome
from chainrule.report.rows import ColumnRow, Histogram, NodeRow
from chainrule.report.words import cell, metric_words
from chainrule.train.history import History
from chainrule.train.metrics import calibration_curve, calibration_error

VOID = {"meta", "rect", "path", "circle", "polyline", "br"}
EVIL = "<script>alert(1)</script>\"'&`{{ 7*7 }}"
MINIMAL = Report(source="a.csv", target="y", task="regression", rows=3)


class Page(HTMLParser):
    """Checks that tags are closed in order, and collects them with their attributes and text."""

    def __init__(self, text):
        super().__init__(convert_charrefs=True)
        self.tags, self.texts, self.open = [], [], []
        self.rows = []
        self.feed(text)
        self.close()
        assert not self.open, self.open

    def handle_starttag(self, tag, attrs):
        self.tags.append((tag, dict(attrs)))
        assert len(attrs) == len(dict(attrs)), f"an attribute of {tag} is given twice"
        if tag == "tr":
            self.rows.append([])
        if tag in ("td", "th"):
            self.rows[-1].append("")
        if tag not in VOID:
            self.open.append(tag)

    def handle_startendtag(self, tag, attrs):
        self.tags.append((tag, dict(attrs)))

    def handle_endtag(self, tag):
        if tag not in VOID:
            assert self.open.pop() == tag

    def handle_data(self, data):
        if "style" not in self.open:
            self.texts.append(data)
        if ("td" in self.open or "th" in self.open) and "svg" not in self.open:
            self.rows[-1][-1] += data

    @property
    def text(self):
        return re.sub(r"\s+", " ", "".join(self.texts))

    def having(self, tag):
        return [attrs for name, attrs in self.tags if name == tag]


def page(**fields):
    defaults = {"source": "a.csv", "target": "y", "task": "classification", "rows": 10}
    return Page(render(Report(**{**defaults, **fields})))


def svg(text):
    """The picture as XML: raises where it is not well formed."""
    return ElementTree.fromstring(text)


def shapes(picture, tag):
    return [element for element in svg(picture).iter() if element.tag.endswith("}" + tag)]


def history(rows):
    past = History()
    for row in rows:
        past.append(row)
    return past


def full(name="a", k=3, n=60):
    rng = np.random.default_rng(3)
    target = np.arange(n) % k
    scores = rng.random((n, k)) + 0.8 * np.eye(k)[target]
    return Report(
        source=f"{name}.csv", target=name, task="classification", rows=n, version="0.1.0", seed=0,
        seconds=1.5, command=f"chainrule train {name}", configuration=f'target = "{name}"',
        split=f"80 % / 20 %, {name}", notes=[f"Stopped early, {name}"],
        columns=[
            ColumnRow(name=name, kind="category", reason=name, treatment=name, gaps=1, distinct=9,
                      levels=[(name, 3), ("b", 2)], rows=5),
            ColumnRow(name="x", kind="number", histogram=Histogram.of([1.0, 2.0, math.nan, 4.0])),
        ],
        findings=[Finding("warning", name, name, name), Finding("info", None, name, "")],
        history=history([{"loss": 1.0, "validation_loss": 2.0, "rate": 0.1, name: 1.0,
                          f"validation_{name}": 2.0},
                         {"loss": 0.5, "validation_loss": 1.0, "rate": 0.05}]),
        metrics={"training": {"accuracy": 0.5, name: 1.0}, name: {"accuracy": math.nan}},
        sizes={"training": 48, name: 12},
        outcome=Outcome("validation", target, scores / scores.sum(axis=1, keepdims=True),
                      tuple(f"{name}{i}" for i in range(k))),
        network=[NodeRow(name, name, f"({name})", 7)], memory=1200,
        importance=Importance("log_loss", "test", 9, 8, ((name, 0.2, 0.1), ("x", -0.1, 0.1))),
        mistakes=[{"actual": name, "predicted": name, "probability": 0.9, "x": 1.5, name: name}],
        next_command=f"chainrule predict {name}",
    )  # fmt: skip


# The page as a whole


def test_the_page_stands_alone():
    text = render(full())
    found = Page(text)
    names = {tag for tag, _ in found.tags}
    assert not names & {"script", "link", "img", "iframe", "object", "embed", "base", "form"}
    for _, attrs in found.tags:
        assert not any(name.startswith("on") or name == "src" for name in attrs)
        assert attrs.get("href", "#").startswith("#")
    assert "url(" not in text
    assert "@import" not in text
    assert set(re.findall(r"https?://[^\"'\s<]+", text)) == {"http://www.w3.org/2000/svg"}
    policy = next(a["content"] for a in found.having("meta") if "http-equiv" in a)
    assert policy == "default-src 'none'; style-src 'unsafe-inline'"


def test_sections_appear_only_with_their_data():
    assert [a["id"] for a in page().having("section")] == []
    ids = [a["id"] for a in Page(render(full())).having("section")]
    assert ids == ["result", "mistakes", "training", "data", "importance", "network", "repeat",
                   "next"]  # fmt: skip
    links = [a["href"] for a in Page(render(full())).having("a")]
    assert links == [f"#{name}" for name in ids]


@pytest.mark.parametrize(
    ("field", "value", "section"),
    [
        ("command", "c", "repeat"), ("configuration", "c", "repeat"), ("split", "s", "data"),
        ("notes", ["n"], "data"), ("next_command", "n", "next"),
        ("columns", [ColumnRow(name="x", kind="number")], "data"),
        ("metrics", {"training": {"loss": 1.0}}, "result"),
        ("network", [NodeRow("n", "o", "()")], "network"),
        ("importance", Importance("r2", columns=(("x", math.nan, 0.1),)), "importance"),
        ("mistakes", [{"actual": 1}], "mistakes"),
        ("history", history([{"loss": 1.0}]), "training"),
        ("outcome", Outcome("test", [1.0, 2.0], [1.0, 2.5]), "result"),
    ],
)  # fmt: skip
def test_each_part_stands_by_itself(field, value, section):
    assert [a["id"] for a in page(**{field: value}).having("section")] == [section]


def test_accessibility_of_the_whole_page():
    found = Page(render(full()))
    assert found.having("html") == [{"lang": "en"}]
    assert all(attrs.get("scope") in ("row", "col") for attrs in found.having("th"))
    assert all("aria-label" in attrs for attrs in found.having("div") if "tabindex" in attrs)
    pictures = re.findall(r"<svg[^>]*>(?:<title>[^<]+</title><desc>[^<]*</desc>)?", render(full()))
    assert len(pictures) > 5
    for start in pictures:
        assert "<title>" in start or "aria-label=" in start or 'aria-hidden="true"' in start
    levels = [int(tag[1]) for tag, _ in found.tags if re.fullmatch("h[1-6]", tag)]
    assert levels[0] == 1
    assert max(np.diff(levels)) <= 1


@pytest.mark.parametrize(
    "name", [EVIL, "größe 漢字 \u202e gnp.exe", "x" * 5000, "two\nlines\ttab", "a\udc80b", " "]
)
@pytest.mark.parametrize("k", [2, 3, 31])
def test_hostile_names_stay_text(name, k):
    text = render(full(name, k=k))
    found = Page(text)
    text.encode("utf-8")
    assert not found.having("script")
    assert not found.having("b")
    assert "49" not in re.findall(r"\b49\b", found.text)
    shown = name.replace("\udc80", "?")
    assert any(attrs.get("title") == shown for _, attrs in found.tags)
    for picture in re.findall(r"<svg.*?</svg>", text):
        svg(picture)


def test_markup_in_names_is_shown_as_it_was_typed():
    found = page(target=EVIL, command=EVIL, notes=[EVIL])
    assert found.text.count(EVIL) >= 4


def test_the_header_shows_the_known_fields():
    found = page(target="species", rows=12345, seed=3, seconds=75, version="0.1.0")
    assert "Rows12,345 Targetspecies" in found.text
    assert "Took1 min 15 s Seed3 Chainrule0.1.0" in found.text
    assert "Seed" not in page().text


def test_a_headline_of_ones_own_takes_precedence():
    found = page(
        headline=["On 9 rows pinball 0.1.", "Second."], outcome=Outcome("test", [1.0], [1.0])
    )
    assert "On 9 rows pinball 0.1. Second." in found.text
    assert "RMSE" not in found.text.split("Data", maxsplit=1)[0]


# Headlines


def test_headline_of_classes_by_hand():
    outcome = Outcome("validation", [0, 0, 1, 1], [[0.9, 0.1], [0.2, 0.8], [0.3, 0.7], [0.1, 0.9]],
                    ("no", "yes"), guess=0)  # fmt: skip
    first, second = headline(outcome)
    assert first.replace("\u00a0", " ") == (
        "75 % of 4 held-out rows classified right; "
        "guessing the most frequent class, no, gives 50 %."
    )
    # Wilson: z^2 = 3.8415, n = 4: (0.75 + z^2/8 -+ z sqrt(0.1875/4 + z^2/64)) / (1 + z^2/4)
    assert second.replace("\u00a0", " ") == "From 4 rows, the 95 % interval is 30.1 % to 95.4 %."


def test_headline_of_a_single_row():
    said = headline(Outcome("validation", [2.0], [1.5], guess=1.0))
    assert said[0].startswith("RMSE 0.5, MAE 0.5 on 1 held-out row; predicting the mean, 1,")
    said = headline(Outcome("test", [1], [[0.1, 0.9]], ("a", "b")))
    assert " of 1 test row classified right" in said[0]
    assert any(line.startswith("From 1 row, ") for line in said)


def test_headline_says_when_a_guess_is_as_good():
    outcome = Outcome("test", [0, 0, 1], [[0.9, 0.1]] * 3, ("a", "b"))
    assert "The network does no better than that guess." in headline(outcome)
    outcome = Outcome("test", [1.0, 2.0, 3.0], [2.0, 2.0, 2.0])
    assert "The network does no better than that guess." in headline(outcome)


def test_headline_of_numbers_by_hand():
    outcome = Outcome("validation", [1.0, 2.0, 3.0, 6.0], [1.0, 2.0, 4.0, 4.0], guess=2.0)
    # errors 0 0 1 -2: rmse sqrt(5/4), mae 3/4; r2 = 1 - 5/14; constant 2: -1 0 1 4
    assert headline(outcome) == (
        "RMSE 1.118, MAE 0.75, R² 0.6429 on 4 held-out rows; predicting the mean, 2, for every row "
        "gives RMSE 2.121 and MAE 1.5.",
        "4 rows: too few to tell how sure that is.",
    )


def test_headline_warns_of_training_rows():
    outcome = Outcome("training", [1.0, 2.0], [1.0, 2.1])
    assert headline(outcome)[-1] == (
        "These are the rows it was trained on: new rows may fare worse."
    )


def test_several_outputs_have_a_headline_and_no_charts():
    outcome = Outcome("test", [[1.0, 10.0], [3.0, 30.0]], [[1.0, 10.0], [3.0, 31.0]])
    assert "predicting the means for every row gives RMSE 5.5 " in headline(outcome)[0]
    assert results.figures(outcome, "y") == []


def test_predictions_that_are_not_finite_are_counted_and_not_drawn():
    scores = np.full((5, 2), 0.5)
    scores[1, 0] = scores[3] = math.nan
    outcome = Outcome("validation", [0, 1, 0, 1, 0], scores, ("a", "b"))
    found = page(outcome=outcome)
    assert "For 2 of 5 held-out rows the prediction is not a finite number" in found.text
    assert not found.having("svg")
    assert "not a finite number" in page(outcome=Outcome("test", [1.0], [math.inf])).text


def test_no_rows_say_nothing():
    outcome = Outcome("validation", [], np.zeros((0, 2)), ("a", "b"))
    assert headline(outcome) == ()
    assert not page(outcome=outcome).having("section")


# Classes


def test_confusion_matrix_holds_the_counts_and_shares_of_rows():
    rng = np.random.default_rng(1)
    target, scores = rng.integers(0, 4, 50), rng.random((50, 4))
    outcome = Outcome("test", target, scores, ("a", "b", "c", "d"))
    cells = results.confusion(outcome)
    for i in range(4):
        for j in range(4):
            rows = int(((target == i) & (scores.argmax(axis=1) == j)).sum())
            assert cells[i][j] == results.Cell(rows, rows / (target == i).sum(), i == j)
    found = page(outcome=outcome)
    row = next(row for row in found.rows if row[0] == "c")
    assert row[1:] == [f"{c.rows}{charts.percent(c.share)}" if c.rows else "0" for c in cells[2]]


@pytest.mark.parametrize(("k", "matrix"), [(2, True), (9, True), (30, True), (31, False)])
def test_many_classes_show_pairs_instead_of_the_matrix(k, matrix):
    target = np.arange(4 * k) % k
    scores = np.eye(k)[target]
    scores[: k // 2] = np.eye(k)[(target[: k // 2] + 1) % k]
    found = page(outcome=Outcome("test", target, scores, tuple(f"c{i}" for i in range(k))))
    tables = [attrs.get("class", "") for attrs in found.having("table")]
    assert any("confusion" in name for name in tables) == matrix
    assert ("Most often confused" in found.text) == (k > 8)


def test_mixups_by_hand():
    outcome = Outcome("test", [0, 0, 0, 0, 1, 2], np.eye(3)[[0, 1, 1, 2, 0, 2]], ("a", "b", "c"))
    assert results.mixups(outcome, 2) == [
        results.Mixup("a", "b", 2, 0.5), results.Mixup("a", "c", 1, 0.25)
    ]  # fmt: skip
    assert len(results.mixups(outcome, 20)) == 3


def test_class_scores_by_hand():
    outcome = Outcome("test", [0, 0, 0, 1], np.eye(3)[[0, 0, 1, 1]], ("a", "b", "c"))
    assert results.class_scores(outcome) == [
        results.ClassScore("a", 1.0, 2 / 3, 0.8, 3),
        results.ClassScore("b", 0.5, 1.0, 2 / 3, 1),
        results.ClassScore("c", 0.0, 0.0, 0.0, 0),
    ]


def test_long_names_of_classes_that_end_differently_are_told_apart():
    names = [f"a class with a long name that ends with {k}" for k in ("one", "two")]
    outcome = Outcome("test", [0, 1], [[0.9, 0.1], [0.6, 0.4]], tuple(names))
    text = render(Report(source="a", target="b", task="classification", rows=2, outcome=outcome))
    columns = [" ".join(x.split()) for x in re.findall(r"<span>(a class[^<]*)</span>", text)]
    assert columns == ["a class wi...ds with one", "a class wi...ds with two"]


def test_a_hundred_classes_show_the_worst_first_and_fold_the_rest():
    rng = np.random.default_rng(2)
    target = rng.integers(0, 100, 2000)
    scores = rng.random((2000, 100)) + np.eye(100)[target]
    outcome = Outcome("test", target, scores, tuple(f"class {i}" for i in range(100)))
    values = [score.f1 for score in results.class_scores(outcome)]
    assert values == sorted(values)
    found = page(outcome=outcome)
    assert "70 more" in found.text
    assert sum(row[0].startswith("class ") and len(row) == 5 for row in found.rows) == 100


def test_probabilities_of_the_second_class_alone_are_the_same():
    target, score = [0, 1, 1, 0], np.array([0.2, 0.7, 0.4, 0.6])
    both = Outcome("test", target, np.stack([1 - score, score], axis=1), ("a", "b"))
    alone = Outcome("test", target, score, ("a", "b"))
    assert render(Report(source="s", target="t", task="c", rows=4, outcome=both)) == render(
        Report(source="s", target="t", task="c", rows=4, outcome=alone)
    )


def test_calibration_bins_by_hand():
    score = np.array([0.0, 0.05, 0.1, 0.95, 1.0])
    said, share, rows = calibration_curve([0, 1, 0, 1, 1], score, bins=10)
    assert rows.tolist() == [3, 0, 0, 0, 0, 0, 0, 0, 0, 2]
    assert said[[0, 9]].tolist() == pytest.approx([0.05, 0.975])
    assert share[[0, 9]].tolist() == pytest.approx([1 / 3, 1.0])


@pytest.mark.parametrize("k", [2, 4])
def test_the_calibration_error_is_the_mean_gap_of_the_chart(k):
    rng = np.random.default_rng(1)
    prediction = rng.dirichlet([0.3] * k, 400)
    target = rng.integers(0, k, 400)
    outcome = Outcome("test", target, prediction, tuple("abcd"[:k]))
    drawn = re.findall(r"said ([\d.]+)\s%, was ([\d.]+)\s%, ([\d,]+) rows",
                       results.figures(outcome, "y")[0].svg.split("</title>")[0] +
                       results.figures(outcome, "y")[0].svg.split("<desc>")[1])  # fmt: skip
    points = {(float(x), float(y), int(n)) for x, y, n in drawn}
    gap = sum(abs(x - y) * n for x, y, n in points) / sum(n for *_, n in points)
    assert gap / 100 == pytest.approx(calibration_error(target, prediction), abs=0.01)


def test_roc_by_hand():
    score = np.array([0.9, 0.8, 0.8, 0.3])
    false, true, chosen = results._roc(score, np.array([True, True, False, False]), score > 0.5)
    assert false.tolist() == [0, 0, 0.5, 1]
    assert true.tolist() == [0, 0.5, 1, 1]
    assert chosen == (0.5, 1.0)


def test_one_class_held_out_has_no_roc():
    outcome = Outcome("test", [1, 1], [[0.2, 0.8], [0.6, 0.4]], ("a", "b"))
    assert [figure.title for figure in results.figures(outcome, "y")] == ["Calibration"]


def test_wilson_interval_against_known_values():
    assert charts.wilson(0, 10) == pytest.approx((0.0, 0.2775), abs=5e-5)
    assert charts.wilson(5, 10) == pytest.approx((0.2366, 0.7634), abs=5e-5)
    assert charts.wilson(10, 10) == pytest.approx((0.7225, 1.0), abs=5e-5)


# Charts


def test_scatter_places_points_on_the_line_where_they_are_equal():
    picture = charts.scatter([0.0, 5.0, 10.0], [0.0, 5.0, 8.0], x_label="x", y_label="y",
                             title="t", reference="equal")  # fmt: skip
    line = next(p for p in shapes(picture, "path") if p.get("stroke-dasharray"))
    x0, y0, x1, y1 = map(float, re.match(r"M(\S+) (\S+)L(\S+) (\S+)", line.get("d")).groups())
    points = [(float(c.get("cx")), float(c.get("cy"))) for c in shapes(picture, "circle")]
    above = [y0 + (x - x0) / (x1 - x0) * (y1 - y0) - y for x, y in points]
    assert above[:2] == pytest.approx([0, 0], abs=0.2)
    assert above[2] < -10  # 8 lies below the line, and pixels count downwards


def test_scatter_leaves_out_the_far_few_and_says_so():
    x = np.append(np.linspace(0, 1, 100), [1e6])
    y = np.append(np.linspace(0, 1, 100), [math.nan])
    picture = charts.scatter(x, y, x_label="x", y_label="y", title="t", reference="zero")
    assert len(shapes(picture, "circle")) == 100
    assert "outliers not shown: 1" in picture


@pytest.mark.parametrize("n", [2000, 2001, 50_000])
def test_a_scatter_of_many_rows_stays_small(n):
    rng = np.random.default_rng(0)
    x = rng.normal(size=n)
    picture = charts.scatter(x, x + rng.normal(size=n), x_label="x", y_label="y", title="t",
                             reference="equal")  # fmt: skip
    svg(picture)
    assert len(shapes(picture, "circle")) == (n if n <= charts.MAX_SCATTER_POINTS else 0)
    assert ("up to" in picture) == (n > charts.MAX_SCATTER_POINTS)
    assert len(picture) < 200_000


def test_density_counts_its_fullest_cell():
    x = np.concatenate([np.zeros(3000), np.linspace(-1, 1, 21)])
    picture = charts.scatter(x, x, x_label="x", y_label="y", title="t", reference="zero")
    assert "up to 3,001 in a cell" in picture


def test_histogram_counts_every_row_once():
    values = np.random.default_rng(0).normal(size=500)
    bars = shapes(charts.histogram(values, x_label="error", title="t"), "rect")
    counts = [int(re.search(r": ([\d,]+) rows", bar[0].text)[1]) for bar in bars]
    assert sum(counts) == 500
    heights = [float(bar.get("height")) for bar in bars]
    assert heights == pytest.approx(np.array(counts) / max(counts) * max(heights), abs=0.2)


@pytest.mark.parametrize(
    "values", [[], [0.0], [1.0] * 9, [1e300, -1e300], [1e-310, 0.0], [math.nan], [1e15, 1e15 + 0.1]]
)
def test_charts_of_odd_numbers_are_drawn(values):
    svg(charts.histogram(values, x_label="x", title="t"))
    for reference in ("equal", "zero"):
        svg(
            charts.scatter(values, values, x_label="x", y_label="y", title="t", reference=reference)
        )
    assert Histogram.of(values) is None or sum(Histogram.of(values).counts) == len(values)


def test_roc_chart_of_a_million_rows_stays_small():
    rate = np.linspace(0, 1, 1_000_000)
    picture = charts.roc(rate, np.sqrt(rate), 2 / 3, (0.25, 0.5))
    assert len(picture) < 40_000
    assert "area under the curve 0.6667" in picture
    points = shapes(picture, "polyline")[0].get("points").split()
    frame = charts.Frame(charts.WIDTH, charts.HEIGHT, (0.0, 1.0), (0.0, 1.0))
    for at, point in ((0, points[0]), (1, points[-1])):
        drawn = tuple(map(float, point.split(",")))
        assert drawn == pytest.approx((frame.px(at), float(frame.py(at))), abs=0.51)


def test_histogram_of_a_column_counts_by_hand():
    found = Histogram.of([0, 0.1, 0.5, 1.0, math.nan, math.inf], bins=2)
    assert found == Histogram("0", "1", (2, 2))
    assert Histogram.of([]) is None
    assert Histogram.of([7, 7], bins=3) == Histogram("7", "7", (0, 2, 0))


def test_few_integers_have_a_bar_each():
    assert Histogram.of([2, 2, 3, 5], "words") == Histogram("2", "5", (2, 1, 0, 1), "words")
    assert len(Histogram.of([0, 1000, 1001]).counts) == 24


def test_percent_of_shares():
    shares = {1.0: "100 %", 0.9211: "92.1 %", 0.0: "0 %", 0.4401: "44 %", math.nan: "unknown"}
    for share, shown in shares.items():
        assert charts.percent(share).replace("\u00a0", " ") == shown


# Tables


def test_metrics_are_aligned_and_say_which_way_is_better():
    found = page(metrics={"training": {"auc": 0.91, "rmse": 1234.6, "own": 2.0},
                          "test": {"auc": math.nan, "rmse": 99.126}})  # fmt: skip
    rows = {row[0].split("how")[0].split("root")[0]: row[1:] for row in found.rows}
    assert rows["AUC"] == ["0.9100", "–", "higher"]
    assert rows["RMSE"] == ["1235", "99", "lower"]
    assert rows["own"] == ["2.000", "–", ""]


def test_five_hundred_columns_fold():
    columns = [ColumnRow(name=f"pixel{i}", kind="number", histogram=Histogram.of([i, i + 1.0]))
               for i in range(500)]  # fmt: skip
    found = page(columns=columns)
    assert "460 more" in found.text
    assert "Columns500" in found.text
    assert sum(row[0].startswith("pixel") for row in found.rows) == 500


def test_levels_of_a_category_are_shown_with_their_shares():
    column = ColumnRow(name="c", kind="category", distinct=7, rows=200,
                       levels=[("a", 100), ("b", 50), ("c", 20), ("d", 10), ("e", 5)])  # fmt: skip
    text = page(columns=[column]).text.replace("\u00a0", " ")
    assert "a 50 %, b 25 %, c 10 %, d 5 %, 3 more" in text


def test_importance_is_sorted_and_survives_nan():
    found = page(
        importance=Importance(
            "r2",
            columns=(("a", -0.1, 0.1), ("b", math.nan, math.nan), ("c", 0.5, 0.2), ("d", 0.1, 0.2)),
        )
    )
    assert [row[:3] for row in found.rows[1:]] == [
        ["c", "0.5000", "0.2000"], ["d", "0.1000", "0.2000"], ["a", "-0.1000", "0.1000"],
        ["b", "–", "–"],
    ]  # fmt: skip
    bars = [tag for tag, attrs in found.tags if tag == "svg"]
    assert len(bars) == 1, "only c is beyond its spread"


def test_mistakes_show_the_answer_first_and_the_columns_that_matter():
    columns = [ColumnRow(name=f"x{i}", kind="number") for i in range(30)]
    row = {**{f"x{i}": float(i) for i in range(30)}, "actual": "a", "predicted": None}
    found = page(
        columns=columns,
        importance=Importance("r2", columns=(("x17", 0.9, 0.1), ("x3", 0.5, 0.1))),
        mistakes=[row] * 12,
    )
    head, first = found.rows[0], found.rows[1]
    assert head == ["actual", "predicted", "x17", "x3", "x0", "x1", "x2", "x4", "x5", "x6"]
    assert first == ["a", "–", "17", "3", "0", "1", "2", "4", "5", "6"]
    assert "22 of their columns are left out" in found.text
    assert sum(row[0] == "a" for row in found.rows) == 10


def test_network_sums_its_parameters():
    nodes = [NodeRow("w", "parameter", "(64, 32)", 2048), NodeRow("h", "relu", "(N, 32)")]
    text = page(network=nodes, memory=3_400_000).text
    assert "2,048 parameters in 2 nodes; training took 3.40 MB of memory." in text


def test_findings_name_column_and_remedy():
    text = page(findings=[Finding("error", "x", "is constant", "drop it"),
                          Finding("info", None, "few rows", "")]).text  # fmt: skip
    assert "error x: is constant Try: drop it note few rows" in text


# Curves


def test_curves_of_loss_metrics_and_a_rate_that_varies():
    def titles(rows):
        found = render(Report(source="a", target="y", task="t", rows=1, history=history(rows)))
        return re.findall(r"<h3>(.*?)</h3>", found)

    rows = [{"loss": 1.0, "validation_loss": 1.0, "auc": 0.5, "validation_auc": 0.5, "rate": 0.1}]
    assert titles(rows * 2) == ["Loss", "AUC"]
    assert titles([*rows, {**rows[0], "rate": 0.05}]) == ["Loss", "AUC", "Learning rate"]


def test_the_best_epoch_is_marked():
    rows = [{"loss": 3.0, "validation_loss": v} for v in (3.0, 1.0, 2.0)]
    assert "best epoch 2" in page(history=history(rows)).text


@pytest.mark.parametrize("past", [None, History(), history([{"loss": math.nan}])])
def test_an_empty_or_broken_history_does_no_harm(past):
    found = page(history=past)
    assert bool(found.having("section")) == (past is not None and len(past) > 0)


# The file


def test_write_leaves_the_whole_file_and_nothing_else(tmp_path):
    path = tmp_path / "report.html"
    path.write_text("old")
    assert MINIMAL.write(path) == path
    assert path.read_text(encoding="utf-8") == render(MINIMAL)
    assert [p.name for p in tmp_path.iterdir()] == ["report.html"]
    with pytest.raises(OSError, match="nowhere"):
        MINIMAL.write(tmp_path / "nowhere" / "report.html")


def test_the_same_run_gives_the_same_bytes():
    assert render(full()) == render(full())


def test_jinja_is_loaded_late():
    code = "import sys, chainrule.report; sys.exit('jinja2' in sys.modules)"
    subprocess.run([sys.executable, "-c", code], check=True)


# Words


def test_words_of_metrics_and_cells():
    assert metric_words("validation_auc") == "validation AUC"
    assert metric_words("log_loss") == "log loss"
    assert [cell(v) for v in (None, math.nan, 0.123456, np.float32(2), 2008, "x", True)] == [
        "–", "–", "0.1235", "2", "2008", "x", "True"
    ]  # fmt: skip
