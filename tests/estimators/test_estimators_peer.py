"""The estimators beside scikit-learn's own: the same numbers from the same start."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from scipy import sparse
from sklearn import neural_network
from sklearn.datasets import load_iris, make_moons, make_multilabel_classification
from sklearn.ensemble import (
    AdaBoostClassifier,
    BaggingClassifier,
    StackingClassifier,
    VotingClassifier,
)
from sklearn.experimental import enable_halving_search_cv  # noqa: F401
from sklearn.model_selection import HalvingRandomSearchCV, cross_val_predict, learning_curve
from sklearn.multiclass import OneVsRestClassifier
from sklearn.multioutput import ClassifierChain, MultiOutputClassifier
from sklearn.preprocessing import scale

import chainrule as cr

pytestmark = pytest.mark.filterwarnings("ignore::sklearn.exceptions.ConvergenceWarning")

X, Y = load_iris(return_X_y=True)
X = scale(X)
MOONS = make_moons(60, noise=0.3, random_state=0)
QUICK = {"hidden_layer_sizes": 8, "max_iter": 30, "learning_rate_init": 0.05, "random_state": 0}


def trained(kind: str, data: Any, parameters: dict[str, Any]) -> tuple[Any, Any]:
    """Ours and theirs, trained from one random state, by which both start from the same weights."""
    ours, theirs = (getattr(x, kind)(random_state=0, **parameters) for x in (cr, neural_network))
    return ours.fit(*data), theirs.fit(*data)


SGD = {"solver": "sgd", "learning_rate_init": 0.2, "shuffle": False, "max_iter": 120}


@pytest.mark.parametrize(
    "parameters",
    [
        {"momentum": 0.0},
        {"nesterovs_momentum": False, "batch_size": 16},
        {"learning_rate": "invscaling", "batch_size": 16, "activation": "tanh"},
        {"learning_rate": "adaptive", "momentum": 0.0, "tol": 1e-3, "alpha": 0.1},
        {"learning_rate": "adaptive", "tol": 1e-2, "activation": "logistic"},
    ],
)
def test_descent_goes_as_theirs_step_by_step(parameters: dict[str, Any]) -> None:
    given = SGD | {"hidden_layer_sizes": 8} | parameters
    ours, theirs = trained("MLPClassifier", MOONS, given)
    assert ours.n_iter_ == theirs.n_iter_ > 15
    np.testing.assert_allclose(ours.loss_curve_, theirs.loss_curve_, rtol=1e-9)
    np.testing.assert_allclose(
        ours.predict_proba(X[:, :2]), theirs.predict_proba(X[:, :2]), rtol=1e-6, atol=1e-9
    )


def test_adam_with_weights_goes_as_theirs() -> None:
    data = (X, X[:, 0] * X[:, 1], np.arange(150.0))
    given = {"hidden_layer_sizes": 8, "activation": "tanh", "shuffle": False, "max_iter": 20}
    ours, theirs = trained("MLPRegressor", data, given)
    np.testing.assert_allclose(ours.predict(X), theirs.predict(X), rtol=1e-4)
    np.testing.assert_allclose(ours.loss_curve_, theirs.loss_curve_, rtol=1e-4)


def test_weights_can_be_set_and_not_be_changed_in_place() -> None:
    model = cr.MLPClassifier(**QUICK).fit(X, Y)
    other = cr.MLPClassifier(**QUICK | {"random_state": 1}).fit(X, Y)
    other.coefs_, other.intercepts_ = model.coefs_, model.intercepts_
    np.testing.assert_array_equal(other.predict_proba(X), model.predict_proba(X))
    with pytest.raises(ValueError, match="read-only"):
        model.coefs_[0][:] = 0
    with pytest.raises(ValueError, match=r"hidden1\.w"):
        model.coefs_ = model.coefs_[::-1]
    with pytest.raises(ValueError, match="shorter"):
        model.intercepts_ = model.intercepts_[:1]


@pytest.mark.filterwarnings("ignore::chainrule.errors.ChainruleWarning")  # of rows far away
def test_one_class_is_all_that_is_predicted() -> None:
    for loss in ("log_loss", "hinge"):
        with pytest.warns(RuntimeWarning, match="one class, setosa"):
            model = cr.MLPClassifier(**QUICK, loss=loss).fit(X[:50], np.full(50, "setosa"))
        assert set(model.predict(X)) == {"setosa"}
    with pytest.warns(RuntimeWarning, match="one class"):
        model = cr.MLPClassifier(**QUICK, preprocess=True).fit(X[:50], Y[:50])
    np.testing.assert_array_equal(model.predict_proba(X), np.ones((150, 1)))
    labels = np.column_stack([Y == 1, np.ones(150), Y == 2]).astype(int)
    with pytest.warns(RuntimeWarning, match="one class"):
        many = MultiOutputClassifier(cr.MLPClassifier(**QUICK)).fit(X, labels)
    assert many.score(X, labels) > 0.9


def test_sparse_features_and_labels() -> None:
    features, labels = make_multilabel_classification(150, 4, n_classes=3, random_state=0)
    model = cr.MLPClassifier(**QUICK)
    dense = model.fit(scale(features), labels).predict_proba(scale(features))
    thin = sparse.csr_array(scale(features))
    np.testing.assert_array_equal(
        model.fit(thin, sparse.csc_array(labels)).predict_proba(thin), dense
    )
    held = (thin, sparse.csr_array(labels))
    assert len(model.fit(*held, validation_data=held).validation_scores_) == 30


MLP = cr.MLPClassifier(**QUICK)


@pytest.mark.parametrize(
    "tool",
    [
        VotingClassifier([("a", MLP), ("b", MLP)], voting="soft"),
        StackingClassifier([("a", MLP), ("b", MLP)], cv=2),
        BaggingClassifier(MLP, n_estimators=3, max_samples=0.5, random_state=0),
        AdaBoostClassifier(MLP, n_estimators=3, random_state=0),
        OneVsRestClassifier(MLP),
        HalvingRandomSearchCV(
            MLP, {"alpha": [1e-4, 1e-3, 1e-2]}, n_candidates=3, resource="max_iter",
            min_resources=10,
            max_resources=30, cv=2, random_state=0,
        ),
    ],
    ids=lambda x: type(x).__name__,
)  # fmt: skip
def test_what_takes_estimators_takes_these(tool: Any) -> None:
    assert tool.fit(X, Y).score(X, Y) > 0.9


def test_predictions_of_folds_and_curves() -> None:
    labels = np.column_stack([Y == 0, Y > 0]).astype(int)
    assert ClassifierChain(MLP, cv=2).fit(X, labels).score(X, labels) > 0.9
    chances = cross_val_predict(MLP, X, Y, cv=3, method="predict_proba")
    assert (chances.argmax(axis=1) == Y).mean() > 0.9
    sizes = [0.2, 0.6, 1.0]
    more = {"train_sizes": sizes, "cv": 2, "shuffle": True, "random_state": 0}
    ours, theirs = (
        learning_curve(x, X, Y, exploit_incremental_learning=True, **more)
        for x in (MLP, neural_network.MLPClassifier(**QUICK))
    )
    np.testing.assert_allclose(ours[2], theirs[2])
