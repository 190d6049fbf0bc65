"""Graph: order, names and scopes, consumers, and graphs that recursion would not survive."""

from __future__ import annotations

import re

import numpy as np
import pytest

import chainrule as cr
from chainrule.errors import GraphError
from chainrule.graph import Graph, Operation, Scope


def names(graph: Graph) -> list[str]:
    return [graph.name(node) for node in graph]


# ---------------------------------------------------------------- order


def test_operands_stand_before_their_consumers():
    x, w = cr.input("x", 3), cr.parameter("w", np.ones((3, 3)))
    h = cr.tanh(x @ w)
    graph = Graph([cr.sum(h * h), h])
    place = {node: k for k, node in enumerate(graph)}
    assert all(place[a] < place[b] for b in graph for a in b.inputs)
    assert len(place) == len(graph) == 6


def test_order_is_depth_first_with_operands_from_left_to_right():
    a, b, c = (cr.input(name) for name in "abc")
    left, right = (b * c).named("left"), (a + b).named("right")
    assert names(Graph((left - right).named("y"))) == ["b", "c", "left", "a", "right", "y"]
    assert names(Graph([right, left])) == ["a", "b", "right", "c", "left"]


def test_a_node_used_twice_stands_once():
    x = cr.input("x")
    y = x * x
    assert Graph([y, y, x]).nodes == (x, y)
    assert Graph([y, y]).outputs == (y, y)


def test_a_graph_of_nothing():
    graph = Graph([])
    assert (len(graph), graph.outputs, list(graph)) == (0, (), [])


def test_one_output_or_several():
    x = cr.input("x")
    assert Graph(x).outputs == (x,)
    assert Graph([x]).outputs == (x,)


@pytest.mark.parametrize("bad", [3, "x", [None], [[]]])
def test_outputs_are_nodes(bad):
    with pytest.raises(GraphError, match="not a node"):
        Graph([bad])


def test_groups_of_nodes_are_in_order():
    x, t = cr.input("x"), cr.input("t")
    w = cr.parameter("w", 1.0)
    graph = Graph(cr.sum(x * w - t))
    assert graph.inputs == (x, t)
    assert graph.parameters == (w,)
    assert [node.op.name for node in graph.operations] == [
        "broadcast_to", "multiply", "subtract", "sum",
    ]  # fmt: skip
    assert repr(graph) == "<Graph of 7 nodes: 2 inputs, 1 parameters, 4 operations>"


def test_a_chain_of_5000_nodes():
    y = x = cr.input("x", dtype="float64")
    for _ in range(5000):
        y = y + 1
    graph = cr.check(Graph(y))
    assert len(graph.operations) == 5000 * 3  # the constant, its broadcast, the sum
    assert cr.run(y, {"x": [0.5]}).value(y).tolist() == [5000.5]
    (slope,) = cr.gradients(cr.sum(y), [x])
    assert cr.run([slope, y], {"x": [0.5]}).value(slope).tolist() == [1.0]


def test_a_graph_with_2_to_the_60_paths():
    y = x = cr.input("x", dtype="float64")
    for _ in range(60):
        y = y + y
    graph = cr.check(Graph(y))
    assert len(graph) == 61
    assert len(cr.listing(graph, full=True).splitlines()) == 61
    assert cr.run(y, {"x": [3.0]}).value(y).tolist() == [3.0 * 2**60]
    (slope,) = cr.gradients(cr.sum(y), [x])
    assert cr.run([slope, y], {"x": [3.0]}).value(slope).tolist() == [2.0**60]


# ---------------------------------------------------------------- consumers


def test_consumers_in_order_each_once():
    x = cr.input("x")
    square, double = x * x, x + x
    y = square - double
    graph = Graph([y, x])
    assert graph.consumers(x) == (square, double)
    assert graph.consumers(square) == graph.consumers(double) == (y,)
    assert graph.consumers(y) == ()


def test_consumers_are_those_of_this_graph_only():
    x = cr.input("x")
    inside, outside = x + x, x * x
    assert Graph(inside).consumers(x) == (inside,)
    assert outside not in Graph(inside)


