"""Traces compared node by node: the first that differs, by how much, and what only one has."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

import chainrule as cr
from chainrule.errors import SettingError
from chainrule.explain import lecture
from chainrule.explain.compare import Difference


def trace(loss: bool = True, **values: object) -> cr.Trace:
    made = cr.run(lecture.network()["E"], lecture.EXAMPLE, values=values)
    if loss:
        made.backward("E")
    return made


def test_equal_traces_do_not_differ() -> None:
    found = trace().compare(trace())
    assert not found
    assert found.first is None
    assert str(found).endswith("All 16 nodes have equal values and gradients.")


def test_the_first_node_that_differs_and_by_how_much() -> None:
    a, b = trace(), trace(b1=[-1.5, -4.0])
    found = cr.compare(a, b)
    assert found.first is not None
    assert found.first.name == "b1"
    by_name = {x.name: x for x in found.nodes}
    assert not by_name["u1"].value
    z1 = by_name["z1"].value
    assert z1 is not None
    assert (z1.absolute, z1.entries) == (0.5, (1, 2))
    assert z1.relative == pytest.approx(0.5 / 2.2)
    h = float(np.abs(a.value("h") - b.value("h")).max())
    assert by_name["h"].value is not None
    assert by_name["h"].value.absolute == h
    w1 = by_name["W1"]
    assert not w1.value
    assert w1.gradient
    assert w1.gradient.absolute == np.abs(a.gradient("W1") - b.gradient("W1")).max()
    assert found.first_gradient is not None
    assert found.first_gradient.name == "d"  # that of q and s is 1/2 in both
    text = str(found)
    assert "The first in order of computation is b1" in text
    assert "that of d" in text
    assert found.to_dict()["first"] == "b1"


def test_without_gradients_values_alone_are_compared() -> None:
    found = trace(loss=False).compare(trace(b2=[1.0]))
    assert all(x.gradient is None for x in found.nodes)
    assert found.first is not None
    assert found.first.name == "b2"


def test_nodes_that_one_has_and_other_shapes(tmp_path: Path) -> None:
    x = cr.input("x", (2,), dtype="float64")
    h = cr.sigmoid(x @ cr.parameter("W", np.ones((2, 3)), dtype="float64")).named("h")
    other = cr.run(h, {"x": [[1.0, 0.0], [2.0, 1.0]]})
    found = trace().compare(other)
    assert found.only_b == ("W", "matmul")
    assert "E" in found.only_a
    shapes = {n.name: n.shapes for n in found.nodes}
    assert shapes["h"] == ("(1, 2)", "(2, 3)")
    text = str(found)
    assert "1 and 2 rows" in text
    assert "Nodes only B has" in text
    parts = {x["title"]: x for x in found.show().document["comparison"]["parts"]}
    assert parts["Nodes only B has"]["marks"] == ["b", "b"]
    assert found.write(tmp_path / "traces.html").read_text("utf-8").startswith("<!DOCTYPE html>")
    assert "<script" not in found._repr_html_()
    assert "<table" in found._repr_html_()


def test_nan_and_infinity_and_integers() -> None:
    nan, inf = float("nan"), float("inf")
    assert not Difference.of(np.array([nan, 1.0]), np.array([nan, 1.0]))
    assert not Difference.of(np.array([inf]), np.array([inf]))
    assert Difference.of(np.array([1.0, nan]), np.array([1.0, 2.0])).entries == (1, 2)
    assert Difference.of(np.array([1, 5]), np.array([1, 2])).absolute == 3.0
    assert not Difference.of(np.zeros((0, 2)), np.zeros((0, 2)))


def test_a_trace_and_a_model_are_not_compared() -> None:
    x = cr.input("x", (2,))
    with pytest.raises(SettingError, match="a trace is compared with a trace"):
        cr.compare(trace(), cr.Model(cr.dense(x, 1)))
    with pytest.raises(SettingError, match="rows of their own"):
        cr.compare(trace(), trace(), {"x": [1]})


def test_the_page_of_traces_of_many_rows_tells_how_many_it_has() -> None:
    x = cr.input("x", (2,), dtype="float64")
    y = cr.mean(cr.tanh(x)).named("y")
    a, b = (cr.run(y, {"x": np.full((n, 2), 0.5)}) for n in (100, 3))
    shown = a.compare(b).show().document
    other = shown["comparison"]["other"]
    assert (len(shown["rows"]), len(other["rows"])) == (64, 3)
    assert shown["holds"] == "64 of 100 rows, and 3 rows"
    assert any("first 64 of 100 rows" in note for note in shown["notes"])
