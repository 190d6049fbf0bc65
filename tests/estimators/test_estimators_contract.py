"""The estimators in scikit-learn's contract: its own checks, and the tools that use estimators."""

from __future__ import annotations

import inspect
import subprocess
import sys
from pathlib import Path
from typing import Any

import joblib
import numpy as np
import pytest
import sklearn
from sklearn import neural_network
from sklearn.base import clone
from sklearn.calibration import CalibratedClassifierCV
from sklearn.compose import ColumnTransformer, TransformedTargetRegressor
from sklearn.datasets import load_breast_cancer, load_diabetes, load_iris
from sklearn.model_selection import GridSearchCV, cross_validate
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import OneHotEncoder, StandardScaler
from sklearn.utils.estimator_checks import parametrize_with_checks

import chainrule as cr

KINDS = ("MLPClassifier", "MLPRegressor")
FEW: dict[str, Any] = {"hidden_layer_sizes": 8, "max_iter": 20, "learning_rate_init": 0.1}


@pytest.mark.filterwarnings("ignore")
@parametrize_with_checks([cr.MLPClassifier(**FEW), cr.MLPRegressor(**FEW)])
def test_sklearns_own_checks(estimator: Any, check: Any) -> None:
    check(estimator)


@pytest.mark.parametrize("kind", KINDS)
def test_every_parameter_of_sklearn_is_there_in_its_place_and_with_its_default(kind: str) -> None:
    theirs = inspect.signature(getattr(neural_network, kind)).parameters
    ours = inspect.signature(getattr(cr, kind)).parameters
    assert {name: x.default for name, x in theirs.items()}.items() <= {
        name: x.default for name, x in ours.items()
    }.items()
    assert [n for n in ours if n in theirs] == list(theirs)
    positional = [n for n, x in ours.items() if x.kind is x.POSITIONAL_OR_KEYWORD]
    assert positional == [n for n, x in theirs.items() if x.kind is x.POSITIONAL_OR_KEYWORD]


def _attributes(estimator: Any) -> set[str]:
    return {name for name in dir(estimator) if name.endswith("_") and name[0] != "_"}


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("options", [{}, {"early_stopping": True}, {"solver": "sgd"}])
@pytest.mark.parametrize("kind", KINDS)
def test_attributes_of_training_have_the_names_and_types_of_sklearns(
    kind: str, options: dict[str, Any]
) -> None:
    X, y = load_iris(return_X_y=True, as_frame=True)
    ours, theirs = (
        getattr(where, kind)(max_iter=5, random_state=0, **options).fit(X, y)
        for where in (cr, neural_network)
    )
    assert _attributes(theirs) <= _attributes(ours)
    for name in _attributes(theirs):
        mine, own = getattr(ours, name), getattr(theirs, name)
        same = (int, float) if isinstance(own, float) else type(own)
        assert isinstance(mine, same), name
        if name in ("n_iter_", "t_", "n_layers_", "n_outputs_", "out_activation_"):
            assert mine == own, name
        if name in ("coefs_", "intercepts_"):
            assert [x.shape for x in mine] == [x.shape for x in own]
    assert list(ours.feature_names_in_) == list(X.columns)
    assert len(ours.loss_curve_) == 5


def test_an_estimator_without_sklearn_names_the_package_to_install() -> None:
    code = "import sys; sys.modules['sklearn'] = None; import chainrule as cr; "
    code += "print(hasattr(cr, 'nothing')); cr.MLPClassifier"
    told = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert told.stdout.strip() == "False"
    assert told.returncode == 1
    assert "MissingExtra: [MLPClassifier] scikit-learn is not installed" in told.stderr
    assert 'pip install "chainrule[sklearn]"' in told.stderr


# ---------------------------------------------------------------- the tools around it

X, Y = load_iris(return_X_y=True)
QUICK: dict[str, Any] = {
    "hidden_layer_sizes": 16, "max_iter": 30, "learning_rate_init": 0.05, "random_state": 0,
    "tol": 0.0,
}  # fmt: skip
pytestmark = pytest.mark.filterwarnings("ignore::sklearn.exceptions.ConvergenceWarning")


def test_grid_search_in_several_processes() -> None:
    pipe = make_pipeline(StandardScaler(), cr.MLPClassifier(**QUICK))
    grid = {"mlpclassifier__alpha": [1e-4, 1e3]}
    found = GridSearchCV(pipe, grid, n_jobs=2, cv=2).fit(X, Y)
    assert found.best_params_["mlpclassifier__alpha"] < 1e3
    assert found.best_score_ > 0.9
    alone = GridSearchCV(pipe, grid, cv=2).fit(X, Y)
    np.testing.assert_array_equal(
        found.cv_results_["mean_test_score"], alone.cv_results_["mean_test_score"]
    )


