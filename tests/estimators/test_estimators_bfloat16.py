"""Estimators that train with products of bfloat16, and those that refuse to."""

from __future__ import annotations

import numpy as np
import pytest

from chainrule.backend.registry import find_backend
from chainrule.errors import SettingError
from chainrule.estimators import MLPClassifier, MLPRegressor

R = np.random.default_rng(0)
X = R.normal(size=(300, 40))
Y = X[:, 0] + X[:, 1]


@pytest.mark.skipif(not find_backend("native").bfloat16, reason="no products of bfloat16")
@pytest.mark.filterwarnings("ignore::sklearn.exceptions.ConvergenceWarning")
def test_it_learns_as_well_as_single_precision() -> None:
    def learned(precision: str) -> MLPRegressor:
        made = MLPRegressor(
            hidden_layer_sizes=(64, 64), precision=precision, random_state=0, max_iter=40
        )
        return made.fit(X, Y)

    one, two = learned("single"), learned("bfloat16")
    assert two.coefs_[0].dtype == np.float32
    assert two.coefs_[0].tobytes() != one.coefs_[0].tobytes()
    assert two.score(X, Y) > 0.95 * one.score(X, Y) > 0.5


def test_lbfgs_refuses() -> None:
    with pytest.raises(ValueError, match="precision='single'"):
        MLPClassifier((64,), precision="bfloat16", solver="lbfgs").fit(X, Y > 0)


def test_other_processors_refuse_in_the_words_of_an_estimator(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(type(find_backend("native")), "bfloat16", False)
    with pytest.raises(SettingError, match='precision="single"'):
        MLPClassifier((64,), precision="bfloat16").fit(X, Y > 0)
