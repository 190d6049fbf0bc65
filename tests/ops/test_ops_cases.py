"""What every row of the table of op cases must hold."""

from __future__ import annotations

import zlib
from collections.abc import Iterator
from typing import Any

import numpy as np
import numpy.testing as npt
import pytest

from cases.case import Bad, Case, Operands
from chainrule.autodiff import gradients
from chainrule.errors import ChainruleError
from chainrule.graph import Graph, Input, Node, Scope, check, listing
from chainrule.graph.step import KEY
from chainrule.interpret import evaluate
from chainrule.ops.build import constant, sum_to
from chainrule.types import N, TensorType, resolve
from opcases import CASES

Array = np.ndarray[Any, Any]
Values = dict[Node, Array]
DTYPES = {"int": "int32", "bool": "bool"}
NO_SEED = np.zeros(3, "uint32")


# ---------------------------------------------------------------- operands and evaluation


def kinds_of(case: Case) -> tuple[str, ...]:
    return case.kinds or ("float",) * len(case.shapes[0])


def draw(case: Case, shapes: Operands, dtype: str) -> list[Array]:
    """Operand values from the case's domain, the same in each run."""
    generator = np.random.default_rng(zlib.crc32(f"{case.name} {shapes}".encode()))
    domains = case.domain if np.ndim(case.domain) == 2 else [case.domain] * len(shapes)
    arrays = []
    for shape, (low, high), kind in zip(shapes, domains, kinds_of(case), strict=True):
        if kind == "bool":
            array = generator.integers(0, 2, shape).astype(bool)
        elif kind == "int":
            array = np.asarray(generator.integers(int(low), int(high), shape, endpoint=True))
        else:
            array = np.asarray(generator.uniform(low, high, shape))
        array = array.astype(DTYPES.get(kind, dtype))
        array.flags.writeable = False  # an op that writes to its operands fails
        arrays.append(array)
    return arrays


def batched_positions(case: Case, shapes: Operands) -> tuple[int, ...]:
    if case.batch is not None:
        return case.batch
    axes = max((len(s) for s in shapes), default=0)
    longest = max((s[0] for s in shapes if len(s) == axes and axes), default=0)
    longest = 0 if any(len(s) == axes and axes and s[0] == 0 for s in shapes) else longest
    return tuple(k for k, s in enumerate(shapes) if len(s) == axes and axes and s[0] == longest)


def as_inputs(arrays: list[Array], batched: tuple[int, ...]) -> Values:
    """Input nodes of the arrays' types, those in `batched` with N in front, and their values."""
    values: Values = {}
    for k, array in enumerate(arrays):
        shape = (N, *array.shape[1:]) if k in batched else array.shape
        kind = TensorType(shape, str(array.dtype))
        values[Input(Scope(f"x{k}", given=True), kind, batch=k in batched)] = array
    return values


def rows_of(values: Values) -> int:
    return next((len(v) for x, v in values.items() if x.shape[:1] == (N,)), 0)


def compute(outputs: list[Node], values: Values) -> list[Array]:
    """The outputs' values; every node on the way has the type that was inferred for it."""
    graph = check(Graph([*outputs, *values]))
    env = evaluate(graph, {KEY: NO_SEED, **values}, rows=rows_of(values))
    for node in graph:
        made, said = env[node], resolve(node.shape, rows_of(values))
        assert (made.shape, str(made.dtype)) == (said, node.dtype), graph.name(node)
    assert listing(graph)
    return [env[x] for x in outputs]


def variants(case: Case) -> Iterator[tuple[Operands, tuple[int, ...]]]:
    """Each of the shapes, with no batch axis and then with one."""
    for shapes in case.shapes:
        yield shapes, ()
        if batched := batched_positions(case, shapes):
            yield shapes, batched


def differentiable(case: Case) -> tuple[int, ...]:
    floats = tuple(k for k, kind in enumerate(kinds_of(case)) if kind == "float")
    return floats if case.wrt is None else case.wrt


def rows(*, order: int = 0) -> Any:
    chosen = [c for c in CASES if c.order >= order and (not order or differentiable(c))]
    return pytest.mark.parametrize("case", chosen, ids=lambda c: c.name)


# ---------------------------------------------------------------- value


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@rows()
def test_value_is_that_of_the_reference(case: Case, dtype: str) -> None:
    for shapes, batched in variants(case):
        arrays = draw(case, shapes, dtype)
        values = as_inputs(arrays, batched)
        (found,) = compute([case.function(*values, **case.attributes)], values)
        wide = [a.astype("float64") if a.dtype == dtype else a for a in arrays]
        with np.errstate(all="ignore"):
            wanted = np.asarray(case.reference(*wide, **case.attributes))
        assert found.shape == wanted.shape, f"{shapes}, batched {batched}"
        if found.dtype.kind == "f":
            tolerance = case.tolerance[dtype]
            npt.assert_allclose(
                found, wanted, tolerance, tolerance, err_msg=f"{shapes}, batched {batched}"
            )
        else:
            npt.assert_array_equal(found, wanted, err_msg=f"{shapes}, batched {batched}")


