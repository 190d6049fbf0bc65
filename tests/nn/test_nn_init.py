"""Initializers: their spread by fan, and how they are named, chosen and written."""

import numpy as np
import pytest

from chainrule.errors import SettingError, ShapeError
from chainrule.graph import Initializer
from chainrule.graph.leaves import parameter
from chainrule.nn import init
from chainrule.nn.arguments import activation_name
from chainrule.ops.activations import relu


def draw(start, shape=(300, 200)):
    return start(shape, np.random.default_rng(5))


@pytest.mark.parametrize(
    ("start", "variance"),
    [
        (init.HeNormal(), 2 / 300),
        (init.HeUniform(), 2 / 300),
        (init.GlorotNormal(), 2 / 500),
        (init.GlorotUniform(), 2 / 500),
        (init.LeCunNormal(), 1 / 300),
        (init.LeCunUniform(), 1 / 300),
        (init.Normal(0.3), 0.09),
        (init.Uniform(-1.0, 1.0), 1 / 3),
    ],
)
def test_spread_by_fan(start, variance):
    values = draw(start)
    assert values.shape == (300, 200)
    assert values.var() == pytest.approx(variance, rel=0.03)
    assert abs(values.mean()) < 4 * np.sqrt(variance / values.size)


def test_uniform_stays_within_its_bound():
    bound = np.sqrt(6 / 500)
    values = draw(init.GlorotUniform())
    assert 0.99 * bound < np.abs(values).max() <= bound


@pytest.mark.parametrize("shape", [(6, 6), (8, 3), (3, 8), (2, 4, 5)])
def test_orthogonal(shape):
    q = draw(init.Orthogonal(gain=2.0), shape).reshape(-1, shape[-1])
    small = q.T @ q if q.shape[0] >= q.shape[1] else q @ q.T
    np.testing.assert_allclose(small, 4 * np.eye(min(q.shape)), atol=1e-12)


def test_orthogonal_of_a_vector():
    with pytest.raises(ShapeError, match="needs a matrix"):
        draw(init.Orthogonal(), (4,))


@pytest.mark.parametrize(
    ("shape", "expected"),
    [((), (1, 1)), ((7,), (7, 7)), ((3, 5), (3, 5)), ((2, 4, 3, 5), (24, 40)), ((0, 5), (1, 5))],
)
def test_fans(shape, expected):
    assert init.fans(shape) == expected


@pytest.mark.parametrize(
    ("activation", "expected"),
    [
        ("relu", init.HeNormal()),
        ("gelu", init.HeNormal()),
        ("selu", init.LeCunNormal()),
        ("tanh", init.GlorotUniform()),
        (None, init.GlorotUniform()),
    ],
)
def test_fits_the_activation(activation, expected):
    assert init.initializer(None, activation) == expected


def test_activation_function_is_known_by_its_name():
    assert activation_name(relu) == "relu"
    assert activation_name(lambda z: relu(z)) is None

    def sigmoid(z):
        return z

    assert activation_name(sigmoid) is None


def test_specs():
    assert init.initializer("orthogonal") == init.Orthogonal()
    assert init.initializer(0.5) == init.Constant(0.5)
    assert init.initializer(init.Normal(0.1)) == init.Normal(0.1)
    np.testing.assert_array_equal(init.initializer([[1, 2]]), [[1.0, 2.0]])
    own = init.initializer(lambda shape, generator: np.full(shape, 3.0))
    assert own.name == "custom"
    np.testing.assert_array_equal(draw(own, (2,)), [3.0, 3.0])


@pytest.mark.parametrize("name", list(init.INITIALIZERS))
def test_every_initializer_fulfils_the_protocol_and_comes_back(name):
    needed = {"constant": [0.5], "grouped": [init.GlorotUniform(), 4, 0.5]}
    start = init.INITIALIZERS[name](*needed.get(name, []))
    assert isinstance(start, Initializer)
    assert start.name == name
    assert parameter("p", start, (3, 2)).initial is start
    assert init.from_dict(init.to_dict(start)) == start


def test_fields_come_back():
    for start in (init.Normal(0.2, 1.0), init.Uniform(0.0, 2.0), init.Orthogonal(3.0)):
        assert init.from_dict(init.to_dict(start)) == start


def test_gates_of_recurrent_layers_are_orthogonal_each_by_itself():
    start = init.from_dict({"name": "orthogonal_gates", "gates": 4, "gain": 2.0})
    assert start == init.Grouped(init.Orthogonal(2.0), 4)
    for gate in np.split(draw(start, (3, 12)), 4, axis=1):
        np.testing.assert_allclose(gate.T @ gate, 4 * np.eye(3), atol=1e-12)
    with pytest.raises(SettingError, match="groups are 1 or more"):
        init.from_dict({"name": "orthogonal_gates"})
    with pytest.raises(ShapeError, match="a multiple of 4"):
        draw(start, (3, 10))


def test_own_function_is_not_written():
    written = init.to_dict(init.Custom(lambda shape, generator: np.zeros(shape)))
    assert written == {"name": "custom"}
    with pytest.raises(SettingError, match="the model's file does not hold"):
        draw(init.from_dict(written), (2,))


@pytest.mark.parametrize(
    ("spec", "match"),
    [
        ("he_norml", "did you mean 'he_normal'"),
        ("xavier_uniform", "did you mean 'glorot_uniform'"),
        ("kaiming_normal", "did you mean 'he_normal'"),
        ("constant", "give the number itself"),
        (object(), "not an initializer"),
        ([["a"]], "not an initializer"),
        (np.array([np.nan]), "not an initializer"),
        (init.HeNormal, "not an initializer"),
        (True, "not an initializer"),
    ],
)
def test_specs_that_are_not_valid(spec, match):
    with pytest.raises(SettingError, match=match):
        init.initializer(spec)


@pytest.mark.parametrize(
    "data",
    [
        {"name": "nothing"},
        {},
        {"name": ["zeros"]},
        {"name": "normal", "std": "0.1"},
        {"name": "normal", "std": -1.0},
        {"name": "normal", "std": float("nan")},
        {"name": "uniform", "low": 2.0, "high": 1.0},
        {"name": "zeros", "value": 1.0},
        {"name": "constant"},
        {"name": "constant", "value": True},
    ],
)
def test_damaged_dict(data):
    with pytest.raises(SettingError):
        init.from_dict(data)


def test_own_function_is_checked():
    with pytest.raises(ShapeError, match="wrong shape"):
        draw(init.Custom(lambda shape, generator: np.zeros(3)), (2,))
    with pytest.raises(SettingError, match="finite"):
        draw(init.Custom(lambda shape, generator: np.full(shape, np.inf)), (2,))
