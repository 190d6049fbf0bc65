"""Nodes, graphs and what trains them are copied and pickled, also to another process."""

from __future__ import annotations

import copy
import pickle
import subprocess
import sys
from typing import Any

import numpy as np
import pytest

import chainrule as cr
from chainrule.errors import GraphError, SettingError
from chainrule.graph import Graph, Node
from chainrule.graph.step import KEY

DATA = {"x": np.linspace(-1, 1, 12).reshape(4, 3), "t": np.ones((4, 2))}


def network() -> tuple[Node, Node]:
    h = cr.dropout(cr.dense(cr.input("x", (3,)), 4, "silu"), 0.25)
    y = cr.dense(h, 2, name="y")
    return y, cr.squared_error(y, cr.input("t", (2,)))


def again(value: Any) -> Any:
    return pickle.loads(pickle.dumps(value))


@pytest.mark.parametrize("way", [copy.copy, copy.deepcopy])
def test_a_copy_of_a_node_is_the_node(way):
    y, loss = network()
    for node in (y, loss, *Graph(loss)):
        assert way(node) is node
    assert list(way({y: 1})) == [y]


def test_pickled_nodes_share_what_they_shared():
    y, loss = network()
    y2, loss2 = again((y, loss))
    assert cr.listing(Graph([y2, loss2]), sources=True) == cr.listing(
        Graph([y, loss]), sources=True
    )
    assert y2 in Graph(loss2)
    one, other = cr.Model(y, loss), cr.Model(y2, loss2)
    for model in (one, other):
        model.fit(DATA, epochs=2, validation=None, verbose=False)
    assert one.predict({"x": DATA["x"]}).tobytes() == other.predict({"x": DATA["x"]}).tobytes()


def test_the_key_of_a_step_stays_itself():
    assert again(KEY) is KEY
    assert KEY in again(Graph(cr.uniform((3,)))).inputs


@pytest.mark.parametrize("way", [copy.copy, copy.deepcopy, again])
def test_a_graph_keeps_names_and_order(way):
    graph = cr.Model(*network()).graph
    new = way(graph)
    assert cr.listing(new, sources=True) == cr.listing(graph, sources=True)
    assert [new.name(x) for x in new.outputs] == [graph.name(x) for x in graph.outputs]
    assert [len(new.consumers(x)) for x in new] == [len(graph.consumers(x)) for x in graph]


def test_a_graph_of_5000_nodes_in_a_chain():
    y: Node = cr.input("x", (3,))
    for _ in range(5000):
        y = cr.sin(y)
    assert len(again(Graph(y))) == 5001


@pytest.mark.parametrize(
    "value",
    [
        cr.Adam(1e-3),
        cr.SGD(cr.schedules.Cosine(0.1), momentum=0.9),
        cr.LBFGS(),
        cr.schedules.Exponential(0.1, 0.9),
        cr.init.HeNormal(),
        cr.Config(),
        cr.EarlyStopping(patience=3),
    ],
    ids=lambda x: type(x).__name__,
)
@pytest.mark.parametrize("way", [copy.copy, copy.deepcopy, again])
def test_settings(value, way):
    assert way(value) == value


@pytest.mark.parametrize("way", [copy.copy, copy.deepcopy, again])
def test_models_and_what_they_tell(way):
    model = cr.Model(*network())
    model.fit(DATA, epochs=2, validation=None, verbose=False)
    new, rows = way(model), {"x": DATA["x"]}
    assert new.predict(rows).tobytes() == model.predict(rows).tobytes()
    assert way(model.history).to_dict() == model.history.to_dict()
    assert str(way(model.summary())) == str(model.summary())
    trace = model.run(DATA)
    assert way(trace).value("y").tolist() == trace.value("y").tolist()


CHILD = """
import pickle, sys, chainrule as cr
y, loss, graph, rule = pickle.load(sys.stdin.buffer)
model = cr.Model(y, loss)
pickle.dump((cr.listing(model.graph), len(graph), rule), sys.stdout.buffer)
"""


def test_another_process():
    y, loss = network()
    rule = cr.AdamW(cr.schedules.Cosine(0.1))
    content = pickle.dumps((y, loss, Graph([y, loss]), rule))
    done = subprocess.run(
        [sys.executable, "-c", CHILD], input=content, stdout=subprocess.PIPE, check=True
    )
    listing, count, same = pickle.loads(done.stdout)
    assert listing == cr.listing(Graph([y, loss]))
    assert (count, same) == (len(Graph([y, loss])), rule)


# ---------------------------------------------------------------- what cannot be


def test_an_op_of_a_users_own_is_found_by_its_name_or_said_to_be_missing():
    cube = cr.op("pickled_cube", forward=lambda x: x**3, gradient=None)
    y = cube(cr.input("x", (2,)))
    assert again(y).op is y.op
    child = "import pickle, sys, chainrule; pickle.load(sys.stdin.buffer)"
    done = subprocess.run(
        [sys.executable, "-c", child], input=pickle.dumps(y), capture_output=True, check=False
    )
    assert b"unknown op 'pickled_cube'" in done.stderr
    with pytest.raises(GraphError, match="run the code that makes it"):
        pickle.loads(pickle.dumps(y).replace(b"pickled_cube", b"nothing_like"))


def ones(shape: tuple[int, ...], generator: np.random.Generator) -> np.ndarray[Any, Any]:
    return np.ones(shape)


def test_an_initializer_of_a_users_own_has_to_be_at_the_top_of_a_module():
    x = cr.input("x", (2,))
    y = cr.dense(x, 3, init=ones, bias=False)
    assert Graph(again(y)).parameters[0].initial.draw is ones
    inner = cr.dense(x, 3, init=lambda shape, generator: np.ones(shape))
    with pytest.raises(SettingError, match="top of a module"):
        pickle.dumps(inner)
    model = again(cr.Model(inner))
    assert model.value("dense.w").tolist() == [[1.0] * 3] * 2
