"""scikit-learn's own tests of its networks, from the installed package, on our estimators.

Their module runs unchanged but for the import line; each of its tests is collected here. Those that
read or set private state of scikit-learn's classes are named below, and what they are about is
tested by public means at the end.
"""

from __future__ import annotations

import re
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from sklearn import neural_network
from sklearn.datasets import load_iris

import chainrule as cr

PRIVATE = {
    "test_fit": "_coef_grads",
    "test_gradient": "_loss_grad_lbfgs",
    "test_learning_rate_warmstart": "_optimizer",
    "test_adaptive_learning_rate": "_optimizer",
    "test_n_iter_no_change": "_no_improvement_count",
    "test_n_iter_no_change_inf": "_no_improvement_count",
}
"""Tests of scikit-learn that are left out, and the private state that each reads or sets."""

THEIRS = "from sklearn.neural_network import MLPClassifier, MLPRegressor\n"
OURS = "from chainrule import MLPClassifier, MLPRegressor\n"

pytestmark = pytest.mark.filterwarnings("ignore::sklearn.exceptions.ConvergenceWarning")


def _source() -> str:
    spec = find_spec("sklearn.neural_network.tests.test_mlp")
    assert spec is not None
    assert spec.origin is not None
    return Path(spec.origin).read_text(encoding="utf-8")


SOURCE = _source()
_module: dict[str, Any] = {"__name__": "sklearn_test_mlp"}
exec(compile(SOURCE.replace(THEIRS, OURS), "test_mlp.py of scikit-learn", "exec"), _module)
_collected = {name: x for name, x in _module.items() if name.startswith("test_")}
for _name, _test in _collected.items():
    if _name in PRIVATE:
        _test = pytest.mark.skip(reason=f"private state: {PRIVATE[_name]}")(_test)
    globals()[_name] = pytest.mark.filterwarnings("ignore")(_test)  # they say which are errors


@pytest.fixture
def global_random_seed() -> int:
    """The seed of scikit-learn's tests, where none is given."""
    return 42


def test_only_the_import_line_is_changed_and_tests_of_private_state_alone_are_left_out() -> None:
    assert SOURCE.count(THEIRS) == 1
    assert "sklearn.neural_network import" not in SOURCE.replace(THEIRS, "")
    assert _module["MLPClassifier"] is cr.MLPClassifier
    assert len(_collected) > 30
    for name in PRIVATE.keys() & _collected.keys():
        body = SOURCE.split(f"def {name}(")[1].split("\ndef ")[0]
        assert re.search(rf"\b(mlp|clf)\.{PRIVATE[name]}\b", body), name


# ---------------------------------------------------------------- the same by public means

X, Y = load_iris(return_X_y=True)
PAIR, LABELS = [[3, 2], [1, 6]], [1, 0]
SGD: dict[str, Any] = {"solver": "sgd", "random_state": 0, "shuffle": False}


def both(kind: str = "MLPClassifier", **parameters: Any) -> list[Any]:
    """Ours and theirs."""
    return [getattr(x, kind)(**parameters) for x in (cr, neural_network)]


@pytest.mark.parametrize("kind", ["MLPClassifier", "MLPRegressor"])
@pytest.mark.parametrize("activation", ["identity", "logistic", "tanh", "relu"])
def test_from_one_random_state_both_start_and_go_alike(kind: str, activation: str) -> None:
    given = {"hidden_layer_sizes": (5, 4), "activation": activation, "max_iter": 4}
    ours, theirs = both(kind, random_state=3, shuffle=False, **given)
    for model in (ours.fit(X, Y), theirs.fit(X, Y)):
        assert model.n_iter_ == 4
    learned = [x.coefs_ + x.intercepts_ for x in (ours, theirs)]
    for mine, own in zip(*learned, strict=True):
        np.testing.assert_allclose(mine, own, rtol=1e-12, atol=1e-15)


@pytest.mark.parametrize("epsilon", [1e-8, 1e-3, 0.1, 10.0])
def test_epsilon_is_added_where_theirs_is(epsilon: float) -> None:
    ours, theirs = both(random_state=0, shuffle=False, max_iter=15, epsilon=epsilon)
    np.testing.assert_allclose(ours.fit(X, Y).coefs_[0], theirs.fit(X, Y).coefs_[0], rtol=1e-9)
    np.testing.assert_allclose(ours.loss_curve_, theirs.loss_curve_, rtol=1e-12)


def test_an_adaptive_rate_ends_below_its_limit_and_after_as_many_epochs() -> None:
    ours, theirs = both(tol=0.5, max_iter=3000, learning_rate="adaptive", **SGD)
    ours.fit(PAIR, LABELS)
    assert ours.n_iter_ == theirs.fit(PAIR, LABELS).n_iter_ < 3000
    assert ours.model_.history["rate"][-1] == pytest.approx(theirs._optimizer.learning_rate)
    assert ours.model_.history["rate"][-1] < 1e-6


@pytest.mark.parametrize("learning_rate", ["constant", "invscaling", "adaptive"])
def test_the_rate_of_partial_fit_goes_on(learning_rate: str) -> None:
    ours, theirs = both(learning_rate=learning_rate, tol=0.3, n_iter_no_change=3, **SGD)
    for _ in range(30):
        for model in (ours, theirs):
            model.partial_fit(X, Y, classes=[0, 1, 2])
    np.testing.assert_allclose(ours.coefs_[1], theirs.coefs_[1], rtol=1e-9)
    assert ours.t_ == theirs.t_ == 4500


