"""Nodes: identity, names, source lines, operators, and the errors of building."""

from __future__ import annotations

import dataclasses
import inspect
import pickle

import numpy as np
import pytest

import chainrule as cr
from chainrule.errors import ChainruleError, DTypeError, GraphError, ShapeError
from chainrule.graph.node import Input, Operation, Parameter, Scope
from chainrule.types import N, TensorType


def here() -> str:
    """The line of the caller as nodes tell it."""
    frame = inspect.stack()[1]
    return f"test_graph_node.py:{frame.lineno}"


# ---------------------------------------------------------------- leaves


def test_input_has_the_batch_axis_in_front():
    x = cr.input("x", (3, 4))
    assert (x.shape, x.dtype, x.ndim, x.batch) == ((N, 3, 4), "float32", 3, True)
    assert cr.input("x").shape == (N,)
    assert cr.input("x", 5).shape == (N, 5)
    assert cr.input("rate", (), batch=False).shape == ()


@pytest.mark.parametrize("dtype", ["float32", "float64", "int32", "int64", "uint32", "bool"])
def test_input_takes_every_dtype(dtype):
    assert cr.input("x", (), dtype=dtype).dtype == dtype


def test_parameter_keeps_a_copy_that_nobody_can_write_to():
    start = np.array([1.0, 2.0])
    w = cr.parameter("w", start)
    start[0] = 9
    assert w.initial.tolist() == [1.0, 2.0]
    assert w.initial.dtype == np.float32
    with pytest.raises(ValueError, match="read-only"):
        w.initial[0] = 3


def test_parameter_needs_a_shape_with_an_initializer_and_only_there():
    zeros = cr.init.Zeros()
    assert cr.parameter("w", zeros, (2, 3)).shape == (2, 3)
    with pytest.raises(ShapeError, match="needs a shape"):
        cr.parameter("w", zeros)
    with pytest.raises(ShapeError, match="another shape"):
        cr.parameter("w", [1.0, 2.0], (3,))
    assert cr.parameter("w", [1.0, 2.0], (2,)).shape == (2,)


@pytest.mark.parametrize("dtype", ["int32", "bool", "float16", "text"])
def test_parameter_is_floating_point(dtype):
    with pytest.raises(DTypeError, match="floating-point"):
        cr.parameter("w", [1.0], dtype=dtype)


@pytest.mark.parametrize("value", ["text", [[1.0], [1.0, 2.0]], object()])
def test_parameter_is_made_of_numbers(value):
    with pytest.raises(DTypeError, match=r"not an array of numbers[\s\S]*'w'"):
        cr.parameter("w", value)


@pytest.mark.parametrize("name", [None, 3])
def test_a_name_is_text(name):
    with pytest.raises(GraphError, match="name"):
        cr.input(name)


# ---------------------------------------------------------------- nodes are values


def test_nodes_compare_and_hash_by_identity():
    a, b = cr.input("x", 2), cr.input("x", 2)
    assert a == a
    assert a != b
    assert len({a, b, a}) == 2


def test_nodes_never_change():
    x = cr.input("x", 2)
    for node in (x, cr.parameter("w", [1.0]), x + 1):
        with pytest.raises(dataclasses.FrozenInstanceError):
            node.source = "other"
    with pytest.raises(TypeError):
        cr.sum(x).attributes["axis"] = 3


@pytest.mark.parametrize("use", [bool, lambda n: n and 1, lambda n: 1 if n else 2])
def test_a_node_has_no_truth_value(use):
    with pytest.raises(GraphError, match=r"no truth value[\s\S]*where\("):
        use(cr.input("x") > 0)


def test_chained_comparison_is_an_error_not_a_wrong_graph():
    with pytest.raises(GraphError, match="no truth value"):
        _ = 0 < cr.input("x") < 1


def test_nodes_cannot_be_iterated():
    with pytest.raises(TypeError):
        list(cr.input("x", 3))


def test_membership_does_not_loop_forever():
    with pytest.raises(TypeError):
        _ = 1 in cr.input("x", 3)


# ---------------------------------------------------------------- operators


def test_arrays_and_numbers_stand_on_either_side():
    x = cr.input("x", 2, dtype="float64")
    array = np.array([1.0, 2.0])
    feeds = {"x": [[3.0, 5.0]]}

    def value(node):
        return cr.run(node, feeds).value(node).tolist()

    assert value(array - x) == [[-2.0, -3.0]]
    assert value(x - array) == [[2.0, 3.0]]
    assert value(10 / x) == [[10 / 3, 2.0]]
    assert value(2**x) == [[8.0, 32.0]]
    assert value(x**2) == [[9.0, 25.0]]
    assert value(np.float64(1) + x) == [[4.0, 6.0]]
    assert value(-x) == [[-3.0, -5.0]]
    assert value(abs(-x)) == [[3.0, 5.0]]
    assert value(x @ np.array([1.0, 10.0])) == [53.0]
    assert value(np.eye(2)[None] @ x[:, :, None]) == [[[3.0], [5.0]]]