# ---------------------------------------------------------------- finding


def test_find_by_name_or_node():
    x = cr.input("x")
    y = (x + x).named("total")
    graph = Graph(y)
    assert graph["total"] is graph.find("total") is graph.find(y) is y
    assert x in graph
    with pytest.raises(GraphError, match=r"no node is named 'totel'[\s\S]*did you mean 'total'"):
        graph["totel"]
    stranger = cr.input("stranger")
    for use in (graph.find, graph.name, graph.consumers):
        with pytest.raises(GraphError, match=r"'stranger'.*not a part of this graph"):
            use(stranger)


# ---------------------------------------------------------------- names


def test_names_not_given_are_numbered():
    x = cr.input("x")
    graph = Graph(cr.tanh(cr.tanh(cr.tanh(x))))
    assert names(graph) == ["x", "tanh", "tanh_2", "tanh_3"]


def test_names_given_stand_and_the_others_make_way():
    x = cr.input("tanh_2")
    y = cr.tanh(cr.tanh(cr.tanh(x)).named("tanh"))
    graph = Graph(y)
    assert names(graph) == ["tanh_2", "tanh_3", "tanh", "tanh_4"]
    assert graph["tanh"] is y.operands[0]


def test_two_nodes_of_one_given_name():
    first = cr.input("x", 2)
    second = cr.parameter("x", [1.0, 2.0])
    with pytest.raises(GraphError) as caught:
        Graph(first + second)
    text = str(caught.value)
    assert "two nodes are named 'x'" in text
    assert "<Input 'x' float32(N, 2)>" in text
    assert "<Parameter 'x' float32(2,)>" in text
    assert text.count("test_graph_graph.py:") == 2
    assert "another name" in text


def test_a_layer_is_numbered_as_a_whole():
    x = cr.input("x", 4)
    graph = Graph(cr.dense(cr.dense(x, 3), 2))
    found = [graph.name(p) for p in graph.parameters]
    assert found == ["dense.w", "dense.b", "dense_2.w", "dense_2.b"]


def test_a_scope_that_is_shared_is_one_layer():
    x = cr.input("x")
    scope = Scope("block")
    a = cr.tanh(x).within(scope, ".a")
    b = cr.exp(a).within(scope, ".b")
    other = cr.exp(b).within(Scope("block"), ".a")
    graph = Graph(other)
    assert names(graph) == ["x", "block.a", "block.b", "block_2.a"]


def test_nodes_of_one_scope_and_suffix_are_numbered():
    x = cr.input("x")
    scope = Scope("block", given=False)
    y = cr.exp(cr.exp(x).within(scope)).within(scope)
    assert names(Graph(y)) == ["x", "block", "block_2"]


def test_numbers_never_collide_with_given_names_in_any_order():
    x = cr.input("x")
    given = [cr.tanh(x).named(name) for name in ("add", "add_2", "add_3")]
    y = x
    for node in given:
        y = y + node
    found = names(Graph(y))
    assert len(set(found)) == len(found)
    assert {"add", "add_2", "add_3"} < set(found)


def test_like_keeps_the_names_of_shared_nodes():
    x = cr.input("x")
    early = cr.tanh(x)
    late = cr.tanh(early)
    first = Graph(late)
    assert (first.name(early), first.name(late)) == ("tanh", "tanh_2")
    more = cr.tanh(x)
    plain, kept = Graph([more, late]), Graph([more, late], like=first)
    assert plain.name(more) == "tanh"
    assert (kept.name(early), kept.name(late), kept.name(more)) == ("tanh", "tanh_2", "tanh_3")


def test_thousands_of_equal_names_are_numbered_quickly():
    y = cr.input("x")
    for _ in range(20_000):
        y = cr.exp(y)
    graph = Graph(y)
    assert graph.name(y) == "exp_20000"
    assert all(re.fullmatch(r"exp(_\d+)?", graph.name(n)) for n in graph.operations)


def test_operations_is_a_tuple_of_operations():
    assert all(isinstance(n, Operation) for n in Graph(cr.exp(cr.input("x"))).operations)
