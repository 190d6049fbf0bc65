"""cr.show: the page of nodes, graphs, traces, models, and errors of building a graph."""

from __future__ import annotations

import gc
import pickle
import weakref
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

import chainrule as cr
from chainrule.errors import ChainruleError


def network() -> tuple[cr.Node, cr.Node]:
    x, t = cr.input("x", (3,)), cr.input("t", dtype="int32")
    z = cr.dense(cr.dense(x, 4, "relu", name="h"), 2, name="z")
    return z, cr.cross_entropy(z, t).named("loss")


FEEDS = {"x": np.ones((2, 3)), "t": np.array([0, 1])}


def names(page: Any) -> list[str]:
    return [x["name"] for x in page.document["graph"]["nodes"]]


def test_a_node_nodes_and_a_graph_show_their_structure() -> None:
    z, loss = network()
    graph = cr.Graph([z, loss])
    pages = [cr.show(x) for x in (loss, [z, loss], (z, loss), graph)]
    for page in pages:
        assert names(page) == [graph.name(x) for x in graph]
        assert page.document["rows"] == []
        assert page.document["graph"]["values"] == {}
        assert page.document["graph"]["failure"] is None
    assert "structure" in pages[0].document["holds"]


def test_with_arrays_nodes_show_their_values_and_gradients() -> None:
    z, loss = network()
    form = cr.show(cr.Graph([z, loss]), FEEDS, title="Mine").document
    assert form["title"] == "Mine"
    assert len(form["rows"]) == 2
    assert form["graph"]["loss"] == [x["name"] for x in form["graph"]["nodes"]].index("loss")
    assert set(form["graph"]["values"]) == {"h.w", "h.b", "z.w", "z.b"}
    assert cr.show(z, {"x": FEEDS["x"]}).document["graph"]["loss"] is None


def test_a_trace_and_a_model_show_their_own_pages() -> None:
    z, loss = network()
    trace = cr.run(loss, FEEDS)
    assert cr.show(trace).document == trace.show().document
    model = cr.Model(z, loss)
    assert cr.show(model, FEEDS, rows=1).document == model.show(FEEDS, rows=1).document


@pytest.mark.parametrize(
    ("call", "told"),
    [
        (lambda: cr.show("model.safetensors"), "cr.show(cr.load(path))"),
        (lambda: cr.show(3), "value of type int"),
        (lambda: cr.show([]), "value of type list"),
        (lambda: cr.show([network()[0], 3]), "value of type list"),
        (lambda: cr.show(ValueError("a")), "no graph"),
        (lambda: cr.show(cr.errors.ShapeError("a", "b")), "no graph"),
        (lambda: cr.show(network()[0], "penguins"), "a dict by input name"),
        (lambda: cr.show(network()[0], rows=1), "for a model alone"),
        (lambda: cr.show(cr.run(network()[0], {"x": [[1, 2, 3]]}), FEEDS), "takes no data"),
    ],
)
def test_what_has_no_page_is_told(call: Callable[[], object], told: str) -> None:
    with pytest.raises(cr.errors.SettingError, match="show") as caught:
        call()
    assert told in str(caught.value)


# ---------------------------------------------------------------- errors of building


def hidden() -> cr.Node:
    return cr.dense(cr.input("x", (64,)), 32, "relu", name="hidden")


def weights() -> cr.Node:
    return cr.parameter("w", np.zeros((64, 10)), dtype="float32")


FAILING: dict[str, tuple[Callable[[], object], str, list[str]]] = {
    "operator": (lambda: hidden() @ weights(), "matmul", ["hidden", "w"]),
    "method": (lambda: hidden().sum(axis=5), "sum", ["hidden"]),
    "list": (lambda: cr.concat([hidden(), cr.input("c", ())], axis=1), "concat", ["hidden", "c"]),
    "layer": (lambda: cr.dense(cr.sum(hidden()).named("s"), 3), "dense", ["s"]),
    "waiting layer": (
        lambda: cr.sequential(hidden(), cr.layer.dense(4), cr.layer.embedding(5, 3)),
        "embedding", ["dense"],
    ),
    "activation": (lambda: cr.dense(hidden(), 3, "rellu"), "dense", ["hidden"]),
    "loss": (
        lambda: cr.squared_error(hidden(), cr.input("t", ())), "squared_error", ["hidden", "t"],
    ),
    "taken name": (lambda: cr.maximum(hidden().named("maximum"), 1j), "maximum'", ["maximum"]),
}  # fmt: skip


def raised(call: Callable[[], object]) -> ChainruleError:
    with pytest.raises(ChainruleError) as caught:
        call()
    return caught.value


@pytest.mark.parametrize("case", FAILING)
def test_an_error_shows_the_call_that_failed_after_its_operands(case: str) -> None:
    call, name, operands = FAILING[case]
    error = raised(call)
    form = cr.show(error).document["graph"]
    culprit = form["nodes"][form["failure"]["node"]]
    assert form["failure"]["message"] == str(error)
    assert culprit["name"] == name
    assert culprit["unbuilt"]
    assert [form["nodes"][k]["name"] for k in culprit["operands"]] == operands
    assert {"x", "hidden.w"} <= {x["name"] for x in form["nodes"]}
    assert form["failure"]["node"] in form["layers"][-1]["nodes"]


def test_a_model_that_is_refused_shows_the_node_that_is_wrong() -> None:
    x = cr.input("x", (4,))
    z = cr.dense(cr.dense(x, 4, name="h"), 4, name="h")
    twice = cr.show(raised(lambda: cr.Model(z))).document["graph"]
    assert twice["nodes"][twice["failure"]["node"]]["name"] == "h_2.w"
    assert {"x", "h", "h.w", "h_2"} <= {x["name"] for x in twice["nodes"]}
    large = cr.show(raised(lambda: cr.Model(z, (z - 1).named("loss")))).document["graph"]
    assert large["nodes"][large["failure"]["node"]]["name"] == "loss"


def test_names_given_twice_are_told_apart_from_those_that_exist() -> None:
    x = cr.input("a", (4,))
    nodes = [(x + k).named(name) for k, name in enumerate(("b", "b_2", "b", "b"))]
    error = raised(lambda: cr.Model(nodes))
    shown = [x["name"] for x in cr.show(error).document["graph"]["nodes"] if "b" in x["name"][:1]]
    assert {"b", "b_2", "b_3", "b_4"} <= set(shown)


def test_an_error_is_pickled_without_its_nodes_and_with_its_place() -> None:
    error = raised(lambda: hidden() @ weights())
    assert error.calls
    copy = pickle.loads(pickle.dumps(error))
    assert (str(copy), copy.calls) == (str(error), ())
    assert "test_show.py" in str(copy)


def test_an_error_holds_no_arrays_and_no_frames() -> None:
    class Large:
        pass

    large = Large()
    gone = weakref.ref(large)

    def build(kept: object) -> None:
        assert kept is not None
        hidden() @ weights()

    try:
        build(large)
    except ChainruleError as error:
        held = error.with_traceback(None)
    del large
    gc.collect()
    assert gone() is None
    assert all(isinstance(x, cr.Node) for call in held.calls for x in call.operands)


def test_a_long_chain_is_shown() -> None:
    y = cr.input("y", (3,))
    for _ in range(3000):
        y = cr.tanh(y)
    form = cr.show(raised(lambda: y @ y)).document["graph"]
    assert len(form["nodes"]) == 3002
