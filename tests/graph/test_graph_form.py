"""The JSON form of a graph: a full round trip, and documents that nobody wrote."""

from __future__ import annotations

import copy
import json
from collections.abc import Iterator
from typing import Any

import numpy as np
import pytest

import chainrule as cr
from chainrule.autodiff import backward
from chainrule.errors import ChainruleError, GraphError
from chainrule.graph import Graph, Input, Node, Operation, Parameter, Scope
from chainrule.graph.jsonvalues import Encoder
from chainrule.graph.node import apply
from chainrule.graph.op import lookup
from chainrule.graph.serialize import MAX_ELEMENTS, Unknown, from_dict, to_dict
from chainrule.graph.step import STEP_INPUTS
from chainrule.nn import init
from chainrule.types import N, TensorType
from opcases import CASES

KNOWN = {x.label: x for x in STEP_INPUTS}


def through(graph: Graph, **options: Any) -> Graph:
    document, arrays = to_dict(graph, known=KNOWN, encode_initial=init.to_dict)
    text = json.dumps(document, allow_nan=False)
    options = {"known": KNOWN, "decode_initial": init.from_dict} | options
    return from_dict(json.loads(text), arrays, **options)


def assert_same(a: Graph, b: Graph) -> None:
    """Node by node: names, types, sources, attributes and initial values, to the bit."""
    place_a = {node: k for k, node in enumerate(a)}
    place_b = {node: k for k, node in enumerate(b)}
    assert len(a) == len(b)
    for x, y in zip(a, b, strict=True):
        assert type(x) is type(y)
        assert a.name(x) == b.name(y)
        assert (x.type, x.suffix, x.source) == (y.type, y.suffix, y.source)
        assert (x.scope.base, x.scope.given) == (y.scope.base, y.scope.given)
        assert [place_a[n] for n in x.inputs] == [place_b[n] for n in y.inputs]
        if isinstance(x, Operation):
            assert x.op is y.op
            assert exact(x.attributes) == exact(y.attributes)
        elif isinstance(x, Parameter):
            assert x.trainable == y.trainable
            assert exact(x.initial) == exact(y.initial)
        else:
            assert x.batch == y.batch
    assert [place_a[n] for n in a.outputs] == [place_b[n] for n in b.outputs]


def exact(value: Any) -> Any:
    """A value as comparable text and bytes."""
    encoder = Encoder()
    if not isinstance(value, np.ndarray) and callable(value):
        return value
    form = encoder.encode(value, "v")
    return form, {k: (x.dtype, x.shape, x.tobytes()) for k, x in encoder.arrays.items()}


def network() -> Graph:
    """A graph with everything in it: layers, dropout, statistics, constants, a loss."""
    x, t = cr.input("x", (6,)), cr.input("t", (), dtype="int32")
    h = cr.dense(x, 5, activation="relu", name="hidden")
    h = cr.dropout(cr.batch_norm(h), 0.25)
    h = h + np.linspace(0, 1, 100, dtype=np.float32).reshape(20, 5)[3] + cr.dense(h, 5)
    scale = cr.parameter("scale", np.full(5, np.inf), trainable=False)
    table = cr.parameter("table", np.arange(100.0).reshape(5, 20))
    logits = cr.dense(cr.where(h > 0, h * scale, -0.0) @ table, 3, name="logits")
    return Graph([logits, cr.cross_entropy(logits, t)])


# ---------------------------------------------------------------- round trips


def test_a_network_comes_back_the_same():
    graph = network()
    again = through(graph)
    assert_same(graph, again)
    assert cr.listing(graph, sources=True) == cr.listing(again, sources=True)
    first, second = (to_dict(g, known=KNOWN, encode_initial=init.to_dict) for g in (graph, again))
    assert first[0] == second[0]
    assert first[1].keys() == second[1].keys()


def test_a_whole_backward_pass_comes_back_the_same():
    graph = network()
    found = backward(graph, graph.outputs[1], graph.parameters).gradients
    whole = Graph([*graph.outputs, *(found[p] for p in graph.parameters if p in found)], like=graph)
    assert_same(whole, through(whole))