def test_comparisons_and_logic():
    x = cr.input("x", 3)
    feeds = {"x": [[1.0, 2.0, 3.0]]}
    for node, expected in [
        (x < 2, [True, False, False]),
        (x <= 2, [True, True, False]),
        (x > 2, [False, False, True]),
        (x >= 2, [False, True, True]),
        (2 > x, [True, False, False]),  # noqa: SIM300
        ((x > 1) & (x < 3), [False, True, False]),
        ((x < 2) | (x > 2), [True, False, True]),
        (~(x < 2), [False, True, True]),
    ]:
        assert cr.run(node, feeds).value(node).tolist() == [expected]


def test_the_usual_methods():
    x = cr.input("x", (2, 3), dtype="float64")
    feeds = {"x": np.arange(6.0).reshape(1, 2, 3)}

    def value(node):
        return cr.run(node, feeds).value(node)

    plain = feeds["x"]
    assert value(x.sum(axis=2)).tolist() == plain.sum(2).tolist()
    assert value(x.mean(axis=(1, 2))).tolist() == [2.5]
    assert value(x.max(axis=1, keepdims=True)).tolist() == plain.max(1, keepdims=True).tolist()
    assert value(x.min()) == 0
    assert value(x.reshape(N, 6)).shape == value(x.reshape((N, 6))).shape == (1, 6)
    assert value(x.transpose(0, 2, 1)).tolist() == plain.transpose(0, 2, 1).tolist()
    assert value(x.T).shape == (3, 2, 1)
    assert value(x.astype("float32")).dtype == np.float32


# ---------------------------------------------------------------- names and source lines


def test_source_is_the_users_line():
    x = cr.input("x", 4); at_x = here()  # fmt: skip  # noqa: E702
    w = cr.parameter("w", np.ones((4, 2))); at_w = here()  # fmt: skip  # noqa: E702
    y = x @ w + 1; at_y = here()  # fmt: skip  # noqa: E702
    assert (x.source, w.source, y.source) == (at_x, at_w, at_y)
    assert all(operand.source == at_y for operand in y.operands)


def test_source_of_all_parts_of_a_layer_is_the_line_of_the_layer():
    x = cr.input("x", 4)
    y = cr.dense(x, 2, activation="relu", name="hidden"); line = here()  # fmt: skip  # noqa: E702
    graph = cr.Graph(y)
    assert {node.source for node in graph if node is not x} == {line}


def test_named_and_within_make_another_node():
    x = cr.input("x", 2)
    y = x + 1
    z = y.named("z")
    assert (y.label, z.label, z.op, z.operands, z.source) == (
        "add",
        "z",
        y.op,
        y.operands,
        y.source,
    )
    scope = Scope("block")
    part = y.within(scope, ".sum")
    assert (part.label, part.scope) == ("block.sum", scope)


def test_repr_tells_kind_name_and_type():
    x = cr.input("x", 2)
    assert repr(x) == "<Input 'x' float32(N, 2)>"
    assert repr(cr.parameter("w", [1.0])) == "<Parameter 'w' float32(1,)>"
    assert repr(x + 1) == "<Operation 'add' float32(N, 2)>"


def test_errors_of_operations_name_the_users_line_and_operands():
    x, w = cr.input("x", 64), cr.parameter("w", np.zeros((32, 10)))
    with pytest.raises(ShapeError) as caught:
        _ = x @ w
    line = caught.traceback[0].lineno + 1
    assert f"test_graph_node.py:{line}" in str(caught.value)
    assert "'x'" in str(caught.value)
    assert "'w'" in str(caught.value)


def test_kinds_of_node():
    x, w = cr.input("x", 2), cr.parameter("w", [1.0, 2.0])
    y = x * w
    assert [type(n) for n in (x, w, y)] == [Input, Parameter, Operation]
    assert x.inputs == w.inputs == ()
    assert y.inputs == y.operands
    assert y.operands[0] is x
    assert y.type == TensorType((N, 2))


def test_errors_survive_pickling():
    with pytest.raises(ChainruleError) as caught:
        cr.parameter("w", "text")
    again = pickle.loads(pickle.dumps(caught.value))
    assert (type(again), str(again)) == (type(caught.value), str(caught.value))
