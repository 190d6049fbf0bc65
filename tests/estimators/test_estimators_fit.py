"""What estimators learn, from what data, and what they make of their parameters."""

from __future__ import annotations

import pickle
from typing import Any

import numpy as np
import pandas as pd
import pytest
from sklearn import neural_network
from sklearn.datasets import (
    load_diabetes,
    load_iris,
    load_wine,
    make_multilabel_classification,
    make_regression,
)
from sklearn.exceptions import ConvergenceWarning
from sklearn.metrics import log_loss
from sklearn.model_selection import train_test_split
from sklearn.preprocessing import scale

import chainrule as cr
from chainrule.errors import ChainruleWarning, DataError, NotFinite, SettingError

pytestmark = pytest.mark.filterwarnings("ignore::sklearn.exceptions.ConvergenceWarning")

X, Y = load_iris(return_X_y=True)
NUMBERS, PROGRESS = load_diabetes(return_X_y=True)


def classifier(**parameters: Any) -> Any:
    return cr.MLPClassifier(**({"hidden_layer_sizes": 12, "random_state": 0} | parameters))


def regressor(**parameters: Any) -> Any:
    return cr.MLPRegressor(**({"hidden_layer_sizes": 12, "random_state": 0} | parameters))


# ---------------------------------------------------------------- as scikit-learn


@pytest.mark.parametrize(
    ("kind", "data", "parameters"),
    [
        ("MLPClassifier", load_wine, {}),
        ("MLPClassifier", load_wine, {"solver": "lbfgs", "alpha": 1.0, "activation": "logistic",
                                      "hidden_layer_sizes": 20}),
        ("MLPClassifier", load_wine, {"solver": "sgd", "learning_rate": "adaptive",
                                      "learning_rate_init": 0.05, "activation": "tanh"}),
        ("MLPClassifier", load_wine, {"solver": "sgd", "learning_rate": "invscaling",
                                      "learning_rate_init": 0.5, "nesterovs_momentum": False}),
        ("MLPRegressor", load_diabetes, {"solver": "lbfgs", "alpha": 100.0, "max_iter": 40}),
        ("MLPRegressor", load_diabetes, {"hidden_layer_sizes": (), "learning_rate_init": 1.0}),
    ],
)  # fmt: skip
def test_a_changed_import_line_gives_the_same_quality(
    kind: str, data: Any, parameters: dict[str, Any]
) -> None:
    features, target = data(return_X_y=True)
    split = train_test_split(scale(features), target, random_state=0)
    scores = {}
    for where in (cr, neural_network):
        made = [getattr(where, kind)(random_state=seed, **parameters) for seed in range(2)]
        scores[where] = np.mean([x.fit(*split[::2]).score(*split[1::2]) for x in made])
    assert abs(scores[cr] - scores[neural_network]) < 0.04


@pytest.mark.parametrize("weighted", [False, True])
def test_the_loss_is_that_of_sklearn(weighted: bool) -> None:
    weights = np.linspace(0, 2, len(Y)) if weighted else None
    model = classifier(alpha=3.0, max_iter=1, learning_rate_init=1e-12)
    model.fit(X, Y, sample_weight=weights)
    squares = sum((w**2).sum() for w in model.coefs_)
    total = len(Y) if weights is None else weights.sum()
    by_hand = log_loss(Y, model.predict_proba(X), sample_weight=weights) + 1.5 * squares / total
    assert model.loss_ == pytest.approx(by_hand, rel=1e-6)


def test_weights_are_stored_as_in_sklearn() -> None:
    model = classifier(hidden_layer_sizes=(5, 4), activation="tanh").fit(X, Y == 1)
    h = X
    for w, b in zip(model.coefs_[:-1], model.intercepts_[:-1], strict=True):
        h = np.tanh(h @ w + b)
    by_hand = 1 / (1 + np.exp(-(h @ model.coefs_[-1] + model.intercepts_[-1]).ravel()))
    np.testing.assert_allclose(model.predict_proba(X)[:, 1], by_hand, rtol=1e-6)
    bound = (6 / (4 + 5)) ** 0.5
    start = classifier(hidden_layer_sizes=(5,), max_iter=1, learning_rate_init=1e-12).fit(X, Y)
    assert 0.5 * bound < np.abs(start.coefs_[0]).max() <= bound
    assert np.abs(start.intercepts_[0]).max() > 0