def test_it_computes_the_same_bits():
    graph = network()
    again = through(graph)
    feeds = {"x": np.random.default_rng(0).normal(size=(7, 6)), "t": [0, 1, 2, 0, 1, 2, 0]}
    for training in (False, True):
        a = cr.run(graph.outputs, feeds, training=training)
        b = cr.run(again.outputs, feeds, training=training)
        for x, y in zip(graph.outputs, again.outputs, strict=True):
            assert a.value(x).tobytes() == b.value(y).tobytes()


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.name)
def test_every_op_comes_back_the_same(case):
    kinds = {"int": "int32", "bool": "bool"}
    shapes = case.shapes[-1]
    operands = [
        Input(Scope(f"x{k}", True), TensorType(shape, kinds.get(kind, "float64")), batch=False)
        for k, (shape, kind) in enumerate(
            zip(shapes, case.kinds or ("float",) * len(shapes), strict=True)
        )
    ]
    made = case.function(*operands, **case.attributes)
    graph = Graph(made if isinstance(made, Node) else list(made))
    assert_same(graph, through(graph))


def test_odd_names_come_back():
    x = cr.input("größe\t[m²]\n'\"", 2)
    y = cr.exp(x).named("$tuple")
    graph = Graph(y)
    assert [again.label for again in through(graph)] == [x.label, "$tuple"]


def test_a_source_is_kept_printable():
    graph = Graph(Input(Scope("x", True), TensorType((N,)), source="a\x1b[31m\udcff.py:3"))
    assert [x.source for x in through(graph)] == ["a?[31m?.py:3"]


def test_names_that_came_from_another_graph_are_kept():
    x = cr.input("x")
    first = Graph(cr.tanh(cr.tanh(x)))
    more = Graph([cr.tanh(x), *first.outputs], like=first)
    again = through(more)
    assert [again.name(n) for n in again] == ["x", "tanh_3", "tanh", "tanh_2"]


def test_names_go_on_from_where_they_were():
    again = through(Graph(cr.dense(cr.input("x", 3), 2)))
    more = Graph(cr.dense(again.outputs[0], 4), like=again)
    assert [more.name(p) for p in more.parameters] == [
        "dense.w", "dense.b", "dense_2.w", "dense_2.b",
    ]  # fmt: skip


def test_shared_scopes_stay_shared():
    graph = network()
    again = through(graph)
    sharing = [[[a.scope is b.scope for a in g] for b in g] for g in (graph, again)]
    assert sharing[0] == sharing[1]


def test_the_inputs_of_a_step_are_the_same_objects():
    graph = Graph(cr.dropout(cr.input("x", 3), 0.5))
    again = through(graph)
    (key,) = (x for x in graph.inputs if not x.batch)
    assert key in again
    assert again["step.key"] is KNOWN["step.key"]


def test_an_input_of_such_a_name_is_not_taken_for_it():
    mine = cr.input("step.key", (3,), dtype="uint32", batch=False)
    assert through(Graph(mine)).outputs[0] is not KNOWN["step.key"]


def test_a_known_input_must_be_known_and_fit():
    document, arrays = to_dict(Graph(KNOWN["step.rate"]), known=KNOWN)
    with pytest.raises(GraphError, match="all programs share"):
        from_dict(document, arrays)
    document["nodes"][0]["shape"] = [2]
    with pytest.raises(GraphError, match="all programs share"):
        from_dict(document, arrays, known=KNOWN)


def test_a_chain_of_5000_nodes():
    y = cr.input("x")
    for _ in range(5000):
        y = cr.exp(y)
    graph = Graph(y)
    assert_same(graph, through(graph))


def test_graphs_of_one_node_and_of_none():
    for graph in (Graph([]), Graph(cr.input("x")), Graph(cr.parameter("w", 1.5))):
        assert_same(graph, through(graph))


# ---------------------------------------------------------------- initializers


def test_initializers_come_back():
    graph = Graph([cr.parameter("w", cr.init.Orthogonal(0.5), (3, 2))])
    assert through(graph).parameters[0].initial == cr.init.Orthogonal(0.5)


def test_an_initializer_that_is_not_known_raises_when_it_is_called():
    class Mine:
        name = "mine"

        def __call__(self, shape, generator):
            return np.ones(shape)

    graph = Graph(cr.parameter("w", Mine(), (2,)))
    for options in ({}, {"decode_initial": None}):
        again = through(graph, **options)
        initial = again.parameters[0].initial
        assert isinstance(initial, Unknown)
        assert "parameter (mine)" in cr.listing(again)
        with pytest.raises(GraphError, match="'mine' is not known here"):
            initial((2,), np.random.default_rng())
        assert_same(Graph(again.outputs), through(again))


# ---------------------------------------------------------------- documents that nobody wrote


