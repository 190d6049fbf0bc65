"""Rows and values that do not count leave loss, gradients and training finite."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import numpy.testing as npt
import pytest
from nn_check import run

import chainrule as cr
from chainrule.autodiff import gradients
from chainrule.graph import Node

Loss = Callable[..., Node]
R = np.random.default_rng(2)
LOSSES: dict[str, Loss] = {
    "squared_error": cr.squared_error,
    "absolute_error": cr.absolute_error,
    "huber": cr.huber,
    "poisson": cr.poisson,
    "hinge": cr.hinge,
    "binary_cross_entropy": cr.binary_cross_entropy,
    "cosine": cr.cosine,
    "kl_divergence": cr.kl_divergence,
    "cross_entropy": cr.cross_entropy,
    "quantile": lambda p, t, **more: cr.quantile(p, t, quantiles=0.2, **more),
}


def both_orders(loss: Node, p: Node) -> list[Node]:
    """The loss, its gradient, and the gradient of a number made of that."""
    (first,) = gradients(loss, [p])
    (second,) = gradients(cr.sum(first * first) + cr.sum(first), [p])
    return [loss, first, second]


def same(found: list[Any], wanted: list[Any], counted: Any) -> None:
    """Equal where rows count, and 0 elsewhere."""
    assert found[0] == pytest.approx(wanted[0], rel=1e-12)
    for a, b in zip(found[1:], wanted[1:], strict=True):
        npt.assert_allclose(a[counted], b, rtol=1e-12, atol=1e-15)
        npt.assert_array_equal(a[~counted], 0)


@pytest.mark.parametrize("bad", [-np.inf, np.inf, np.nan])
@pytest.mark.parametrize("name", LOSSES)
def test_a_row_of_weight_0_may_predict_anything(name: str, bad: float) -> None:
    p, t, w = (cr.input(x, shape, "float64") for x, shape in (("p", 3), ("t", 3), ("w", ())))
    loss = LOSSES[name](p, t, weights=w)
    data = {"p": R.normal(size=(5, 3)), "t": R.dirichlet(np.ones(3), 5), "w": np.ones(5)}
    data["w"] = np.array([1.0, 0, 2, 1, 0])
    data["p"][[1, 4]], data["t"][4] = bad, bad
    counted = data["w"] != 0
    kept = {x: array[counted] for x, array in data.items()}
    same(run(both_orders(loss, p), data), run(both_orders(loss, p), kept), counted)


@pytest.mark.parametrize("options", [{"ignore_index": 7}, {"class_weights": [1.0, 2.0, 0.0]}])
@pytest.mark.parametrize("along", [(), (4,)])
def test_an_ignored_class_may_have_any_logits(options: dict[str, Any], along: Any) -> None:
    p, t = cr.input("p", (*along, 3), "float64"), cr.input("t", along, "int32")
    loss = cr.cross_entropy(p, t, label_smoothing=0.1, **options)
    uncounted = 7 if "ignore_index" in options else 2
    data = {"p": R.normal(size=(5, *along, 3)), "t": R.integers(0, 2, (5, *along))}
    data["t"][1], data["p"][1] = uncounted, -np.inf
    counted = np.arange(5) != 1
    kept = {x: array[counted] for x, array in data.items()}
    same(run(both_orders(loss, p), data), run(both_orders(loss, p), kept), counted)


@pytest.mark.parametrize("name", ["cross_entropy", "kl_divergence"])
def test_a_class_without_a_share_may_be_masked(name: str) -> None:
    p, t = cr.input("p", (3,), "float64"), cr.input("t", (3,), "float64")
    q, u = cr.input("p", (2,), "float64"), cr.input("t", (2,), "float64")
    full = {"p": R.normal(size=(4, 3)), "t": np.array([[0.2, 0.8, 0.0]] * 4)}
    full["p"][:, 2] = -np.inf
    part = {x: array[:, :2] for x, array in full.items()}
    found = run(both_orders(LOSSES[name](p, t), p), full)
    wanted = run(both_orders(LOSSES[name](q, u), q), part)
    same([found[0], *(x.T for x in found[1:])], [wanted[0], *(x.T for x in wanted[1:])],
         np.array([True, True, False]))  # fmt: skip


def test_certain_logits_of_yes_and_no() -> None:
    p, t = cr.input("p", (), "float64"), cr.input("t", (), "float64")
    for weight in (None, 3.0):
        loss = cr.binary_cross_entropy(p, t, pos_weight=weight)
        data = {"p": [np.inf, -np.inf, 0.0], "t": [1.0, 0.0, 0.0]}
        value, first, second = run(both_orders(loss, p), data)
        assert value == pytest.approx(np.log(2) / 3)
        npt.assert_allclose(first, [0, 0, 1 / 6], atol=1e-16)
        assert np.isfinite(second).all()
    wrong = run(cr.binary_cross_entropy(p, t), {"p": [-np.inf], "t": [0.5]})
    assert wrong == np.inf  # it is as wrong as can be


def test_a_learned_target_of_0_keeps_its_gradient() -> None:
    p, t = cr.input("p", (3,), "float64"), cr.input("t", (3,), "float64")
    (slope,) = gradients(cr.cross_entropy(p, t), [t])
    z = R.normal(size=(1, 3))
    logp = z - np.log(np.exp(z).sum())
    npt.assert_allclose(run(slope, {"p": z, "t": [[0.0, 1.0, 0.0]]}), -logp, rtol=1e-12)


@pytest.mark.parametrize("optimizer", ["sgd", "adam", "lbfgs"])
@pytest.mark.parametrize("backend", ["native", "interpreter"])
def test_training_with_rows_that_are_masked_completely(optimizer: str, backend: str) -> None:
    n = 12
    mask = np.ones((n, 3), bool)
    mask[3], mask[8, 2] = False, False
    labels = np.arange(n) % 2
    labels[3] = -1
    z = cr.dense(cr.input("x", (4,)), 3)
    logits = cr.where(cr.input("mask", (3,), "bool"), z, -np.inf)
    loss = cr.cross_entropy(logits, cr.input("t", dtype="int32"), ignore_index=-1)
    model = cr.Model(logits, loss)
    data = {"x": R.normal(size=(n, 4)), "mask": mask, "t": labels}
    model.fit(data, epochs=3, batch_size=5, optimizer=optimizer, validation=None,
              backend=backend, verbose=False)  # fmt: skip
    assert all(np.isfinite(x).all() for x in model.values.values())
    scores = model.evaluate(data, metrics=["accuracy", "log_loss"])
    assert np.isfinite(list(scores.values())).all()
