"""Pictures of graphs: what is drawn, where, and what is refused."""

from __future__ import annotations

import itertools
import re
import xml.etree.ElementTree as ElementTree

import numpy as np
import pytest

import chainrule as cr
from chainrule.display.layered import layered
from chainrule.errors import GraphError

SVG = "{http://www.w3.org/2000/svg}"
HOSTILE = "<script>alert('\u202e')</script>]]>&amp;\x00\"" + "x" * 1_000_000


def traced(rows: int = 1) -> cr.Trace:
    x = cr.input("x", (2,), dtype="float64")
    w = cr.parameter("w", [[3.7, 2.9], [3.7, 2.9]], dtype="float64")
    h = cr.sigmoid(x @ w).named("h")
    trace = cr.run(cr.sum(h * h).named("E"), {"x": [[1.0, 0.0]] * rows})
    trace.backward("E")
    return trace


def texts(picture) -> list[str]:
    root = ElementTree.fromstring(picture.svg)
    return [x.text or "" for x in root.iter(SVG + "text")]


def shapes(picture, kind: str) -> list[ElementTree.Element]:
    root = ElementTree.fromstring(picture.svg)
    return [x for x in root.iter() if kind in (x.get("class") or "").split()]


def test_a_picture_has_formulas_values_and_gradients():
    found = texts(traced().picture())
    assert "h = sigmoid(matmul)" in found
    assert "E = sum(multiply)" in found
    assert "[0.976, 0.948]" in found
    assert "∂E [1.95, 1.9]" in found, "2 h"
    assert "∂E 1" in found
    assert "∂E: gradient of E by the box, computed backward" in found


def test_formulas_are_expanded_down_to_the_nodes_that_are_chosen():
    picture = traced().picture(nodes=["x", "w", "E"])
    found = texts(picture)
    assert any(x.startswith("E = sum(sigmoid(x @ w) * sigmoid(x @ w)") for x in found)
    assert not any(x.startswith("h =") for x in found)
    assert len(shapes(picture, "head")) == 2, "an arrow from each of x and w"


def test_without_backward_there_are_no_gradients_and_without_values_types():
    x = cr.input("x", (2,))
    h = cr.tanh(x).named("h")
    assert not any("∂" in text for text in texts(cr.run(h, {"x": [[1, 2]]}).picture()))
    for source in (h, [h], cr.Graph(h), cr.Model(h)):
        assert texts(cr.picture(source))[:4] == ["x", "float32(N, 2)", "h = tanh(x)",
                                                 "float32(N, 2)"]  # fmt: skip


def test_kinds_differ_in_shape_as_well_as_colour():
    picture = traced().picture()
    (parameter,) = shapes(picture, "parameter")[:-1]  # the other is the legend's
    (box,) = shapes(picture, "input")[:-1]
    operation = shapes(picture, "operation")[0]
    assert parameter.tag == SVG + "path"
    assert box.tag == operation.tag == SVG + "rect"
    assert float(box.get("rx")) > 5 > float(operation.get("rx"))


def test_a_picture_is_light_and_dark_and_styles_nothing_else():
    svg = traced().picture().svg
    (style,) = re.findall("<style>(.*?)</style>", svg)
    assert ".chainrule-graph:root{color-scheme:light dark}" in style
    assert "--page:#fff" in style, "for a browser without light-dark()"
    assert "--page:light-dark(#fff," in style
    rules = re.findall(r"(?:^|[{}])([^{}@]+)\{", style)
    assert len(rules) > 10
    assert all(rule.startswith(".chainrule-graph") for rule in rules)


def test_a_large_graph_is_drawn_by_layers():
    y = x = cr.input("x", (4,))
    for _ in range(40):
        y = y + cr.dense(cr.layer_norm(y), 4, activation="gelu")
    loss = cr.squared_error(cr.sum(y, axis=1), cr.input("t", ()))
    trace = cr.run(loss, {"x": np.ones((3, 4)), "t": np.zeros(3)})
    trace.backward(loss)
    picture = trace.picture()
    assert len(trace.graph) > 500
    assert 3 < len(shapes(picture, "name")) < 40
    assert f"{trace.value(loss).item():.3g}" in texts(picture), "the loss has its value"
    assert len(shapes(cr.picture(cr.Model(y)), "name")) < 40
    assert "x" in texts(trace.picture(nodes=[x, loss]))
    numbers = [x for x in texts(picture) if x.startswith(("[", "∂squared_error ["))]
    assert len(numbers) > 4
    cut = [x for x in numbers if "…" in x and "parameters" not in x]
    assert not cut, "a number is whole"


def test_large_arrays_and_long_formulas_are_cut():
    x = cr.input("x", (300,))
    y = x
    for _ in range(70):
        y = y * y  # written out, the formula would have 2**70 operands
    trace = cr.run(cr.sum(y).named("E"), {"x": np.ones((50, 300))})
    found = texts(trace.picture(nodes=["x", "E"]))
    assert "[1, 1, 1, ... 50x300]" in found
    assert max(map(len, found)) <= 60


def test_names_are_data():
    x = cr.input(HOSTILE, (2,))
    loss = cr.sum(cr.tanh(x).named(HOSTILE[::-1])).named("]]></text><image href='x'/>")
    trace = cr.run(loss, {HOSTILE: [[1.0, 2.0]]})
    trace.backward(loss)
    for picture in (trace.picture(title=HOSTILE), cr.picture(loss)):
        root = ElementTree.fromstring(picture.svg)
        known = {SVG + x for x in ("svg", "title", "desc", "style", "rect", "g", "path", "text")}
        assert {x.tag for x in root.iter()} == known
        assert len(picture.svg) < 20_000
        assert "\u202e" not in picture.svg


def test_a_picture_is_written_whole_or_not_at_all(tmp_path):
    path = tmp_path / "step.svg"
    picture = traced().picture(path)
    assert path.read_text(encoding="utf-8") == picture.svg == picture._repr_svg_()
    with pytest.raises(FileNotFoundError):
        traced().picture(tmp_path / "missing" / "step.svg")
    assert [x.name for x in tmp_path.iterdir()] == ["step.svg"]


def test_what_cannot_be_drawn_is_refused():
    trace = traced()
    with pytest.raises(GraphError, match="no node is named 'H'"):
        trace.picture(nodes=["H"])
    with pytest.raises(GraphError, match="chooses none"):
        trace.picture(nodes=[])
    with pytest.raises(GraphError, match="not a model, a graph or nodes"):
        cr.picture("step.svg")


@pytest.mark.parametrize("seed", range(20))
def test_boxes_do_not_overlap_and_stand_below_what_they_read(seed):
    random = np.random.default_rng(seed)
    count = int(random.integers(1, 40))
    reads = [
        sorted({int(x) for x in random.integers(0, k, random.integers(0, 4))}) if k else []
        for k in range(count)
    ]
    sizes = [(float(w), float(h)) for w, h in random.uniform(20, 200, (count, 2))]
    layers = layered(sizes, reads, (10.0, 20.0))
    items = {x.box: x for layer in layers for x in layer if x.box is not None}
    assert sorted(items) == list(range(count))
    for k, before in enumerate(reads):
        for x in before:
            assert items[x].y + items[x].height + 19.9 < items[k].y
            ends = {items[x]}
            while items[k] not in ends:  # along the lines, layer by layer
                ends = {y for end in ends for y in end.below}
                assert ends
    for layer in layers:
        for left, right in itertools.pairwise(layer):
            assert left.x + left.width / 2 + 9.9 < right.x - right.width / 2
    assert min(x.x - x.width / 2 for layer in layers for x in layer) == pytest.approx(0)
