"""The judge: which task a loss means, and truths and scores in the form that metrics take."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.testing as npt
import pytest

import chainrule as cr
from chainrule.errors import SettingError
from chainrule.graph import Graph
from chainrule.train.objective import Objective
from chainrule.train.objectives import Objectives


def objective(loss: cr.Node) -> Objective:
    return Objectives(Graph(loss), loss, []).first


def pair(shape: Any, target: Any = None, dtype: str = "float32") -> tuple[cr.Node, cr.Node]:
    return cr.input("y", shape), cr.input("t", shape if target is None else target, dtype)


# ---------------------------------------------------------------- tasks


@pytest.mark.parametrize(
    ("loss", "task"),
    [
        (cr.squared_error(*pair(())), "regression"),
        (cr.squared_error(*pair((3,))), "regression"),
        (cr.absolute_error(*pair(())), "regression"),
        (cr.huber(*pair(())), "regression"),
        (cr.poisson(*pair(())), "regression"),
        (cr.squared_error(*pair((2, 3))), "regression"),
        (cr.binary_cross_entropy(*pair((4, 4))), "classification"),
        (cr.binary_cross_entropy(*pair((4,)), weights=cr.input("each", (4,))), "classification"),
        (cr.quantile(*pair((2,), ()), quantiles=(0.1, 0.9)), "quantiles"),
        (cr.cross_entropy(*pair((3,), (), "int32")), "classification"),
        (cr.cross_entropy(*pair((3,))), "classification"),
        (cr.cross_entropy(*pair((5, 3), (5,), "int32")), "classification"),
        (cr.hinge(*pair((3,), (), "int32")), "classification"),
        (cr.hinge(*pair(())), "classification"),
        (cr.hinge(*pair((1,))), "classification"),
        (cr.hinge(*pair((4,))), "multilabel"),
        (cr.binary_cross_entropy(*pair(())), "classification"),
        (cr.binary_cross_entropy(*pair((1,))), "classification"),
        (cr.binary_cross_entropy(*pair((4,))), "multilabel"),
        (cr.cosine(*pair((4,))), None),
        (cr.mean(cr.square(pair(())[0])), None),
    ],
)
def test_the_task(loss: cr.Node, task: str | None) -> None:
    assert objective(loss).task == task


def test_a_loss_of_ones_own_has_no_metrics() -> None:
    own = objective(cr.mean(cr.square(pair(())[0])))
    assert own.nodes == []
    assert own.score([]) == {}
    with pytest.raises(SettingError, match="no metrics are known"):
        own.score([], ["accuracy"])


def test_a_loss_of_ours_without_metrics_is_named() -> None:
    with pytest.raises(SettingError, match=r"no metrics are known(.|\n)*cosine"):
        objective(cr.cosine(*pair((4,)))).score([], ["accuracy"])


# ---------------------------------------------------------------- positions

R = np.random.default_rng(3)
ROWS, STEPS = 30, 5
HALF = R.random((ROWS, STEPS)) < 0.6
POSITIONS: dict[str, tuple[Any, Any, tuple[int, ...], str, Any]] = {
    "classes": (cr.cross_entropy, (3,), (), "int32", R.integers(0, 3, (ROWS, STEPS))),
    "chances": (cr.cross_entropy, (3,), (3,), "float32", R.dirichlet([1, 1, 1], (ROWS, STEPS))),
    "yes or no": (cr.binary_cross_entropy, (1,), (1,), "float32", HALF[..., None] * 1.0),
    "sides": (cr.hinge, (2,), (), "int32", HALF * 1),
    "numbers": (cr.squared_error, (2,), (2,), "float32", R.normal(size=(ROWS, STEPS, 2))),
    "logarithms": (cr.poisson, (2,), (2,), "float32", R.poisson(2.0, (ROWS, STEPS, 2)) * 1.0),
    "quantiles": (lambda y, t, **how: cr.quantile(y, t, quantiles=(0.1, 0.9), **how),
                  (2,), (), "float32", R.normal(size=(ROWS, STEPS))),
    "a quantile": (lambda y, t, **how: cr.quantile(y, t, quantiles=0.3, **how),
                   (), (), "float32", R.normal(size=(ROWS, STEPS))),
}  # fmt: skip


@pytest.mark.parametrize("weighed", ["", "examples", "values"])
@pytest.mark.parametrize("name", POSITIONS)
def test_metrics_count_positions(name: str, weighed: str) -> None:
    """Where an example has several, the scores are those of examples that have one each."""
    loss, inner, goal, dtype, truth = POSITIONS[name]
    prediction = R.normal(size=(ROWS, STEPS, *inner))
    weights = {"": None, "examples": R.random(ROWS) + 0.1, "values": HALF * 1.0}[weighed]

    def scores(shape: tuple[int, ...], values: list[np.ndarray]) -> dict[str, float]:
        how = {"weights": cr.input("w", values[2].shape[1:])} if len(values) > 2 else {}
        one = objective(loss(*pair((*shape, *inner), (*shape, *goal), dtype), **how))
        return one.score(values, one.each_epoch) | one.score(values)

    given = [prediction, truth, *([] if weights is None else [weights])]
    found = scores((STEPS,), given)
    spread = np.ones((ROWS, STEPS)) if weights is None else weights.reshape(ROWS, -1)
    spread = np.broadcast_to(spread, (ROWS, STEPS)).reshape(-1)
    if name in ("numbers", "logarithms"):  # each number counts
        inner, goal, spread = (), (), spread.repeat(2)
    alone = scores((), [prediction.reshape(-1, *inner), truth.reshape(-1, *goal), spread])
    assert found
    for metric, value in found.items():
        assert value == pytest.approx(alone[metric], rel=1e-12), metric


def test_padding_does_not_count() -> None:
    logits, truth = R.normal(size=(ROWS, STEPS, 3)), R.integers(0, 3, (ROWS, STEPS))
    y, t = pair((STEPS, 3), (STEPS,), "int32")
    right = (logits.argmax(-1) == truth)[HALF].mean()
    model = cr.Model(y, cr.cross_entropy(y, t, ignore_index=-1))
    data = {"y": logits.astype("float32"), "t": np.where(HALF, truth, -1)}
    assert model.evaluate(data)["accuracy"] == pytest.approx(right)
    mask = cr.input("mask", (STEPS,), dtype="bool")
    model = cr.Model(y, cr.cross_entropy(y, t, weights=mask))
    data = {"y": logits.astype("float32"), "t": truth, "mask": HALF}
    assert model.evaluate(data, "accuracy")["accuracy"] == pytest.approx(right)


@pytest.mark.parametrize("epochs", [1, 40])
def test_the_history_has_the_accuracy_of_positions(epochs: int) -> None:
    x, t = cr.input("x", (STEPS, 3)), cr.input("t", (STEPS,), dtype="int32")
    logits = cr.dense(x, 2)
    model = cr.Model(logits, cr.cross_entropy(logits, t), seed=0)
    data: dict[str, Any] = {"x": R.normal(size=(ROWS, STEPS, 3)).astype("float32"), "t": HALF * 1}
    held = {name: x[-8:] for name, x in data.items()}
    history = model.fit(data, epochs=epochs, validation=held, verbose=False, keep_best=False)
    last = history["validation_accuracy"][-1]
    assert last == pytest.approx(model.evaluate(held)["accuracy"], rel=1e-12)


def test_one_metric_needs_no_list() -> None:
    y, t = pair((3,), (), "int32")
    model = cr.Model(y, cr.cross_entropy(y, t))
    data = {"y": np.eye(3, dtype="float32"), "t": np.array([0, 1, 1], "int32")}

    def hits(target: np.ndarray, chances: np.ndarray) -> float:
        return float((chances.argmax(1) == target).mean())

    assert model.evaluate(data, hits)["hits"] == model.evaluate(data, "accuracy")["accuracy"]
    with pytest.raises(SettingError, match="these are not metrics"):
        model.evaluate(data, 3)  # type: ignore[arg-type]


def test_the_nodes_of_several_losses_in_the_order_of_the_outputs() -> None:
    y, t = pair((3,), (), "int32")
    z, u, w = cr.input("z"), cr.input("u"), cr.input("w")
    first, second = cr.squared_error(z, u), cr.cross_entropy(y, t, weights=w)
    for loss in (0.1 * first + second, second + 0.1 * first):
        found = Objectives(Graph([y, z, loss]), loss, [y, z])
        assert [x.kind for x in found.each] == ["cross_entropy", "squared_error"]
        assert found.nodes == [second, y, t, w, first, z, u]
        assert found.each_epoch == ["y_accuracy", "z_rmse"]


# ---------------------------------------------------------------- scores

LOGITS = np.array([2.0, -1.0, 0.5, -3.0])


@pytest.mark.parametrize("loss", [cr.binary_cross_entropy, cr.hinge])
@pytest.mark.parametrize("column", [False, True])
@pytest.mark.parametrize("low", [0.0, -1.0, 0.05])
def test_yes_and_no(loss: Any, column: bool, low: float) -> None:
    if (low < 0) == (loss is cr.binary_cross_entropy) and low != 0:
        return  # chances are for the one, signs for the other
    high = 0.95 if low > 0 else 1.0
    shape = (1,) if column else ()
    truth = np.array([high, low, low, low])
    values = [v.reshape(4, *shape) for v in (LOGITS, truth)]
    scores = objective(loss(*pair(shape))).score(values)
    assert scores["accuracy"] == 0.75
    assert scores["balanced_accuracy"] == pytest.approx((1 + 2 / 3) / 2)
    assert scores["precision"] == 0.5
    assert scores["recall"] == 1.0


@pytest.mark.parametrize("loss", [cr.binary_cross_entropy, cr.hinge])
def test_several_labels(loss: Any) -> None:
    logits = np.array([[1.0, -1.0], [2.0, 3.0], [-1.0, -2.0]])
    truth = np.array([[1.0, 0.0], [1.0, 0.0], [0.0, 0.0]])
    forms = [truth, 2 * truth - 1] if loss is cr.hinge else [truth, 0.05 + 0.9 * truth]
    for form in forms:
        scores = objective(loss(*pair((2,)))).score([logits, form])
        assert scores["label_accuracy"] == pytest.approx(5 / 6)
        assert scores["accuracy"] == pytest.approx(2 / 3)


def test_classes_as_numbers_and_as_chances() -> None:
    logits = np.log(np.array([[0.7, 0.2, 0.1], [0.1, 0.3, 0.6], [0.4, 0.5, 0.1]])) + 1000.0
    numbers = objective(cr.cross_entropy(*pair((3,), (), "int32"))).score(
        [logits, np.array([0, 2, 0])]
    )
    chances = objective(cr.cross_entropy(*pair((3,)))).score(
        [logits, np.array([[0.9, 0.1, 0.0], [0.2, 0.2, 0.6], [0.5, 0.3, 0.2]])]
    )
    for scores in (numbers, chances):
        assert scores["accuracy"] == pytest.approx(2 / 3)
        assert scores["log_loss"] == pytest.approx(-np.log([0.7, 0.6, 0.4]).mean())


def test_rows_that_are_ignored_do_not_count() -> None:
    y, t = pair((3,), (), "int32")
    loss = cr.cross_entropy(y, t, ignore_index=-1)
    found = objective(loss)
    logits = np.eye(3)[[0, 1, 2, 0]] * 5.0
    trace = cr.run(loss, {"y": logits, "t": [0, -1, 1, -1]})
    scores = found.score([trace.value(x) for x in found.nodes])
    assert scores["accuracy"] == 0.5


def test_numbers_and_logarithms() -> None:
    y = np.array([1.0, 2.0, 4.0])
    t = np.array([1.0, 3.0, 2.0])
    plain = objective(cr.squared_error(*pair(()))).score([y, t])
    assert plain["rmse"] == pytest.approx(np.sqrt(5 / 3))
    logarithms = objective(cr.poisson(*pair(()))).score([np.log(y), t])
    assert logarithms["rmse"] == pytest.approx(np.sqrt(5 / 3))


def test_wanted_metrics_and_functions() -> None:
    found = objective(cr.cross_entropy(*pair((2,), (), "int32")))
    values = [np.array([[1.0, 0.0], [0.0, 1.0]]), np.array([0, 0])]

    def ones(target: Any, prediction: Any) -> float:
        return float(prediction.sum())

    scores = found.score(values, ["accuracy", ones])
    npt.assert_allclose(list(scores.values()), [0.5, 2.0])
    with pytest.raises(SettingError):
        found.score(values, ["rmse"])


@pytest.mark.parametrize("weights", [None, (1.0, 2.0, 1.0)])
def test_rows_whose_probabilities_are_all_0_are_of_no_class(weights: Any) -> None:
    y, t = pair((3,))
    w = None if weights is None else cr.input("w", ())
    judge = objective(cr.cross_entropy(y, t, weights=w))
    values = [
        np.array([[5, 0, 0], [-np.inf] * 3, [0, 5, 0]]),
        np.array([[0.8, 0.2, 0], [0, 0, 0], [1, 0, 0]]),
        *([] if weights is None else [np.array(weights)]),
    ]
    found = judge.score(values)
    counted = judge.score([x[[0, 2]] for x in values])
    assert found["accuracy"] == 0.5
    assert found == pytest.approx(counted, nan_ok=True)