def test_a_run_that_is_too_short_warns_and_one_that_converges_does_not() -> None:
    with pytest.warns(ConvergenceWarning, match=r"\(3\) reached"):
        classifier(max_iter=3).fit(X, Y)
    model = classifier(max_iter=500, learning_rate_init=0.05, tol=1e-3).fit(X, Y)
    assert model.n_iter_ < 500
    best = np.minimum.accumulate([np.inf, *model.loss_curve_])[:-1]
    stale = np.array(model.loss_curve_) > best - 1e-3
    assert stale[-11:].all()
    assert not stale[-12]


def test_early_stopping_ends_with_the_best_epoch() -> None:
    model = classifier(early_stopping=True, learning_rate_init=0.05, n_iter_no_change=4)
    held, truth = X[::3], Y[::3]
    model.fit(X, Y, validation_data=(held, truth))
    assert model.score(held, truth) == pytest.approx(max(model.validation_scores_))
    assert model.best_validation_score_ == max(model.validation_scores_)
    assert model.best_loss_ is None
    with pytest.raises(ValueError, match="validation set is too small"):
        classifier(early_stopping=True).fit(X[45:55], Y[45:55])


# ---------------------------------------------------------------- going on


def test_warm_start_and_partial_fit_go_on_as_if_nothing_had_happened() -> None:
    whole = classifier(max_iter=6).fit(X, Y)
    twice = classifier(max_iter=3, warm_start=True).fit(X, Y)
    twice = pickle.loads(pickle.dumps(twice)).fit(X, Y)
    parts = classifier()
    for _ in range(6):
        parts.partial_fit(X, Y, classes=[0, 1, 2])
    for other in (twice, parts):
        np.testing.assert_array_equal(other.predict_proba(X), whole.predict_proba(X))
        assert other.loss_curve_ == whole.loss_curve_
        assert other.t_ == whole.t_ == 900
    assert (whole.n_iter_, twice.n_iter_, parts.n_iter_) == (6, 3, 1)


def test_weights_may_come_later() -> None:
    alike = classifier().partial_fit(X, Y, classes=[0, 1, 2])
    other = classifier().partial_fit(X, Y, classes=[0, 1, 2])
    for model, weights in ((alike, None), (other, np.ones(len(Y)))):
        model.partial_fit(X, Y, sample_weight=weights).partial_fit(X, Y)
    np.testing.assert_allclose(other.predict_proba(X), alike.predict_proba(X), rtol=1e-9)


def test_what_does_not_fit_the_earlier_classes_is_refused() -> None:
    model = classifier(max_iter=2, warm_start=True).fit(X[:100], Y[:100])
    for rows, has in ((slice(None), "0 1 2"), (slice(50), "0")):
        with pytest.raises(ValueError, match=rf"Previously got \[0 1\], `y` has \[{has}\]: use"):
            model.fit(X[rows], Y[rows])
    assert model.partial_fit(X[:50], Y[:50]).t_ == 250
    with pytest.raises(ValueError, match="first call to partial_fit"):
        classifier().partial_fit(X, Y)
    with pytest.raises(ValueError, match="early_stopping"):
        regressor(early_stopping=True).partial_fit(X, Y)
    assert not hasattr(classifier(solver="lbfgs"), "partial_fit")
    for planned in ({"schedule": "one_cycle"}, {"optimizer": cr.Adam(cr.schedules.Cosine(0.1))}):
        with pytest.raises(ValueError, match="a schedule needs a complete run"):
            regressor(**planned).partial_fit(X, Y)


# ---------------------------------------------------------------- more than scikit-learn


@pytest.mark.parametrize(
    "parameters",
    [
        {"hidden_layer_sizes": (12, 8), "activation": ("gelu", cr.tanh), "dropout": (0.1, 0)},
        {"normalization": "batch", "optimizer": "adamw"},
        {"normalization": "layer", "optimizer": cr.NAdam(0.02), "clip_norm": 1.0},
        {"schedule": "one_cycle", "label_smoothing": 0.1},
        {"solver": "sgd", "schedule": cr.schedules.Cosine(0.3)},
        {"loss": "hinge"},
        {"class_weight": {0: 1, 1: 2, 2: 1}, "precision": "single", "shuffle": False},
    ],
)
def test_every_extra_learns(parameters: dict[str, Any]) -> None:
    model = classifier(learning_rate_init=0.02, max_iter=60, **parameters)
    assert model.fit(scale(X), Y).score(scale(X), Y) > 0.9