@pytest.mark.parametrize("patience", [2, 5, 10, np.inf])
def test_the_run_ends_after_as_many_epochs_without_improvement(patience: float) -> None:
    ours, theirs = both(tol=0.05, max_iter=300, n_iter_no_change=patience, **SGD)
    assert ours.fit(X, Y).n_iter_ == theirs.fit(X, Y).n_iter_
    np.testing.assert_allclose(ours.loss_curve_, theirs.loss_curve_, rtol=1e-9)


# ---------------------------------------------------------------- what is told


@pytest.mark.parametrize(
    "parameters",
    [
        {"tol": 0.05, "n_iter_no_change": 2},
        {"tol": 0.05, "n_iter_no_change": 2, "learning_rate": "adaptive", "max_iter": 60},
        {"tol": 0.0, "max_iter": 3},
    ],
)
def test_verbose_prints_what_theirs_prints(parameters: dict[str, Any], capsys: Any) -> None:
    printed = []
    for model in both(verbose=True, **SGD | parameters):
        model.fit(X, Y)
        model.partial_fit(X, Y)
        printed.append(capsys.readouterr().out)
    assert printed[0] == printed[1] != ""


def test_verbose_prints_validation_scores(capsys: Any) -> None:
    model = cr.MLPClassifier(verbose=1, early_stopping=True, max_iter=3, random_state=0).fit(X, Y)
    lines = capsys.readouterr().out.splitlines()
    assert lines[1::2] == [f"Validation score: {x:f}" for x in model.validation_scores_]
    cr.MLPClassifier(verbose="log", max_iter=2, random_state=0).fit(X, Y)
    assert capsys.readouterr().out == ""


def _warned(model: Any, *data: Any) -> list[str]:
    with pytest.warns() as seen:
        model.fit(*data)
    return [f"{x.category.__name__}: {x.message}" for x in seen]


def test_warnings_begin_as_theirs() -> None:
    for parameters in (
        {"max_iter": 3},
        {"batch_size": 1000, "max_iter": 300, "tol": 0.1},
    ):
        mine, own = (_warned(x, X, Y) for x in both(random_state=0, **parameters))
        assert len(mine) == len(own) == 1
        assert mine[0].startswith(own[0].rstrip("."))
    for limit in ("max_iter", "max_fun"):
        (told,) = _warned(cr.MLPRegressor(solver="lbfgs", random_state=0, **{limit: 4}), X, Y)
        assert told.startswith("ConvergenceWarning: lbfgs failed to converge after ")
        assert f"the limit {limit}=4 is reached. Increase {limit}" in told


def test_the_loss_of_lbfgs_is_that_of_its_end() -> None:
    for kind in ("MLPClassifier", "MLPRegressor"):
        ours, theirs = both(kind, solver="lbfgs", random_state=1, max_iter=5)
        assert ours.fit(X, Y).loss_ == pytest.approx(theirs.fit(X, Y).loss_, rel=1e-6)
        assert ours.best_loss_ == ours.loss_


def test_a_run_that_diverges_ends_as_theirs_and_says_why() -> None:
    wild: dict[str, Any] = {"activation": "identity", "solver": "sgd", "learning_rate_init": 1.0}
    model = cr.MLPRegressor(early_stopping=True, random_state=0, max_iter=20, **wild)
    (told,) = _warned(model, X, Y)
    assert "Solver produced non-finite parameter weights" in told
    assert re.search(r"at +step \d+, node '", told)
    assert re.search(r"so +epoch \d+ is kept", told)
    assert np.isnan(model.validation_scores_[-1])
    assert model.best_validation_score_ == np.nanmax(model.validation_scores_)
    assert len(model.validation_scores_) == len(model.loss_curve_) == model.n_iter_
    assert np.isfinite(model.predict(X)).all()
    with pytest.raises(cr.errors.NotFinite, match="non-finite parameter weights") as raised:
        cr.MLPRegressor(random_state=0, **wild).fit(X, Y)
    assert "node '" in str(raised.value)
    assert "lower learning_rate_init" in str(raised.value)
    first = cr.MLPRegressor(early_stopping=True, random_state=0, batch_size=1, **wild)
    (told,) = _warned(first, X * 1e30, Y)
    assert "the parameters are those before the run" in told
    assert first.best_validation_score_ == -np.inf  # as theirs, where no score is a number
    assert np.isfinite(first.predict(X)).all()


def test_a_rare_class_cannot_be_held_out_and_is_named() -> None:
    few = (X[:6], ["no"] * 5 + ["yes"])
    for model in both(early_stopping=True):
        with pytest.raises(ValueError, match="only 1 member"):
            model.fit(*few)
    with pytest.raises(ValueError, match="True for yes"):
        cr.MLPClassifier(early_stopping=True).fit(*few)


def test_as_many_rows_are_held_out_as_theirs() -> None:
    """scikit-learn rounds up: 2 of 12 rows, of which 10 % are held out."""
    model = cr.MLPRegressor(early_stopping=True, max_iter=2, random_state=0).fit(X[:12], Y[:12])
    assert "2 to validate" in model.model_.split
