"""Literals to nodes, one dtype, explicit broadcasting."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import numpy.testing as npt
import pytest

from chainrule.errors import DTypeError, GraphError, ShapeError
from chainrule.graph import Graph, Input, Node, Operation, Scope
from chainrule.interpret import evaluate
from chainrule.ops.build import (
    accurate_sum,
    broadcast,
    broadcast_to,
    cast,
    constant,
    promote,
    require_scalar,
)
from chainrule.types import N, TensorType


def node(dtype: str = "float32", shape: tuple[Any, ...] = (3,)) -> Node:
    return Input(Scope("x", given=True), TensorType(shape, dtype), batch=shape[:1] == (N,))


@pytest.mark.parametrize(
    ("value", "dtype"),
    [
        (1.5, "float32"),
        (2, "int32"),
        (True, "bool"),
        ([[1, 2.5]], "float32"),
        ([], "float32"),
        (np.float64(1.5), "float64"),
        (np.arange(3), "int64"),
        (np.zeros(2, "uint32"), "uint32"),
    ],
)
def test_constant_keeps_arrays_and_gives_literals_a_type(value: Any, dtype: str) -> None:
    made = constant(value)
    assert made.type == TensorType(np.shape(value), dtype)
    npt.assert_array_equal(evaluate(Graph(made), {})[made], np.asarray(value, dtype))


def test_constant_is_a_read_only_copy() -> None:
    array = np.array([1.0, 2.0])
    made = constant(array)
    array[0] = 9.0
    assert isinstance(made, Operation)
    npt.assert_array_equal(made.attributes["value"], [1.0, 2.0])
    with pytest.raises(ValueError, match="read-only"):
        made.attributes["value"][0] = 9.0


@pytest.mark.parametrize(
    ("value", "dtype", "said"),
    [
        (0.5, "int32", "does not fit in int32"),
        (math.nan, "int32", "does not fit in int32"),
        (2**40, None, "does not fit in int32"),
        (-1, "uint32", "does not fit in uint32"),
        (2, "bool", "does not fit in bool"),
        ([1.0, 1e300], "float32", "does not fit in float32"),
        ([[1, 2], [3]], None, "rows differ in length"),
        ("one", None, "not an array of numbers"),
        (None, None, "not an array of numbers"),
        (1j, None, "not an array of numbers"),
        (2**70, None, "not an array of numbers"),
        (1.0, "float16", "not an array of numbers"),
    ],
)
def test_constant_refuses_what_it_cannot_keep(value: Any, dtype: str | None, said: str) -> None:
    with pytest.raises(DTypeError, match=said) as caught:
        constant(value, dtype)
    assert "test_ops_build.py" in str(caught.value)


def test_constant_keeps_infinities_and_nan() -> None:
    made = constant([math.inf, -math.inf, math.nan], "float32")
    npt.assert_array_equal(evaluate(Graph(made), {})[made], [math.inf, -math.inf, math.nan])


def test_literals_take_the_dtype_of_the_nodes() -> None:
    assert [x.dtype for x in promote("test", node("float64"), 1, [1.5])] == ["float64"] * 3
    assert [x.dtype for x in promote("test", 1, 2.5)] == ["float32"] * 2
    assert [x.dtype for x in promote("test", 1, True)] == ["int32"] * 2


def test_broadcast_inserts_only_what_is_needed() -> None:
    a, b = node(shape=(2, 3)), node()
    same, wider = broadcast("test", a, b)
    assert same is a
    assert isinstance(wider, Operation)
    assert (wider.op.name, wider.shape) == ("broadcast_to", (2, 3))


def test_the_batch_axis_broadcasts_with_one_alone() -> None:
    x = node(shape=(N, 3))
    assert broadcast("test", x, node(shape=(1, 3)))[1].shape == (N, 3)
    with pytest.raises(ShapeError, match="do not broadcast") as caught:
        broadcast("test", x, node(shape=(4, 3)))
    assert "(N, 3) and (4, 3)" in str(caught.value)


def test_broadcast_to_refuses_a_shape_that_does_not_fit() -> None:
    for shape in ((2,), (), (3, 2)):
        with pytest.raises(ShapeError):
            broadcast_to(node(), shape)


@pytest.mark.parametrize(
    ("value", "dtype", "wanted"),
    [
        ([1.9, -1.9], "int32", [1, -1]),
        ([0.0, 0.5], "bool", [False, True]),
        ([1e300], "float32", [math.inf]),
        ([16777217.0], "float32", [16777216.0]),
    ],
)
def test_cast(value: list[float], dtype: str, wanted: list[Any]) -> None:
    made = cast(constant(np.array(value)), dtype)
    found = evaluate(Graph(made), {})[made]
    assert found.dtype == dtype
    npt.assert_array_equal(found, wanted)


def test_cast_to_the_same_dtype_is_nothing() -> None:
    x = node()
    assert cast(x, "float32") is x
    with pytest.raises(DTypeError, match="unknown dtype"):
        cast(x, "float8")


def test_accurate_sum_of_single_precision() -> None:
    x = np.array([1e8, 1.0, -1e8, 1.0], "float32")
    assert accurate_sum(x, None) == 2.0
    assert accurate_sum(x, None).dtype == np.float32
    assert accurate_sum(np.zeros((0, 2), "float32"), (0,)).tolist() == [0.0, 0.0]


@pytest.mark.parametrize("wrong", [node(shape=(1,)), node("int32", ()), node(shape=(N,))])
def test_a_loss_is_a_floating_point_scalar(wrong: Node) -> None:
    with pytest.raises(GraphError, match=r"sum\(loss\)"):
        require_scalar("loss", wrong)