def test_layers_are_what_was_asked_for() -> None:
    model = classifier(
        hidden_layer_sizes=(6, 5), activation=("relu", "tanh"), dropout=(0.5, 0.0),
        normalization="rms", max_iter=1,
    ).fit(X, Y)  # fmt: skip
    ops = {x.op.name: model.model_.graph.name(x) for x in model.model_.graph.operations}
    assert ops["tanh"].startswith("hidden2")
    assert ops["dropout"].startswith("hidden1") if "dropout" in ops else True
    assert "hidden2.norm.scale" in model.model_.values
    with pytest.raises(SettingError, match="dropout has another number of layers"):
        classifier(hidden_layer_sizes=(6, 5), dropout=(0.5,)).fit(X, Y)


def test_class_weights_are_weights_of_examples() -> None:
    some = np.flatnonzero((Y == 0) | (np.arange(150) % 5 == 0))
    weights = np.where(Y[some] == 0, len(some) / 3 / 50, len(some) / 3 / 10)
    by_class = classifier(class_weight="balanced").fit(X[some], Y[some])
    by_row = classifier().fit(X[some], Y[some], sample_weight=weights)
    np.testing.assert_allclose(by_class.predict_proba(X), by_row.predict_proba(X), rtol=1e-6)


@pytest.mark.parametrize("loss", ["poisson", "absolute_error", "huber", "quantile"])
def test_losses_of_regression(loss: str) -> None:
    features = scale(NUMBERS)
    model = regressor(loss=loss, quantile=0.8, learning_rate_init=0.05, max_iter=150)
    below = (model.fit(features, PROGRESS).predict(features) >= PROGRESS).mean()
    assert 0.73 < below < 0.87 if loss == "quantile" else model.score(features, PROGRESS) > 0.45


def test_several_labels_and_several_numbers() -> None:
    features, labels = make_multilabel_classification(200, n_classes=4, random_state=0)
    model = classifier(learning_rate_init=0.02).fit(scale(features), labels)
    assert model.predict_proba(scale(features)).shape == labels.shape
    assert (model.predict(scale(features)) == labels).mean() > 0.9
    features, targets = make_regression(200, 5, n_targets=3, random_state=0)
    found = regressor(solver="lbfgs", hidden_layer_sizes=()).fit(features, targets)
    np.testing.assert_allclose(found.predict(features), targets, rtol=0.02, atol=2)
    assert found.n_outputs_ == 3


def test_callbacks_see_the_run_and_can_end_it() -> None:
    seen: list[float] = []

    def watch(state: Any) -> None:
        seen.append(state.row["validation_accuracy"])
        if state.epoch == 4:
            state.stop()

    model = classifier(callbacks=watch).fit(X, Y, validation_data=(X, Y))
    assert model.validation_scores_ == seen
    assert model.n_iter_ == 4


# ---------------------------------------------------------------- tables


def table(rows: int = 300) -> tuple[pd.DataFrame, pd.Series]:
    rng = np.random.default_rng(0)
    frame = pd.DataFrame(
        {"age": rng.normal(40, 10, rows), "town": rng.choice(["Rome", "Oslo", "Bonn"], rows),
         "code": pd.Categorical(rng.integers(0, 3, rows)), "member": rng.random(rows) < 0.5}
    )  # fmt: skip
    yes = (frame["town"] == "Oslo") ^ (frame["age"] > 40)
    frame.loc[::9, "age"] = np.nan
    return frame, yes.map({True: "yes", False: "no"})


@pytest.mark.filterwarnings("ignore::chainrule.errors.ChainruleWarning")  # more than one each
def test_a_table_with_categories_and_gaps() -> None:
    frame, target = table()
    model = classifier(learning_rate_init=0.02, max_iter=100).fit(frame, target)
    assert list(model.feature_names_in_) == list(frame.columns)
    assert model.score(frame, target) > 0.85
    strange = frame.head(20).assign(town="Lima", age=np.nan)
    told = r"\[MLPClassifier\] column 'town': 1 unseen value \('Lima'; 20 of 20 rows\)"
    with pytest.warns(ChainruleWarning, match=told):
        assert set(model.predict(strange)) <= {"yes", "no"}
    copied = pickle.loads(pickle.dumps(model))
    with pytest.warns(ChainruleWarning, match=told):
        found = copied.predict_proba(strange), model.predict_proba(strange)
    np.testing.assert_array_equal(*found)
    held = strange, np.full(20, "yes")
    with pytest.warns(ChainruleWarning, match=told):
        classifier(max_iter=2).fit(frame, target, validation_data=held)
    with pytest.warns(ChainruleWarning, match="column 'age': .* outside of the training range"):
        model.predict(frame.assign(age=frame["age"] * 1000))
    with pytest.raises(ValueError, match="feature names should match"):
        model.predict(frame.drop(columns="age"))