def small() -> Graph:
    x = cr.input("x", (4,))
    w = cr.parameter("w", cr.init.HeNormal(), (4, 3))
    b = cr.parameter("b", [1.0, -0.0, 2.0], trainable=False)
    h = cr.dropout(cr.tanh(x @ w + b), 0.5)
    return Graph([h, cr.mean(h[:, ::2]).named("loss")])


def places(value: Any, path: tuple[Any, ...] = ()) -> Iterator[tuple[Any, ...]]:
    yield path
    if isinstance(value, dict):
        value = list(value.items())
    elif isinstance(value, list):
        value = list(enumerate(value))
    else:
        return
    for key, item in value:
        yield from places(item, (*path, key))


def replaced(document: Any, path: tuple[Any, ...], value: Any) -> Any:
    if not path:
        return value
    changed = copy.copy(document)
    changed[path[0]] = replaced(document[path[0]], path[1:], value)
    return changed


ODD = [None, True, 0, -1, 7, 2**62, 10**30, 0.5, "", "x", "N", "w", "add", [], [0], ["N"], {},
       {"a": 1}, {"$tuple": [0, 1]}, {"$batch": "N"}, {"$stored": "q"}]  # fmt: skip


def test_every_place_with_every_odd_value_is_refused_or_means_what_it_says():
    document, arrays = to_dict(small(), known=KNOWN, encode_initial=init.to_dict)
    refused = kept = 0
    for path in places(document):
        for value in ODD:
            changed = replaced(document, path, value)
            try:
                graph = from_dict(changed, arrays, known=KNOWN, decode_initial=init.from_dict)
            except GraphError:
                refused += 1
                continue
            kept += 1
            again, _ = to_dict(graph, known=KNOWN, encode_initial=init.to_dict)
            assert again == changed
    assert refused > 1000
    assert kept > 20  # other source lines, flags, and the value that was there


def test_every_missing_and_unknown_key_is_refused():
    document, arrays = to_dict(small(), known=KNOWN)
    for path in places(document):
        parent = document
        for key in path:
            parent = parent[key]
        if not isinstance(parent, dict) or "attributes" in path:
            continue
        for key in parent:
            changed = replaced(document, path, {k: v for k, v in parent.items() if k != key})
            with pytest.raises(GraphError):
                from_dict(changed, arrays, known=KNOWN)
        if path[-1:] != ("initializer",):
            with pytest.raises(GraphError):
                from_dict(replaced(document, path, parent | {"more": 1}), arrays, known=KNOWN)


def edit(**changes: Any) -> tuple[Any, Any]:
    """The document of x -> exp -> y = exp, changed at the paths given as `nodes__1__op`."""
    graph = Graph(cr.exp(cr.exp(cr.input("x", 2)).named("h")).named("y"))
    document, arrays = to_dict(graph)
    for path, value in changes.items():
        keys = tuple(int(k) if k.isdigit() else k for k in path.split("__"))
        document = replaced(document, keys, value)
    return document, arrays


@pytest.mark.parametrize(
    ("changes", "match"),
    [
        ({"nodes__1__operands": ["y"]}, r"does not precede[\s\S]*'y'[\s\S]*node 'h'"),
        ({"nodes__1__operands": ["h"]}, r"does not precede[\s\S]*node 'h'"),
        ({"nodes__1__operands": ["z"]}, r"does not exist[\s\S]*'z'[\s\S]*node 'h'"),
        ({"nodes__1__operands": []}, r"exp does not take[\s\S]*node 'h'"),
        ({"nodes__1__operands": ["x", "x"]}, r"exp does not take[\s\S]*node 'h'"),
        ({"nodes__1__attributes": {"out": 1}}, r"exp\] does not take[\s\S]*out[\s\S]*node 'h'"),
        ({"nodes__1__op": "expo"}, r"unknown op 'expo'[\s\S]*node 'h'[\s\S]*did you mean 'exp"),
        ({"nodes__1__op": "add"}, r"add does not take[\s\S]*node 'h'"),
        ({"nodes__1__op": "logical_not"}, r"node 'h'"),
        ({"nodes__1__op": "reshape"}, r"reshape\] does not take[\s\S]*node 'h'"),
        ({"nodes__1__dtype": "float16"}, r"unknown dtype[\s\S]*node 'h'"),
        ({"nodes__1__dtype": "float64"}, r"differs from what exp infers[\s\S]*node 'h'"),
        ({"nodes__1__shape": ["N", 3]}, r"differs from what exp[\s\S]*\(N, 2\)[\s\S]*\(N, 3\)"),
        ({"nodes__0__shape": ["N", 10**12, 10**12]}, r"too large[\s\S]*node 'x'"),
        ({"nodes__0__shape": ["N"] + [1] * 40}, r"too large[\s\S]*node 'x'"),
        ({"nodes__0__shape": ["N", -1]}, r"nodes\[0\].shape\[1\]"),
        ({"nodes__0__shape": [2, "N"]}, r"\(2, N\)[\s\S]*node 'h'"),
        ({"nodes__0__batch": False}, r"first"),
        ({"nodes__0__kind": "parameter"}, r"nodes\[0\]"),
        ({"nodes__0__kind": "module"}, r"'module'"),
        ({"nodes__2__name": "h"}, r"two nodes are named 'h'"),
        ({"nodes__2__name": "z", "outputs": ["z"]}, r"not those of the outputs"),
        ({"nodes__1__scope": 9}, r"no such scope[\s\S]*9"),
        ({"nodes__1__scope": -1}, r"no such scope"),
        ({"nodes__1__source": "a\x1b[2J"}, r"printable"),
        ({"scopes__1__name": "other"}, r"a given name is kept"),
        ({"scopes__1__base": "\ud800", "scopes__1__given": False}, r"Unicode"),
        ({"outputs": ["z"]}, r"an output does not exist[\s\S]*'z'"),
        ({"outputs": ["h"]}, r"not those of the outputs[\s\S]*'y'"),
        ({"outputs": []}, r"not those of the outputs"),
    ],
)  # fmt: skip
def test_wrong_documents_say_what_is_wrong_and_where(changes, match):
    document, arrays = edit(**changes)
    with pytest.raises(GraphError, match=match):
        from_dict(document, arrays)


