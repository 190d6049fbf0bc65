"""The checker and the listing of graphs."""

from __future__ import annotations

import dataclasses
import functools
import os
from pathlib import Path

import numpy as np
import pytest

import chainrule as cr
from chainrule.cli import main
from chainrule.errors import GraphError
from chainrule.graph import Graph, Input, Parameter, Scope, check, listing
from chainrule.graph.listing import show_attribute
from chainrule.graph.node import apply
from chainrule.graph.op import REGISTRY, lookup, op
from chainrule.types import N, TensorType

GOLDEN = Path(__file__).parents[1] / "golden"


def golden(name: str, text: str) -> None:
    """Compare with a file of the expected text; UPDATE_GOLDEN=1 writes it anew."""
    path = GOLDEN / name
    if os.environ.get("UPDATE_GOLDEN"):
        path.write_text(text + "\n", encoding="utf-8")
    assert path.read_text(encoding="utf-8") == text + "\n"


def classifier() -> Graph:
    x, t = cr.input("x", (64,)), cr.input("t", (), dtype="int32")
    h = cr.dense(x, 128, activation="relu", name="hidden")
    logits = cr.dense(h, 10, name="logits")
    return Graph([logits, cr.cross_entropy(logits, t)])


def by_hand() -> Graph:
    x, t = cr.input("x", (2,), dtype="float64"), cr.input("t", (1,), dtype="float64")
    w1 = cr.parameter("W1", [[3.7, 2.9], [3.7, 2.9]], dtype="float64")
    b1 = cr.parameter("b1", [-1.5, -4.5], dtype="float64")
    w2 = cr.parameter("W2", [[4.5], [-5.2]], dtype="float64", trainable=False)
    y = cr.sigmoid(cr.sigmoid(x @ w1 + b1) @ w2 - 2.0).named("y")
    return Graph([y, (cr.sum((t - y) ** 2) / 2).named("error")])


# ---------------------------------------------------------------- check


@pytest.mark.parametrize("graph", [classifier(), by_hand()], ids=["classifier", "by hand"])
def test_check_gives_a_good_graph_back(graph):
    assert check(graph) is graph


def test_check_finds_a_type_that_its_op_does_not_infer():
    x = cr.input("x", 3)
    wrong = dataclasses.replace(cr.tanh(x), type=TensorType((N, 4)))
    with pytest.raises(GraphError) as caught:
        check(Graph(wrong))
    text = str(caught.value)
    assert "'tanh'" in text
    assert "float32(N, 3)" in text
    assert "float32(N, 4)" in text


def test_check_finds_operands_that_do_not_fit():
    x, y = cr.input("x", 3), cr.input("y", 4)
    wrong = dataclasses.replace(x + x, operands=(x, y))
    with pytest.raises(GraphError, match=r"do not fit[\s\S]*'add'"):
        check(Graph(wrong))


def test_check_finds_a_parameter_with_a_batch_axis():
    wrong = Parameter(Scope("w"), TensorType((N, 2)), initial=np.zeros(2, np.float32))
    with pytest.raises(GraphError, match=r"no batch axis[\s\S]*'w'"):
        check(Graph(wrong))


@pytest.mark.parametrize(
    ("shape", "batch"), [((2, N), True), ((N, N), True), ((2,), True), ((N,), False), ((), True)]
)
def test_check_finds_an_input_whose_batch_axis_is_not_in_front(shape, batch):
    with pytest.raises(GraphError, match=r"first[\s\S]*'x'"):
        check(Graph(Input(Scope("x"), TensorType(shape), batch=batch)))


def test_check_finds_nodes_out_of_order():
    graph = Graph(cr.exp(cr.input("x")))
    graph.nodes = graph.nodes[::-1]
    with pytest.raises(GraphError, match=r"does not precede[\s\S]*'exp'"):
        check(graph)


# ---------------------------------------------------------------- the registry


