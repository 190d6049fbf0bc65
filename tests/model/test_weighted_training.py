"""Weights of examples, classes and masks count alike in every minibatch of a fit."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import numpy.testing as npt
import pytest

import chainrule as cr
from chainrule.errors import FeedError

Array = np.ndarray[Any, Any]
Given = tuple[cr.Node | list[cr.Node], cr.Node, dict[str, Array]]
R = np.random.default_rng(4)
N = 12
X = R.normal(size=(N, 3))
W = R.uniform(0, 3, N) * (np.arange(N) % 3 > 0)
MASK, CHANCES = R.random((N, 2)) < 0.6, R.dirichlet(np.ones(3), N)
RATE = 1e-7


def number(name: str, *shape: int) -> cr.Node:
    return cr.input(name, shape, "float64")


def of_numbers() -> Given:
    y = cr.dense(number("x", 3), 1)
    loss = cr.squared_error(y, number("t", 1), weights=number("w"))
    return y, loss + cr.l2(*cr.weights_of(y), strength=0.1), {"t": X[:, :1] ** 2, "w": W}


def of_values() -> Given:
    y = cr.dense(number("x", 3), 2)
    mask = cr.input("k", (2,), "bool")
    loss = cr.binary_cross_entropy(y, cr.input("t", (2,), "bool"), weights=mask)
    return y, loss, {"t": X[:, :2] > 0, "k": MASK}


def of_classes() -> Given:
    y = cr.dense(number("x", 3), 3)
    t = cr.input("t", dtype="int32")
    loss = cr.cross_entropy(y, t, ignore_index=-1, class_weights=[1, 2, 9])
    return y, loss, {"t": np.arange(N) % 4 - 1}


def of_chances() -> Given:
    y = cr.dense(number("x", 3), 3)
    loss = cr.cross_entropy(y, number("t", 3), class_weights=[1, 5, 20])
    return y, loss, {"t": CHANCES}


def of_two_losses() -> Given:
    x, t = number("x", 3), number("t", 1)
    y, z = cr.dense(x, 1, name="y"), cr.dense(x, 1, name="z")
    loss = cr.squared_error(y, t, weights=number("w"))
    loss = loss + 0.3 * cr.huber(z, t, weights=number("v"))
    return [y, z], loss, {"t": X[:, 1:2], "w": W, "v": W[::-1]}


def by_hand() -> Given:
    y, w = cr.squeeze(cr.dense(number("x", 3), 1), -1), number("w")
    loss = cr.sum(w * cr.abs(y - number("t"))) / cr.data_total(cr.sum(w))
    return y, loss, {"t": X[:, 0], "w": W}


KINDS = [of_numbers, of_values, of_classes, of_chances, of_two_losses, by_hand]


def change(make: Callable[[], Given], size: int, **settings: Any) -> tuple[Array, float, float]:
    """The change of all parameters in an epoch of tiny steps, and its loss, told and evaluated."""
    outputs, loss, data = make()
    model = cr.Model(outputs, loss)
    before = model.values
    data = {"x": X, **data}
    settings = {"optimizer": cr.SGD(RATE), "epochs": 1, "validation": None, **settings}
    history = model.fit(data, batch_size=size, verbose=False, **settings)
    moved = np.concatenate([(model.values[k] - x).ravel() for k, x in before.items()])
    return moved / RATE, history["loss"][0], model.evaluate(data)["loss"]


@pytest.mark.parametrize("backend", ["native", "interpreter"])
@pytest.mark.parametrize("make", KINDS)
def test_an_epoch_adds_up_to_the_gradient_of_all_rows(
    make: Callable[[], Given], backend: str
) -> None:
    whole, *losses = change(make, N, backend=backend)
    assert losses[0] == pytest.approx(losses[1], rel=1e-5)
    assert np.abs(whole).max() > 0.01
    for size in (1, 4):
        found, told, evaluated = change(make, size, backend=backend)
        npt.assert_allclose(found * size / N, whole, rtol=2e-3, atol=1e-5)
        assert told == pytest.approx(evaluated, rel=1e-5)
    told, evaluated = change(make, 5, backend=backend)[1:]  # the last minibatch has two rows
    assert told == pytest.approx(evaluated, rel=1e-5)


@pytest.mark.parametrize("size", [1, 10, 100, 1000])
def test_two_biases_and_a_rare_class(size: int) -> None:
    b = cr.parameter("b", [2.0, 0.0])
    logits = cr.expand_dims(cr.input("x"), 1) * 0 + b
    loss = cr.cross_entropy(logits, cr.input("t", dtype="int32"), class_weights=[1, 99])
    model = cr.Model(logits, loss)
    data = {"x": np.zeros(1000), "t": np.arange(1000) % 100 == 0}
    rate = cr.schedules.Polynomial(min(size / 100, 1.0))
    model.fit(data, batch_size=size, epochs=40, optimizer=cr.SGD(rate), validation=None,
              verbose=False)  # fmt: skip
    assert np.ptp(model.values["b"]) == pytest.approx(0, abs=0.02)  # both have the chance 0.5


@pytest.mark.parametrize("size", [1, 2, 3])
def test_the_line_through_weighted_points(size: int) -> None:
    x, t = cr.input("x"), cr.input("t")
    y = cr.parameter("a", 0.0) * x + cr.parameter("b", 0.0)
    model = cr.Model(y, cr.squared_error(y, t, weights=cr.input("w")))
    data = {"x": [0.0, 1, 2], "t": [0.0, 1, 5], "w": [1.0, 1, 2]}
    rate = cr.schedules.Polynomial(0.05)
    model.fit(data, batch_size=size, epochs=3000, optimizer=cr.SGD(rate), validation=None,
              verbose=False)  # fmt: skip
    assert model.value("a") == pytest.approx(29 / 11, abs=0.03)


def test_only_training_rows_make_the_mean_weight() -> None:
    y = cr.parameter("a", 0.0) * cr.input("x")
    loss = cr.squared_error(y, cr.input("t"), weights=cr.input("w"))
    one, two, many = cr.Model(y, loss), cr.Model(y, loss), cr.Model(y, loss)
    data = {"x": np.ones(4), "t": np.arange(4.0), "w": np.array([1.0, 2.0, 500.0, 900.0])}
    some = {name: x[:2] for name, x in data.items()}
    settings: dict[str, Any] = {"batch_size": 1, "optimizer": cr.SGD(0.1), "epochs": 2}
    settings |= {"keep_best": False, "verbose": False}
    one.fit(data, validation=0.5, time=np.arange(4), **settings)
    two.fit(some, validation={n: x[2:] for n, x in data.items()}, **settings)
    assert one.value("a") == two.value("a")
    cr.fit_many([many], data, validation=0.5, time=np.arange(4), **settings)
    assert many.value("a") == two.value("a")
    assert one.history["validation_loss"][-1] == pytest.approx(
        float(np.average((data["t"][2:] - one.value("a")) ** 2, weights=data["w"][2:]))
    )


@pytest.mark.parametrize("make", [of_numbers, of_values, of_classes, of_chances])
def test_the_optimum_of_lbfgs_is_that_of_minibatches(make: Callable[[], Given]) -> None:
    outputs, loss, data = make()
    model = cr.Model(outputs, loss)
    data = {"x": X, **data}
    settings: dict[str, Any] = {"validation": None, "verbose": False}
    model.fit(data, optimizer=cr.LBFGS(), **settings)
    assert model.history["loss"][-1] == pytest.approx(model.evaluate(data)["loss"], abs=1e-4)
    before = model.values
    model.fit(data, batch_size=1, epochs=1, optimizer=cr.SGD(RATE), **settings)
    for name, x in before.items():
        npt.assert_allclose((model.value(name) - x) / RATE, 0, atol=1e-3)


def test_weights_that_parameters_decide_are_those_of_the_minibatch() -> None:
    x = number("x")
    trust = cr.exp(cr.parameter("s", 0.5, dtype="float64") * x)
    y = cr.parameter("a", 1.0, dtype="float64") * x
    model = cr.Model(y, cr.squared_error(y, number("t"), weights=trust))
    data = {"x": np.array([1.0, 2.0]), "t": np.array([0.0, 1.0])}
    model.fit(data, batch_size=1, epochs=1, optimizer=cr.SGD(0.1), validation=None,
              shuffle=False, verbose=False)  # fmt: skip
    assert model.value("s") == 0.5  # the weight of a single row cancels
    first = 1.0 - 0.1 * 2 * 1.0
    assert model.value("a") == pytest.approx(first - 0.1 * 2 * 2 * (2 * first - 1))


@pytest.mark.parametrize("bad", [np.nan, np.inf])
def test_a_weight_that_is_not_finite_names_its_row(bad: float) -> None:
    y = cr.parameter("a", 0.0) * cr.input("x")
    model = cr.Model(y, cr.squared_error(y, cr.input("t"), weights=cr.input("w")))
    data = {"x": np.ones(9), "t": np.ones(9), "w": np.where(np.arange(9) == 7, bad, 1.0)}
    with pytest.raises(cr.errors.NotFinite, match=r"node 'w'.*row 7"):
        model.fit(data, batch_size=2, validation=None, shuffle=False, verbose=False)


def test_weights_that_are_all_0_are_refused_where_they_are() -> None:
    x, t, w = cr.input("x", (2,)), cr.input("t", ()), cr.input("w", ())
    y = cr.dense(x, 1, name="y")[:, 0].named("p")
    model = cr.Model(y, cr.squared_error(y, t, weights=w))

    def rows(weight: float) -> dict[str, Any]:
        return {"x": np.ones((8, 2)), "t": np.ones(8), "w": np.full(8, weight)}

    with pytest.raises(FeedError, match=r"(?s)input 'w'.*all weights are 0.*the validation data"):
        model.fit(rows(1.0), validation=rows(0.0), epochs=1, verbose=False)
    with pytest.raises(FeedError, match=r"(?s)all weights are 0.*the data"):
        model.fit(rows(0.0), epochs=1, validation=None, verbose=False)