def test_numbers_of_a_table_are_predicted_in_their_own_unit() -> None:
    frame, target = table()
    price = 1e6 + 1e5 * (target == "yes") + 1e4 * frame["member"]
    model = regressor(learning_rate_init=0.02, max_iter=100).fit(frame, price)
    assert model.score(frame, price) > 0.8
    both = regressor(max_iter=100).fit(frame, np.column_stack([price, -price]))
    assert both.predict(frame).mean(axis=0) == pytest.approx([price.mean(), -price.mean()], rel=0.1)


@pytest.mark.filterwarnings("ignore::chainrule.errors.ChainruleWarning")  # of what is far away
@pytest.mark.parametrize("solver", ["adam", "lbfgs"])
@pytest.mark.parametrize("draw", ["lognormal", "standard_cauchy", "poisson", "spike"])
def test_numbers_are_standardised_and_nothing_else(draw: str, solver: str) -> None:
    """A line stays a line, whatever the distribution of x."""
    rng = np.random.default_rng(0)
    x = rng.normal(5, 2, 400) * (rng.random(400) < 0.5) if draw == "spike" else 0
    x = getattr(rng, draw)(size=400) if draw != "spike" else x
    model = regressor(
        preprocess=True, hidden_layer_sizes=(), learning_rate_init=0.05, max_iter=400, tol=1e-9,
        solver=solver,
    ).fit(x[:, None], 3 * x + 7)  # fmt: skip
    assert model.score(x[:, None], 3 * x + 7) > 0.9999
    far = np.array([[x.min() - 1e3], [x.max() + 1e3]])
    assert np.diff(model.predict(far)) == pytest.approx(3 * np.ptp(far), rel=0.02)


