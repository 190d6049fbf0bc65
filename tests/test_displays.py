"""Displays in a notebook: all that a user can hold shows itself, whatever its names are."""

from __future__ import annotations

import inspect
import re
import typing
import unicodedata
import xml.etree.ElementTree as ElementTree
from collections.abc import Iterator

import numpy as np
import pytest

import chainrule as cr
from chainrule.data.blocks import Described, Encoded
from chainrule.data.check import Finding, Findings
from chainrule.display.diagram import Picture
from chainrule.display.lineplot import Plot
from chainrule.explain.check import Checked
from chainrule.explain.compare import TraceComparison
from chainrule.explain.gradcheck import GradientReport, GradientRow
from chainrule.explain.steps import TraceStep, TraceSteps
from chainrule.explain.worked import Entry
from chainrule.inspector.page import Page
from chainrule.recipe.reproduce import Reproduction
from chainrule.recipe.search import Search, Trial
from chainrule.report.page import Report
from chainrule.train.metrics import Scores
from chainrule.train.metrics.registry import FoldScores

NAME = "<script>alert('1')</script></table>\"&amp;]]>\u202e\x07 a"
LONG = NAME + "x" * 1_000_000

SETTINGS = {
    "AMSGrad", "Adadelta", "Adagrad", "Adam", "AdamW", "Adamax", "LAMB", "LBFGS", "Lion", "NAdam",
    "Optimizer", "RAdam", "RMSprop", "SGD", "Callback", "EarlyStopping", "Initializer", "Schedule",
    "Record", "Checkpoint", "BlockShuffle", "Shared",
}  # fmt: skip
"""Classes whose objects are shown as the call that makes them."""

PARTS = {
    "Batch", "TensorType", "Scope", "Op", "BestTracker", "Kind", "Task",  # a word or two
    "Histogram", "ColumnRow", "NodeRow", "Outcome", "Picture",  # of a report
    "Given", "Line", "Entry",  # of a sheet
    "Block", "Member", "Stats", "Encoder", "ClassTarget", "NumberTarget", "NumberForm", "Written",
    "Backward", "Contribution",  # of a trace
    "Kept", "Stuck",  # of a recording
    "CheckedLine", "NodeDifference", "Difference",  # of a check, and of two traces
    "Field", "Extremes", "Condensed",  # of a stream
    "Layer", "Weights", "OnRows", "PairedScore", "Disagreement", "Part", "Section",  # of two models
}  # fmt: skip
"""Classes of attributes that the display of their owner shows."""

LATE = (Picture, Plot, Page, Report, Checked, Entry, TraceComparison, TraceStep, TraceSteps)
"""Classes that the modules of their methods import for types alone, as few programs need them."""


def reachable() -> set[type]:
    """The classes of all that the public functions, methods and attributes give."""
    found: set[type] = set()
    for module in (cr, cr.data):
        for name in module.__all__:
            _visit(getattr(module, name), found)
    return found


def _visit(x: object, found: set[type]) -> None:
    if not inspect.isclass(x):
        for given in _classes(_hints(x).get("return")):
            _visit(given, found)
    elif x not in found:
        found.add(x)
        for name, member in inspect.getmembers(x):
            method = (
                member.fget if isinstance(member, property) else getattr(member, "func", member)
            )
            if not name.startswith("_") and callable(method) and not inspect.isclass(method):
                _visit(method, found)
        attributes = [hint for name, hint in _hints(x).items() if not name.startswith("_")]
        items = [y for base in getattr(x, "__orig_bases__", ()) for y in typing.get_args(base)]
        for hint in (*attributes, *items):
            for given in _classes(hint):
                _visit(given, found)


def _hints(x: object) -> dict[str, object]:
    x = inspect.unwrap(x) if callable(x) else x
    for names in (None, {kind.__name__: kind for kind in LATE}):
        try:
            return typing.get_type_hints(x, localns=names)
        except (NameError, TypeError):  # names of typing alone
            continue
    return {}


def _classes(hint: object) -> Iterator[type]:
    for x in (hint, typing.get_origin(hint), *typing.get_args(hint)):
        if inspect.isclass(x) and x.__module__.startswith("chainrule"):
            yield x
    for x in typing.get_args(hint):
        yield from _classes(x)