def test_an_unknown_op_names_the_nearest():
    assert lookup("tanh") is REGISTRY["tanh"]
    with pytest.raises(GraphError, match=r"unknown op 'tahn'[\s\S]*did you mean 'tanh'"):
        lookup("tahn")


def test_a_name_is_registered_once():
    with pytest.raises(GraphError, match="'add' exists already"):
        op("add", "map", infer=lambda x: x, forward=np.add, gradient=None)
    assert repr(REGISTRY["add"]) == "<op add>"


def test_apply_keeps_attributes_and_infers_the_type():
    x = cr.input("x", 3)
    node = apply(lookup("cast"), x, dtype="float64")
    assert (dict(node.attributes), node.type) == (
        {"dtype": "float64"},
        TensorType((N, 3), "float64"),
    )


# ---------------------------------------------------------------- listing


def test_listing_of_a_classifier():
    golden("listing_classifier.txt", listing(classifier()))


def test_listing_by_hand():
    golden("listing_by_hand.txt", listing(by_hand()))


def test_listing_stars_outputs_and_aligns():
    x = cr.input("x", 3)
    text = listing(Graph([cr.exp(x), x]))
    assert text == "* x    float32(N, 3)  input\n* exp  float32(N, 3)  exp(x)"


def test_listing_of_a_node_shows_what_it_is_computed_from():
    y = cr.exp(cr.input("x", 3))
    assert listing(y) == listing(Graph([y]))
    with pytest.raises(GraphError, match="not a node"):
        listing("y")


class Cached:
    @functools.cached_property
    def node(self) -> cr.Node:
        return cr.exp(cr.input("x", ()))


def test_a_line_of_python_itself_is_no_users_line():
    model = cr.train({"a": np.arange(60.0), "y": np.arange(60) % 2}, "y", epochs=1, verbose=False)
    files = {x.source.split(":")[0] for x in model.graph if x.source}
    assert files == {os.path.basename(__file__)}
    assert Cached().node.source.startswith(os.path.basename(__file__))


def test_on_the_command_line_no_line_is_the_users(tmp_path, capsys):
    table, made = tmp_path / "t.csv", tmp_path / "m"
    table.write_text("a,y\n" + "".join(f"{k},{k % 2}\n" for k in range(60)))
    assert main(["train", str(table), "--target", "y", "--epochs", "1", "-o", str(made)]) == 0
    (file,) = made.glob("*.safetensors")
    assert {x.source for x in cr.load(file).graph} == {""}
    assert "#" not in listing(cr.load(file).graph, sources=True)


def test_listing_tells_source_lines():
    x = cr.input("x", 3)
    lines = listing(Graph(cr.exp(x)), sources=True).splitlines()
    assert lines[0].endswith("# " + x.source)
    assert "test_graph_check_show.py:" in lines[1]


def test_listing_of_leaves():
    x = cr.input("key", (), batch=False)
    w = cr.parameter("w", cr.init.HeNormal(), (2,), trainable=False)
    text = listing(Graph([x, w]))
    assert "input, one a step" in text
    assert "parameter (he_normal, not trained)" in text
    assert listing(Graph([])) == ""


def test_attributes_as_text():
    assert show_attribute(np.float32(2.5)) == "2.5"
    assert show_attribute(np.array(2)) == "2"
    assert show_attribute(np.zeros((3, 4))) == "array(3, 4)"
    assert show_attribute({"a": np.zeros(3), "b": (1, N)}) == "{a: array(3,), b: (1, N)}"


def test_the_checker_names_a_node_as_its_graph_does() -> None:
    """Two nodes made alike have one label; the error tells which of them is wrong."""
    x = cr.input("x", (2,))
    first = cr.exp(x)
    second = cr.exp(first)
    wrong = dataclasses.replace(second, type=TensorType((7,), "float32"), source=second.source)
    assert first.label == wrong.label
    with pytest.raises(GraphError, match="'exp_2'"):
        check(Graph([first, wrong]))
