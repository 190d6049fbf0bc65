"""Elementwise ops where numbers are large, tiny, infinite or NaN."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import numpy as np
import numpy.testing as npt
import pytest

from chainrule.autodiff import gradients
from chainrule.graph import Graph, Input, Node, Scope
from chainrule.interpret import evaluate
from chainrule.ops import activations as f
from chainrule.ops import bounds, compare, elementwise, transcendental
from chainrule.ops.build import sum_to
from chainrule.types import N, TensorType

Array = np.ndarray[Any, Any]
Function = Callable[[Node], Node]
INF, NAN = math.inf, math.nan

ACTIVATIONS: dict[str, Function] = {
    "sigmoid": f.sigmoid,
    "softplus": f.softplus,
    "relu": f.relu,
    "leaky_relu": f.leaky_relu,
    "elu": f.elu,
    "selu": f.selu,
    "gelu": f.gelu,
    "gelu_tanh": lambda x: f.gelu(x, approximate=True),
    "silu": f.silu,
    "mish": f.mish,
    "hard_sigmoid": f.hard_sigmoid,
    "hard_tanh": f.hard_tanh,
    "softsign": f.softsign,
    "tanh": transcendental.tanh,
    "erf": transcendental.erf,
}


def derivatives(function: Function, numbers: Any, dtype: str, order: int) -> list[Array]:
    """The values at `numbers`, then the first derivatives, up to that order."""
    x = Input(Scope("x", given=True), TensorType((N,), dtype))
    nodes = [function(x)]
    for _ in range(order):
        nodes += gradients(sum_to(nodes[-1], ()), [x])
    array = np.asarray(numbers, dtype)
    env = evaluate(Graph([x, *nodes]), {x: array}, rows=len(array))
    return [env[node] for node in nodes]


def value(function: Function, numbers: Any, dtype: str = "float64") -> Array:
    return derivatives(function, numbers, dtype, 0)[0]


def ulps(found: Array, wanted: Array) -> float:
    """The largest difference in units of the last place of `wanted`, in the dtype of `found`."""
    unit = np.spacing(np.abs(wanted).astype(found.dtype)).astype("float64")
    return float(np.max(np.abs(found.astype("float64") - wanted) / unit))


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("name", ACTIVATIONS)
def test_no_activation_overflows(name: str, dtype: str) -> None:
    for derived in derivatives(ACTIVATIONS[name], [-1e4, -100.0, 100.0, 1e4], dtype, 2):
        assert np.isfinite(derived).all(), derived


@pytest.mark.parametrize("name", ACTIVATIONS)
def test_nan_goes_through_every_activation(name: str) -> None:
    assert np.isnan(value(ACTIVATIONS[name], [NAN]))


@pytest.mark.parametrize(
    ("name", "below", "above"),
    [
        ("sigmoid", 0, 1),
        ("softplus", 0, INF),
        ("relu", 0, INF),
        ("leaky_relu", -INF, INF),
        ("elu", -1, INF),
        ("selu", -1.0507009873554805 * 1.6732632423543772, INF),
        ("hard_sigmoid", 0, 1),
        ("hard_tanh", -1, 1),
        ("tanh", -1, 1),
        ("erf", -1, 1),
    ],
)
def test_limits_at_infinity(name: str, below: float, above: float) -> None:
    npt.assert_allclose(value(ACTIVATIONS[name], [-INF, INF]), [below, above], rtol=1e-15)


@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_sigmoid_and_softplus_keep_their_digits_far_below_zero(dtype: str) -> None:
    x = np.linspace(-80, -20, 61).astype(dtype)
    wanted = np.exp(x.astype("float64"))  # both are exp(x) (1 + O(exp(x)))
    wanted_sigmoid, wanted_softplus = wanted / (1 + wanted), wanted - wanted**2 / 2
    assert ulps(value(f.sigmoid, x, dtype), wanted_sigmoid) < 8
    assert ulps(value(f.softplus, x, dtype), wanted_softplus) < 8


def test_results_may_be_subnormal() -> None:
    smallest = 2.0**-149  # of float32
    x = np.float32([-95.0, -100.0])
    wanted = np.exp(x.astype("float64"))
    for function in (f.sigmoid, f.softplus, transcendental.exp):
        assert np.max(np.abs(value(function, x, "float32") - wanted)) <= smallest
    tiny = [5e-324, -5e-324, 1e-310]
    for function in (transcendental.expm1, transcendental.log1p, transcendental.sin, f.relu):
        npt.assert_array_equal(value(function, [tiny[0], tiny[2]]), [tiny[0], tiny[2]])
    npt.assert_array_equal(value(bounds.abs, tiny), np.array(tiny) * [1, -1, 1])
    npt.assert_array_equal(value(elementwise.sqrt, [2.0**-1074]), [2.0**-537])


def test_signed_zeros() -> None:
    assert np.signbit(value(elementwise.negative, [0.0]))[0]
    assert np.signbit(value(transcendental.erf, [-0.0]))[0]
    assert np.signbit(value(transcendental.tanh, [-0.0]))[0]
    assert not np.signbit(value(bounds.abs, [-0.0]))[0]


# ---------------------------------------------------------------- accuracy


def test_erf_to_the_last_digit() -> None:
    edges = [0.84375, 1.25, 1 / 0.35, 6.0]
    x = np.concatenate(
        [
            np.linspace(-6.5, 6.5, 20_001),
            10.0 ** np.linspace(-300, 0, 500),
            *([np.nextafter(e, 0), e, np.nextafter(e, 9)] for e in edges),
        ]
    )
    assert ulps(value(transcendental.erf, x), np.array([math.erf(v) for v in x])) <= 2
    single = x.astype("float32")
    wanted = np.array([math.erf(v) for v in single.astype("float64")])
    assert ulps(value(transcendental.erf, single, "float32"), wanted) <= 0.51


def test_erf_of_known_numbers() -> None:
    # Abramowitz and Stegun, Handbook of Mathematical Functions, table 7.1
    known = {0.5: 0.5204998778, 1.0: 0.8427007929, 1.5: 0.9661051465, 2.0: 0.9953222650}
    npt.assert_allclose(value(transcendental.erf, list(known)), list(known.values()), atol=6e-11)
    npt.assert_array_equal(value(transcendental.erf, [6.0, 30.0]), [1.0, 1.0])


def test_expm1_and_log1p_near_zero() -> None:
    x = np.array([1e-20, -1e-12, 3e-9])
    npt.assert_allclose(value(transcendental.expm1, x), x + x * x / 2, rtol=1e-15)
    npt.assert_allclose(value(transcendental.log1p, x), x - x * x / 2, rtol=1e-15)


def test_softsign_gradient_does_not_cancel() -> None:
    (_, slope) = derivatives(f.softsign, [1e4, -1e6], "float32", 1)
    npt.assert_allclose(slope, [1 / (1 + 1e4) ** 2, 1 / (1 + 1e6) ** 2], rtol=1e-6)


def test_selu_keeps_mean_and_variance() -> None:
    """The two numbers of selu solve: mean 0, variance 1 in, the same out (Gauss-Hermite)."""
    points, weights = np.polynomial.hermite_e.hermegauss(120)
    weights = weights / weights.sum()
    y = value(f.selu, points)
    assert abs(weights @ y) < 2e-3
    assert abs(weights @ y**2 - 1) < 2e-3


def test_gelu_forms_are_close_and_differ() -> None:
    x = np.linspace(-6, 6, 1001)
    gap = np.abs(value(f.gelu, x) - value(ACTIVATIONS["gelu_tanh"], x))
    assert 1e-4 < gap.max() < 5e-4


def test_round_to_even_beyond_small_numbers() -> None:
    x = [0.49999999999999994, 2.0**52 + 1, -(2.0**53), 1e300, -0.3]
    npt.assert_array_equal(value(bounds.round, x), [0.0, 2.0**52 + 1, -(2.0**53), 1e300, -0.0])


# ---------------------------------------------------------------- powers and selection


def test_the_exponent_of_base_zero_gets_no_gradient() -> None:
    a, b = np.zeros(4), np.array([2.0, 0.0, -1.0, -2.5])
    x, y = (Input(Scope(n), TensorType((N,), "float64")) for n in "ab")
    (gb,) = gradients(sum_to(elementwise.power(x, y), ()), [y])
    npt.assert_array_equal(evaluate(Graph(gb), {x: a, y: b}, rows=4)[gb], np.zeros(4))


def test_zero_to_the_zero_has_all_derivatives() -> None:
    zero, none = np.zeros(1), np.zeros(1)
    a, b = (Input(Scope(n, given=True), TensorType((1,), "float64"), batch=False) for n in "ab")
    first = gradients(sum_to(elementwise.power(a, b), ()), [a, b])
    second = [g for node in first for g in gradients(sum_to(node, ()), [a])]
    env = evaluate(Graph([a, b, *first, *second]), {a: zero, b: none})
    assert [env[g].item() for g in (*first, *second)] == [0.0, 0.0, 0.0, 0.0]


@pytest.mark.parametrize(
    ("exponent", "name"),
    [(2, "square"), (0.5, "sqrt"), (-0.5, "rsqrt"), (-1, "reciprocal"), (np.int64(2), "square")],
)
def test_literal_exponents_become_simpler_ops(exponent: Any, name: str) -> None:
    x = Input(Scope("x", given=True), TensorType((3,)), batch=False)
    assert [node.op.name for node in Graph(x**exponent).operations] == [name]
    assert x**1 is x
    assert [node.op.name for node in Graph(x**3).operations] == ["power_scalar"]


def test_where_guards_its_operand_not_its_result() -> None:
    """What the docstring of `where` warns of, and what it recommends."""

    def naive(x: Node) -> Node:
        return compare.where(x > 0, transcendental.log(x) * 0 + elementwise.sqrt(x), 0.0)

    def guarded(x: Node) -> Node:
        return compare.where(x > 0, elementwise.sqrt(compare.where(x > 0, x, 1.0)), 0.0)

    npt.assert_array_equal(derivatives(naive, [0.0, 4.0], "float64", 1)[0], [0.0, 2.0])
    assert np.isnan(derivatives(naive, [0.0, 4.0], "float64", 1)[1][0])
    npt.assert_array_equal(derivatives(guarded, [0.0, 4.0], "float64", 1)[1], [0.0, 0.25])


def test_sum_of_many_single_precision_numbers() -> None:
    numbers = np.full(1_000_000, 0.1, "float32")
    x = Input(Scope("x", given=True), TensorType((N,)))
    total = sum_to(x, ())
    found = evaluate(Graph(total), {x: numbers}, rows=len(numbers))[total]
    assert found == np.float32(float(np.float32(0.1)) * 1_000_000)


def test_integers_wrap_around() -> None:
    x = Input(Scope("x", given=True), TensorType((1,), "int32"), batch=False)
    y = x + 1
    assert evaluate(Graph(y), {x: np.array([2**31 - 1], "int32")})[y] == -(2**31)


@pytest.mark.parametrize(
    ("made", "attributes"),
    [
        (lambda x: x**3.0, {"exponent": 3}),
        (lambda x: x ** np.float64(-2.5), {"exponent": -2.5}),
        (lambda x: bounds.clip(x, np.float32(0), 0.1), {"low": 0, "high": 0.1}),
    ],
)
def test_numbers_in_a_formula_are_plain(made: Function, attributes: dict[str, Any]) -> None:
    (node,) = Graph(made(Input(Scope("x", given=True), TensorType((N,))))).operations
    assert dict(node.attributes) == attributes
    assert all(type(v) is type(attributes[k]) for k, v in node.attributes.items())