def test_columns_scores_and_output_in_frames() -> None:
    data = load_diabetes(as_frame=True)
    numbers = [x for x in data.data.columns if x != "sex"]
    columns = ColumnTransformer(
        [("number", StandardScaler(), numbers),
         ("category", OneHotEncoder(sparse_output=False), ["sex"])]
    ).set_output(transform="pandas")  # fmt: skip
    model = TransformedTargetRegressor(
        make_pipeline(columns, cr.MLPRegressor(**QUICK)), transformer=StandardScaler()
    )
    scores = cross_validate(
        model, data.data, data.target, cv=3, scoring=("r2", "neg_mean_squared_error")
    )
    assert scores["test_r2"].mean() > 0.35
    fitted = model.fit(data.data, data.target).regressor_[-1]
    assert fitted.feature_names_in_[-1].startswith("category__sex")


def test_probabilities_are_calibrated_and_scores_too() -> None:
    data, target = load_breast_cancer(return_X_y=True)
    data = StandardScaler().fit_transform(data)
    for loss in ("log_loss", "hinge"):
        found = CalibratedClassifierCV(cr.MLPClassifier(loss=loss, **QUICK), cv=2)
        assert found.fit(data, target).score(data, target) > 0.95


def test_weights_are_routed() -> None:
    weights = np.where(Y == 2, 0.0, 1.0)
    with sklearn.config_context(enable_metadata_routing=True):
        model = cr.MLPClassifier(**QUICK).set_fit_request(sample_weight=True)
        scaler = StandardScaler().set_fit_request(sample_weight=False)
        pipe = make_pipeline(scaler, model).fit(X, Y, sample_weight=weights)
    assert set(pipe.predict(X[Y < 2])) == {0, 1}
    assert not (pipe.predict(X) == 2).any()


def test_clones_pickles_and_files(tmp_path: Path) -> None:
    model = cr.MLPClassifier(optimizer=cr.AdamW(0.01), schedule="cosine", **QUICK)
    copied = clone(model.fit(X, Y))
    assert not hasattr(copied, "model_")
    np.testing.assert_array_equal(copied.fit(X, Y).predict_proba(X), model.predict_proba(X))
    joblib.dump(model, tmp_path / "model.joblib")
    loaded = joblib.load(tmp_path / "model.joblib")
    np.testing.assert_array_equal(loaded.predict_proba(X), model.predict_proba(X))
    for one in (model, loaded):
        one.set_params(warm_start=True).fit(X, Y)
    np.testing.assert_array_equal(loaded.predict_proba(X), model.predict_proba(X))
    assert len(loaded.loss_curve_) == 60


# ---------------------------------------------------------------- scripts

FILTERS = """
from sklearn.datasets import load_digits
from sklearn.model_selection import train_test_split
X, y = load_digits(return_X_y=True)
X_train, X_test, y_train, y_test = train_test_split(X / 16.0, y, random_state=0, test_size=0.5)
mlp = MLPClassifier(hidden_layer_sizes=(40,), max_iter=8, alpha=1e-4, solver="sgd", verbose=10,
                    random_state=1, learning_rate_init=0.2)
mlp.fit(X_train, y_train)
print("Training set score: %f" % mlp.score(X_train, y_train))
vmin, vmax = mlp.coefs_[0].min(), mlp.coefs_[0].max()
images = [coef.reshape(8, 8) for coef in mlp.coefs_[0].T]
score = mlp.score(X_test, y_test) if vmin < 0 < vmax and len(images) == 40 else None
"""

CURVES = """
from sklearn.datasets import load_iris
from sklearn.preprocessing import MinMaxScaler
X, y = load_iris(return_X_y=True)
mlps = []
for solver, momentum, nesterov in (("sgd", 0, False), ("sgd", 0.9, True), ("adam", 0.9, True)):
    mlp = MLPClassifier(random_state=0, max_iter=100, solver=solver, momentum=momentum,
                        nesterovs_momentum=nesterov, learning_rate_init=0.05)
    mlp.fit(MinMaxScaler().fit_transform(X), y)
    mlps.append(mlp)
score = sum(min(mlp.loss_curve_[:mlp.n_iter_]) for mlp in mlps)
"""

STREAM = """
import numpy as np
from sklearn.datasets import load_diabetes
from sklearn.metrics import mean_squared_error
from sklearn.preprocessing import StandardScaler
X, y = load_diabetes(return_X_y=True)
X, y = StandardScaler().fit_transform(X), (y - y.mean()) / y.std()
reg = MLPRegressor(hidden_layer_sizes=(50,), random_state=0, learning_rate_init=0.01, batch_size=20)
for epoch in range(8):
    for rows in np.array_split(np.arange(300), 3):
        reg.partial_fit(X[rows], y[rows])
score = mean_squared_error(y[300:], reg.predict(X[300:]))
"""


@pytest.mark.parametrize("script", [FILTERS, CURVES, STREAM])
def test_a_script_needs_another_import_line_and_nothing_else(script: str) -> None:
    scores = []
    for module in ("sklearn.neural_network", "chainrule"):
        names: dict[str, Any] = {}
        exec(f"from {module} import MLPClassifier, MLPRegressor\n{script}", names)
        scores.append(names["score"])
    assert scores[1] == pytest.approx(scores[0], abs=0.05)