# ---------------------------------------------------------------- gradients


def weighted_sum(nodes: list[Node], generator: np.random.Generator) -> Node:
    """The sum of all elements, each with a random weight: a loss that tells them apart."""
    parts = [sum_to(x * constant(generator.uniform(-1, 1, x.shape), x.dtype), ()) for x in nodes]
    total = parts[0]
    for part in parts[1:]:
        total = total + part
    return total


def slope(loss: Node, values: Values, along: Values) -> float:
    """The derivative of `loss` along a direction, by central differences of order 4."""
    graph = Graph([loss, *values])

    def at(step: float) -> float:
        shifted = {x: v + step * along[x] if x in along else v for x, v in values.items()}
        return float(evaluate(graph, {KEY: NO_SEED, **shifted}, keep=[loss])[loss])

    h = 1e-5
    return (8 * (at(h) - at(-h)) - (at(2 * h) - at(-2 * h))) / (12 * h)


@rows(order=1)
def test_gradient_along_random_directions(case: Case) -> None:
    """`<t, gradient>` is the slope along `t`, for the value and for its own gradient."""
    for shapes in case.shapes:
        arrays = draw(case, shapes, "float64")
        values = as_inputs(arrays, ())
        nodes = list(values)
        wrt = [nodes[k] for k in differentiable(case)]
        generator = np.random.default_rng(len(shapes))
        derived = [case.function(*nodes, **case.attributes)]
        for order in range(1, case.order + 1):
            loss = weighted_sum(derived, generator)
            derived = gradients(loss, wrt)
            along = {x: np.asarray(generator.uniform(-1, 1, x.shape)) for x in wrt}
            terms = [g * along[x] for x, g in zip(wrt, compute(derived, values), strict=True)]
            analytic = sum(float(np.sum(term)) for term in terms)
            scale = 1 + sum(float(np.sum(np.abs(term))) for term in terms)
            numeric = slope(loss, values, along)
            said = f"order {order}, {shapes}: gradient {analytic}, differences {numeric}"
            assert abs(analytic - numeric) <= 1e-7 * scale, said


@rows(order=1)
def test_gradient_in_float32_and_with_a_batch_axis(case: Case) -> None:
    """Both agree with the gradient in float64 without a batch axis, from the same numbers."""
    for shapes in case.shapes:
        arrays = draw(case, shapes, "float32")
        wide = [a.astype("float64") if a.dtype == "float32" else a for a in arrays]
        expected = gradient_of_squares(case, wide, ())
        runs = [(arrays, (), 20 * case.tolerance["float32"])]
        if batched := batched_positions(case, shapes):
            runs.append((wide, batched, 1e-12))
        for operands, positions, tolerance in runs:
            computed = gradient_of_squares(case, operands, positions)
            for found, wanted in zip(computed, expected, strict=True):
                near = tolerance * max(1.0, float(np.max(np.abs(wanted), initial=0)))
                npt.assert_allclose(found, wanted, tolerance, near, err_msg=f"{shapes} {positions}")


def gradient_of_squares(case: Case, arrays: list[Array], batched: tuple[int, ...]) -> list[Array]:
    values = as_inputs(arrays, batched)
    nodes = list(values)
    y = case.function(*nodes, **case.attributes)
    return compute(gradients(sum_to(y * y, ()), [nodes[k] for k in differentiable(case)]), values)


@rows()
def test_conventions_at_kinks(case: Case) -> None:
    for operands, value, gradient in case.kinks:
        arrays = [
            np.asarray(v, DTYPES.get(kind, "float64"))
            for v, kind in zip(operands, kinds_of(case), strict=True)
        ]
        values = as_inputs(arrays, ())
        nodes = list(values)
        y = case.function(*nodes, **case.attributes)
        npt.assert_array_equal(compute([y], values)[0], np.asarray(value), err_msg=str(operands))
        asked = [(x, g) for x, g in zip(nodes, gradient, strict=True) if g is not None]
        if asked:
            found = compute(gradients(sum_to(y, ()), [x for x, _ in asked]), values)
            for array, (_, wanted) in zip(found, asked, strict=True):
                npt.assert_array_equal(array, np.asarray(wanted, float), err_msg=str(operands))


# ---------------------------------------------------------------- misuse

MISUSES = [pytest.param(bad, id=f"{c.name}-{k}") for c in CASES for k, bad in enumerate(c.bad)]


@pytest.mark.parametrize("bad", MISUSES)
def test_misuse_is_reported_in_four_parts(bad: Bad) -> None:
    with pytest.raises(bad.error, match=bad.match) as caught:
        bad.call()
    assert isinstance(caught.value, ChainruleError)
    assert caught.value.where
    assert caught.value.what
    assert caught.value.at, str(caught.value)


def test_names_are_unique() -> None:
    names = [case.name for case in CASES]
    assert sorted(set(names)) == sorted(names)