def test_nodes_in_another_order_are_refused():
    a, b = cr.input("a"), cr.input("b")
    document, arrays = to_dict(Graph(a + b))
    document["nodes"][:2] = document["nodes"][1::-1]
    with pytest.raises(GraphError, match=r"order of computation[\s\S]*'a'[\s\S]*'b'"):
        from_dict(document, arrays)


def test_attributes_that_a_rule_trips_over_become_a_clear_error():
    x = cr.input("x", (3, 4))
    document, arrays = to_dict(Graph(cr.sum(x, axis=1)))
    for axis in (None, "1", 1.5, {"$tuple": ["a"]}, {"$tuple": [99]}, {}, {"$tuple": [10**18]}):
        document["nodes"][1]["attributes"]["axis"] = axis
        with pytest.raises(GraphError, match="node 'sum'"):
            from_dict(document, arrays)


@pytest.mark.parametrize("document", [None, 3, "text", [], {}, {"nodes": []}, [[[]]]])
def test_anything_else_is_refused(document):
    with pytest.raises(GraphError, match="not the form of a graph"):
        from_dict(document, {})


def test_arrays_are_all_there_and_all_used():
    graph = Graph(cr.input("x", (30,)) + np.arange(30, dtype=np.float32))
    document, arrays = to_dict(graph)
    assert list(arrays) == ["constant.value"]
    with pytest.raises(GraphError, match=r"array is missing[\s\S]*node 'constant'"):
        from_dict(document, {})
    with pytest.raises(GraphError, match=r"nothing refers to[\s\S]*more"):
        from_dict(document, arrays | {"more": np.zeros(2)})
    with pytest.raises(GraphError, match=r"\(31,\)[\s\S]*node 'constant'"):
        from_dict(document, {"constant.value": np.zeros(31, np.float32)})


def test_initial_values_have_the_type_of_their_parameter():
    document, arrays = to_dict(Graph(cr.parameter("w", [1.0, 2.0])))
    for key, value in (("dtype", "float64"), ("shape", [1, 2])):
        changed = copy.deepcopy(document)
        changed["nodes"][0][key] = value
        with pytest.raises(GraphError, match="another type"):
            from_dict(changed, arrays)
    document["nodes"][0]["dtype"] = "int32"
    with pytest.raises(GraphError, match="floating-point"):
        from_dict(document, arrays)


def test_values_within_the_limit_are_kept():
    half = int(MAX_ELEMENTS**0.5)
    graph = Graph(cr.input("x", (half, half)))
    assert_same(graph, through(graph))


def test_what_cannot_be_written_names_the_node():
    x = cr.input("x", 2)
    node = apply(lookup("cast"), x, dtype="float64")
    odd = Operation(
        Scope("odd", True), node.type, op=node.op, operands=(x,), attributes={"dtype": {1, 2}}
    )
    with pytest.raises(ChainruleError, match=r"cannot be written[\s\S]*odd\.dtype"):
        to_dict(Graph(odd))
