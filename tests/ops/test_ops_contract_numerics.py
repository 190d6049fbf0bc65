"""Contractions of every shape, drawn at random and held against NumPy's own loops."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.testing as npt
import pytest

import chainrule as cr
from chainrule.errors import ShapeError
from chainrule.graph import Graph, Node
from chainrule.types import N

SIZES = {"a": 2, "b": 3, "c": 1, "d": 4}


def value(y: Node, **feeds: Any) -> Any:
    return cr.run(y, feeds).value(y)


def drawn_equation(generator: np.random.Generator) -> tuple[list[str], str]:
    terms = [
        "".join(generator.choice(list(SIZES), generator.integers(0, 4)))
        for _ in range(generator.integers(1, 4))
    ]
    labels = sorted(set("".join(terms)))
    kept = generator.permutation(labels)[: generator.integers(0, len(labels) + 1)]
    return terms, "".join(kept)


@pytest.mark.parametrize("seed", range(60))
def test_drawn_equations_and_their_gradients(seed: int) -> None:
    """The value is NumPy's; the gradient that of a function linear in each operand."""
    generator = np.random.default_rng(seed)
    terms, out = drawn_equation(generator)
    arrays = [generator.normal(size=[SIZES[s] for s in term]) for term in terms]
    nodes = [cr.parameter(f"x{k}", a, dtype="float64") for k, a in enumerate(arrays)]
    equation = f"{','.join(terms)}->{out}"
    y = cr.einsum(equation, *nodes)
    wanted = np.einsum(equation, *arrays, optimize=False)
    weights = generator.normal(size=wanted.shape)
    loss = cr.sum(y * cr.constant(weights))
    trace = cr.run([y, loss], {})
    npt.assert_allclose(trace.value(y), wanted, 1e-10, 1e-10, err_msg=equation)
    trace.backward(loss)
    for k, node in enumerate(nodes):
        along = generator.normal(size=arrays[k].shape)
        moved = np.einsum(equation, *arrays[:k], along, *arrays[k + 1 :], optimize=False)
        slope = float(np.sum(trace.gradient(node) * along))
        npt.assert_allclose(slope, np.sum(moved * weights), 1e-9, 1e-9, err_msg=equation)


def test_a_matrix_product_has_the_two_gradients_of_the_textbook() -> None:
    x, w = cr.input("x", (2,)), cr.parameter("w", np.ones((2, 3)))
    gx, gw = cr.gradients(cr.sum(x @ w), [x, w])
    assert gx.op.name == gw.op.name == "matmul"  # type: ignore[attr-defined]
    assert (gx.shape, gw.shape) == ((N, 2), (2, 3))
    npt.assert_array_equal(value(gw, x=[[1, 2], [3, 4], [5, 6]]), [[9] * 3, [12] * 3])


def test_rows_are_contracted_and_paired() -> None:
    x = cr.input("x", (2,), dtype="float64")
    data = np.array([[1.0, 2.0], [3.0, 4.0], [5.0, 6.0]])
    assert (x.T @ x).shape == (2, 2)
    assert (x @ x.T).shape == (N, N)
    npt.assert_array_equal(value(x.T @ x, x=data), data.T @ data)
    npt.assert_array_equal(value(x @ x.T, x=data), data @ data.T)
    npt.assert_array_equal(value(x.T @ x, x=data[:0]), np.zeros((2, 2)))


def test_weights_shared_along_a_sequence_are_contracted_at_once() -> None:
    """The gradient of the weights is one contraction; no batch of weight matrices is made."""
    x, w = cr.input("x", (5, 3), dtype="float64"), cr.parameter("w", np.eye(3, 2), dtype="float64")
    (gw,) = cr.gradients(cr.sum((x @ w) ** 2), [w])
    assert all(node.ndim <= 3 for node in Graph(gw))
    data = np.random.default_rng(0).normal(size=(4, 5, 3))
    wanted = 2 * np.einsum("nti,ntj->ij", data, data @ np.eye(3, 2))
    npt.assert_allclose(value(gw, x=data), wanted)


def test_literals_multiply_nodes_from_both_sides() -> None:
    x = cr.parameter("x", [1.0, 2.0])
    assert float(value(x @ [3.0, 4.0])) == 11.0
    npt.assert_array_equal(value(np.array([[1.0, 1.0]]) @ x), [3.0])


def test_diagonal_leaves_infinite_neighbours_alone() -> None:
    x = cr.constant([[1.0, np.inf], [np.nan, 2.0]])
    npt.assert_array_equal(value(cr.einsum("ii->i", x)), [1.0, 2.0])


def test_no_diagonal_of_the_batch_axis() -> None:
    x = cr.input("x", (2,))
    with pytest.raises(ShapeError, match="no diagonal of the batch axis"):
        cr.einsum("ii->i", x @ x.T)


def test_errors_name_line_and_operands() -> None:
    x, w = cr.input("x", (64,)), cr.parameter("w", np.zeros((32, 10)))
    with pytest.raises(ShapeError) as caught:
        x @ w
    text = str(caught.value)
    assert "[matmul] inner sizes differ" in text
    assert "(N, 64) and (32, 10)" in text
    assert "test_ops_contract_numerics.py:" in text
    assert "'w'" in text