@pytest.fixture(scope="module")
def shown() -> list[object]:
    """An object of each class, with hostile names where it has names."""
    random = np.random.default_rng(0)
    rows = {
        NAME: random.normal(size=60), "b": random.choice(["<b>", "</td>", NAME], 60),
        "c": random.choice([NAME + "1", "<i>"], 60),
    }  # fmt: skip
    table, long = cr.data.read(rows), cr.data.read({LONG: [1.0, 2.0], "b": [LONG, "</table>"]})
    model = cr.train(table, "c", epochs=2, hidden=[4], refit="no", verbose=False)
    assert model.schema is not None
    report = model.report()
    x = cr.input(LONG, (3,), dtype="float64")
    w = cr.parameter("</svg>" + LONG, np.ones((3, 2)), dtype="float64")
    loss = cr.sum(cr.tanh(x @ w)).named(LONG[::-1])
    feeds = {LONG: [[1.0, 2.0, 3.0]]}
    trace = cr.run(loss, feeds)
    trace.backward(loss)
    small = cr.Model(cr.tanh(x @ w), loss)
    history = small.fit({LONG: random.normal(size=(40, 3))}, epochs=3, verbose=False,
                        validation=None, record=True)  # fmt: skip
    history.append({LONG: 1.0})
    gradients = cr.check_gradients(loss, feeds)
    trial = Trial({LONG: LONG}, report_config := cr.Config(target=LONG), 3, 0.5, ValueError(LONG))
    found = cr.data.check_table(table, "c")
    finding = Finding("error", LONG, LONG, LONG)
    scores = Scores({LONG: 0.5, "r2": float("nan")}, [LONG])
    predictions = model.predict(table)
    return [
        x, w, loss, cr.Graph(loss), small, small.record, small.predictor(), model, trace,
        trace.steps(), trace.steps()[0],
        trace.picture(), gradients, gradients.rows[0], GradientReport(()), history, cr.History(),
        history.plot(), history.plot(LONG), model.plan(), model.summary(), small.summary(),
        small.summary().shown[0], table, long, table[NAME], long["b"], long[LONG], model.schema,
        model.schema.describe()[0], model.schema.encode(table), predictions, found, finding,
        Findings([finding] * 500), report, report.evaluations[0], report.importance, scores,
        FoldScores([scores, Scores({"r2": 1.0})]), Search(model, LONG, (trial,) * 200), trial,
        cr.exercise(variants=1)[0], report_config, trace.check({}),
        trace.compare(cr.run(x, feeds)), compared := cr.compare(model, small), compared.handout(),
        small.profile({LONG: random.normal(size=(64, 3))}, seconds=0.01),
        Reproduction(False, None, {"data": LONG, NAME: NAME}, (NAME,)),
        cr.data.stream({LONG: random.normal(size=(64, 3)), NAME: np.arange(64)}),
    ]  # fmt: skip


def test_all_that_a_user_can_hold_has_a_display(shown):
    classes = {x for x in reachable() if x.__name__ not in SETTINGS | PARTS}
    assert {cr.Model, cr.Graph, cr.data.Table, TraceStep, TraceSteps, GradientRow, Encoded,
            FoldScores, Described, Trial} <= classes  # fmt: skip
    ours = {x for x in classes if not x.__name__.startswith("MLP")}  # scikit-learn shows those
    missing = [x for x in ours if not (hasattr(x, "_repr_html_") or hasattr(x, "_repr_svg_"))]
    assert not missing, "add _repr_html_, or name the class in SETTINGS or PARTS above"
    untested = {x.__name__ for x in ours if not any(isinstance(y, x) for y in shown)}
    untested -= {"Page", "Exercise"}  # pages of their own, with tests of their own
    assert not untested, "add an object of each to `shown` above"


def test_displays_are_well_formed_and_bounded_and_names_are_text(shown):
    for x in shown:
        page = x._repr_html_() if hasattr(x, "_repr_html_") else x._repr_svg_()
        try:
            root = ElementTree.fromstring(page.replace("<br>", "<br/>"))
        except ElementTree.ParseError as error:
            pytest.fail(f"{type(x).__name__}: {error}")
        tags = {element.tag.rpartition("}")[2] for element in root.iter()}
        assert tags <= {
            "div", "table", "caption", "thead", "tbody", "tr", "th", "td", "br", "svg", "title",
            "desc", "style", "g", "rect", "path", "text", "polyline", "circle",
        }, type(x)  # fmt: skip
        assert not [n for e in root.iter() for n in e.attrib if n.startswith(("on", "href", "src"))]
        assert len(page) < 150_000, type(x)
        assert "\u202e" not in page, type(x)
        assert not [c for c in page if unicodedata.category(c) == "Cc" and c != "\n"], type(x)
        for table in root.iter("table"):
            widths = {sum(int(c.get("colspan", 1)) for c in row) for row in table.iter("tr")}
            assert len(widths) <= 1, "rows of equal length"


def test_the_text_is_in_the_display(shown):
    pages = {type(x).__name__: x._repr_html_() for x in shown if hasattr(x, "_repr_html_")}
    for name in ("Table", "Schema", "Predictions", "Findings", "Scores", "Search"):
        assert "&lt;script&gt;alert(&#x27;1&#x27;)&lt;/script&gt;" in pages[name], name
    assert "441 more rows" in pages["Findings"]
    assert "numeric" in pages["GradientReport"]


def test_a_wide_table_is_cut():
    page = cr.data.read({f"c{k}": [1.0, 2.0] for k in range(500)})._repr_html_()
    assert "460 more columns" in page
    assert page.count("<th ") < 30


def test_fold_scores_are_shown_with_mean_and_deviation():
    page = FoldScores([Scores({"rmse": 1.0}), Scores({"rmse": 2.0})])._repr_html_()
    cells = re.findall(r"<td[^>]*>([^<]*)</td>", page)
    assert cells == ["rmse", "1.5", "0.7071", "1", "2"]