def test_which_columns_are_categories_can_be_said() -> None:
    codes = np.column_stack([np.arange(90) % 3, np.arange(90) // 30])
    target = np.isin(codes[:, 0] + codes[:, 1], [1, 3])
    model = classifier(categorical_features=[0, -1], learning_rate_init=0.02).fit(codes, target)
    assert model.score(codes, target) == 1.0
    gaps = np.where(np.arange(90)[:, None] % 7 == [0, 1], np.nan, codes)
    assert classifier(preprocess=True).fit(gaps, target).predict(gaps).shape == (90,)
    with pytest.raises(SettingError, match="a column is not there"):
        classifier(categorical_features=[2]).fit(codes, target)
    frame, labels = table()
    with pytest.raises(ValueError, match="could not convert string"):
        classifier(preprocess=False).fit(frame, labels)


# ---------------------------------------------------------------- input that is not valid


@pytest.mark.parametrize(
    ("parameters", "match"),
    [
        ({"hidden_layer_sizes": (10, 0)}, "hidden_layer_sizes"),
        ({"hidden_layer_sizes": 2.5}, "hidden_layer_sizes"),
        ({"activation": "rleu"}, "activation"),
        ({"solver": "adma"}, "'lbfgs', 'sgd', 'adam'"),
        ({"alpha": -1}, "alpha"),
        ({"batch_size": 0}, "batch_size"),
        ({"learning_rate_init": 0}, "learning_rate_init"),
        ({"max_iter": 1.5}, "max_iter"),
        ({"shuffle": "yes"}, "shuffle"),
        ({"momentum": 1.1}, "momentum"),
        ({"beta_1": 1}, "beta_1"),
        ({"n_iter_no_change": 0}, "n_iter_no_change"),
        ({"loss": "squared_error"}, "'log_loss', 'hinge'"),
        ({"dropout": 1.0}, "dropout"),
        ({"normalization": "none"}, "normalization"),
        ({"optimizer": "adamm"}, "adam"),
        ({"schedule": "one_cylce"}, "one_cycle"),
        ({"preprocess": "yes"}, "preprocess"),
    ],
)
def test_parameters_that_are_not_valid_are_named(parameters: dict[str, Any], match: str) -> None:
    with pytest.raises(ValueError, match=match):
        classifier(**parameters).fit(X, Y)


@pytest.mark.parametrize(
    ("features", "target", "weights", "match"),
    [
        (np.where(X > 7, np.nan, X), Y, None, "NaN.\npreprocess=True"),
        (np.where(X > 7, np.inf, X), Y, None, "infinity"),
        (X, np.where(Y == 1, np.nan, Y), None, "NaN"),
        (X, np.where(Y == 1, None, "a"), None, "50 gaps, the first in row 51"),
        (X, pd.Series(Y).astype("string").where(Y > 0), None, "50 gaps, the first in row 1 "),
        (X, X[:, 0], None, "continuous"),
        (X, np.column_stack([Y, Y]), None, "several columns"),
        (X, Y[:-1], None, "inconsistent"),
        (X, Y, -np.ones(150), "Negative"),
        (X, Y, np.ones((150, 2)), "1D"),
        (X, Y, np.zeros(150), "zero"),
    ],
)
def test_data_that_are_not_valid_are_refused(
    features: Any, target: Any, weights: Any, match: str
) -> None:
    with pytest.raises(ValueError, match=match):
        classifier().fit(features, target, sample_weight=weights)


def test_numbers_that_no_training_survives() -> None:
    with pytest.raises(ValueError, match="too large"):
        classifier(precision="single").fit(X * 1e39, Y)
    assert issubclass(NotFinite, ValueError)
    with pytest.raises(ValueError, match="y holds times, datetime64"):
        regressor().fit(X, np.arange(150).astype("datetime64[D]"))
    with pytest.raises(NotFinite, match="NaN or infinite"):
        regressor().fit(X * 1e200, Y)


def test_odd_data_that_can_be_learned() -> None:
    constant = np.ones((20, 1))
    odd = np.arange(20) % 2
    assert classifier().fit(constant, odd).predict_proba(constant) == pytest.approx(0.5, abs=0.1)
    assert regressor().fit(constant[:1], [3.0]).predict(constant[:1]).shape == (1,)
    same = regressor(solver="lbfgs").fit(NUMBERS, np.full(442, 7.0))
    assert same.predict(NUMBERS) == pytest.approx(7.0, abs=0.1)
    one = pd.DataFrame({"town": ["Rome", "Oslo"] * 10})
    assert classifier(learning_rate_init=0.05).fit(one, odd).score(one, odd) == 1.0
    gaps = pd.DataFrame({"a": [None] * 20, "b": odd})
    assert set(classifier(preprocess=True).fit(gaps, odd).predict(gaps)) <= {0, 1}
    with pytest.raises(DataError, match="categorical_features="):
        classifier().fit(one.assign(town="Rome"), odd)
    with pytest.raises(DataError, match="two columns are called"):
        classifier().fit(pd.concat([one, one], axis=1), odd)
    with pytest.raises(ValueError, match="validation_data is"):
        classifier().fit(X, Y, validation_data=X)
    with pytest.raises(DataError, match="infinity"):
        classifier().fit(one.assign(n=np.inf), odd)
    many = pd.DataFrame({"name": [f"n{k}" for k in range(2000)], "x": np.arange(2000.0)})
    assert classifier(max_iter=2).fit(many, np.arange(2000) % 2).n_features_in_ == 2


@pytest.mark.parametrize("labels", [["no", "yes"], [3, 7], [True, False]])
def test_the_model_of_a_table_is_whole_without_the_estimator(tmp_path: Any, labels: Any) -> None:
    frame, target = table()
    target = target.map({"no": labels[0], "yes": labels[1]}).rename("age")
    model = classifier(max_iter=20).fit(frame, target)
    model.model_.save(tmp_path / "model.safetensors")
    found = cr.load(tmp_path / "model.safetensors").predict(frame)
    assert found.target == "age_"
    np.testing.assert_array_equal(found.labels, model.predict(frame))
    np.testing.assert_allclose(found.probabilities, model.predict_proba(frame))
    price = regressor(max_iter=20).fit(frame, frame.index.to_numpy())
    np.testing.assert_array_equal(price.model_.predict(frame).values, price.predict(frame))
    scores = price.model_.evaluate(frame.assign(y=frame.index))
    assert scores["r2"] == pytest.approx(price.score(frame, frame.index), rel=1e-6)
