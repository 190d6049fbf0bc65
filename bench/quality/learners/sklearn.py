"""scikit-learn's networks, linear models and boosted trees, with their preprocessing."""

from __future__ import annotations

import warnings
from collections.abc import Mapping
from typing import Any

import numpy as np
import pandas as pd
from sklearn.compose import TransformedTargetRegressor, make_column_transformer
from sklearn.ensemble import (
    HistGradientBoostingClassifier,
    HistGradientBoostingRegressor,
    RandomForestClassifier,
    RandomForestRegressor,
)
from sklearn.exceptions import ConvergenceWarning
from sklearn.impute import SimpleImputer
from sklearn.linear_model import LogisticRegression, Ridge
from sklearn.model_selection import (
    GridSearchCV,
    KFold,
    ParameterSampler,
    ShuffleSplit,
    StratifiedKFold,
    StratifiedShuffleSplit,
    train_test_split,
)
from sklearn.neural_network import MLPClassifier, MLPRegressor
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import OneHotEncoder, OrdinalEncoder, StandardScaler

from bench.quality.sets import Frame, Set

warnings.filterwarnings("ignore", category=ConvergenceWarning)
warnings.filterwarnings("ignore", message="Got `batch_size` less than 1")

SPACE = {
    "hidden_layer_sizes": [(64,), (128,), (256,), (128, 128), (256, 256)],
    "activation": ["relu", "tanh"],
    "alpha": np.logspace(-6, -1, 11).tolist(),
    "learning_rate_init": np.logspace(-3.5, -2, 7).tolist(),
    "batch_size": [32, 64, 128, 256],
    "early_stopping": [False, True],
}
"""The search space of the network."""
CANDIDATES = 8
"""The number of draws, besides the defaults."""
SEARCHED_ROWS = 5_000
"""The largest number of rows to compare candidates on; the winner is fitted on all rows."""
LEAVES = (1, 4, 16)
"""The least rows of a leaf of the forest, of which the rows out of the bags choose one."""
FOREST_TREES = 300
MOST_ONE_HOT = 32
"""Levels up to which the forest has a category one-hot; above, as numbers in order."""
MOST_TREES = 2_000
MOST_CATEGORIES = 255
"""The most levels of a category that scikit-learn's boosting accepts."""
PATIENCE = 50
"""Iterations of boosting without improvement after which the search for their number ends."""


class Base:
    """See Learner: a pipeline of scikit-learn, which a subclass makes."""

    def __init__(self, table: Set, seed: int, threads: int) -> None:
        self._table, self._seed = table, seed
        self._classes = table.task == "classification"
        self.settings: Mapping[str, Any] = {}

    def fit(self, table: Frame) -> None:
        """See Learner."""
        x, y = table.drop(columns=self._table.target), table[self._table.target].to_numpy()
        self._model = self.learned(x, y)

    def learned(self, x: Frame, y: Any) -> Any:
        """The fitted pipeline."""
        raise NotImplementedError

    def predict(self, table: Frame) -> Any:
        """See Learner."""
        x = table.drop(columns=self._table.target)
        return self._model.predict_proba(x) if self._classes else self._model.predict(x)

    @property
    def labels(self) -> Any:
        """See Learner."""
        return self._model.classes_

    def _pipeline(self, x: Frame, estimator: Any) -> Any:
        """Numbers and target standardised, categories one-hot, gaps filled."""
        text = list(x.select_dtypes(exclude="number"))
        prepared = make_column_transformer(
            (make_pipeline(SimpleImputer(strategy="median"), StandardScaler()),
             [c for c in x if c not in text]),
            (make_pipeline(
                SimpleImputer(strategy="constant", fill_value="missing"),
                OneHotEncoder(handle_unknown="ignore", sparse_output=False, dtype=np.float32),
            ), text),
        )  # fmt: skip
        if not self._classes:
            estimator = TransformedTargetRegressor(estimator, transformer=StandardScaler())
        return make_pipeline(prepared, estimator)


class Perceptron(Base):
    """Its multi-layer perceptron with the default settings."""

    def learned(self, x: Frame, y: Any) -> Any:
        """See Base."""
        return self._pipeline(x, self._estimator()).fit(x, y)

    def _estimator(self, **settings: Any) -> Any:
        kind = MLPClassifier if self._classes else MLPRegressor
        return kind(random_state=self._seed, **settings)


class Searched(Perceptron):
    """The same, with the best of some settings by the score in cross-validation."""

    def learned(self, x: Frame, y: Any) -> Any:
        """See Base."""
        drawn = list(ParameterSampler(SPACE, CANDIDATES, random_state=self._seed))
        prefix = "mlpclassifier__" if self._classes else "transformedtargetregressor__regressor__"
        grid = [{prefix + k: [v] for k, v in settings.items()} for settings in [{}, *drawn]]
        scoring = "accuracy" if self._classes else "neg_root_mean_squared_error"
        search = GridSearchCV(
            self._pipeline(x, self._estimator()), grid, cv=self._folds(len(x)), scoring=scoring,
            refit=False,
        )  # fmt: skip
        search.fit(x, y)
        best = {k.removeprefix(prefix): v for k, v in search.best_params_.items()}
        self.settings = best or {"chosen": "the defaults"}
        return self._pipeline(x, self._estimator(**best)).fit(x, y)

    def _folds(self, rows: int) -> Any:
        """Three folds; with many rows, one split of some of them."""
        if rows <= SEARCHED_ROWS:
            folds = StratifiedKFold if self._classes else KFold
            return folds(3, shuffle=True, random_state=self._seed)
        cut = StratifiedShuffleSplit if self._classes else ShuffleSplit
        held = SEARCHED_ROWS // 5
        return cut(1, test_size=held, train_size=SEARCHED_ROWS - held, random_state=self._seed)


class Linear(Base):
    """Logistic or ridge regression."""

    def learned(self, x: Frame, y: Any) -> Any:
        """See Base."""
        return self._pipeline(
            x, LogisticRegression(max_iter=1000) if self._classes else Ridge()
        ).fit(x, y)


class Forest(Base):
    """A random forest, the size of its leaves chosen by the rows out of the bags."""

    def learned(self, x: Frame, y: Any) -> Any:
        """See Base. Gaps in numbers stay gaps, which the trees know."""
        text = list(x.select_dtypes(exclude="number"))
        few = [c for c in text if x[c].nunique() <= MOST_ONE_HOT]
        prepared = make_column_transformer(
            (OneHotEncoder(handle_unknown="ignore", sparse_output=False), few),
            (OrdinalEncoder(handle_unknown="use_encoded_value", unknown_value=-1),
             [c for c in text if c not in few]),
            remainder="passthrough",
        )  # fmt: skip
        found = [make_pipeline(prepared, self._estimator(n)).fit(x, y) for n in LEAVES]
        losses = [self._loss(pipeline[-1], y) for pipeline in found]
        best = int(np.argmin(losses))
        self.settings = {"min_samples_leaf": LEAVES[best]}
        return found[best]

    def _estimator(self, leaf: int) -> Any:
        shared = {"n_estimators": FOREST_TREES, "min_samples_leaf": leaf, "oob_score": True,
                  "random_state": self._seed}  # fmt: skip
        if self._classes:
            return RandomForestClassifier(max_features="sqrt", **shared)
        return RandomForestRegressor(max_features=1 / 3, **shared)

    def _loss(self, forest: Any, y: Any) -> float:
        """The log loss or the squared error of the rows that a tree did not see."""
        if not self._classes:
            return float(np.nanmean(np.square(forest.oob_prediction_ - y)))
        given = forest.oob_decision_function_[
            np.arange(len(y)), np.searchsorted(forest.classes_, y)
        ]
        return float(-np.nanmean(np.log(np.clip(given, 1e-3, 1))))


class Boosting(Base):
    """Histogram gradient boosting, its number of iterations found on a fifth of the rows."""

    def learned(self, x: Frame, y: Any) -> Any:
        """See Base. Of the iterations, the best ones are done again with all rows."""
        self._levels = {
            c: pd.Index(x[c].dropna().unique()).sort_values()
            for c in x.select_dtypes(exclude="number")
            if x[c].nunique() > MOST_CATEGORIES
        }
        kept = train_test_split(
            x, y, test_size=0.2, random_state=self._seed, stratify=y if self._classes else None
        )
        inner, held, y_inner, y_held = kept
        found = self._estimator(
            max_iter=MOST_TREES, early_stopping=True, n_iter_no_change=PATIENCE, tol=0.0
        ).fit(self._typed(inner), y_inner, X_val=self._typed(held), y_val=y_held)
        best = max(int(np.argmax(found.validation_score_)), 1)
        self.settings = {"max_iter": best}
        return self._estimator(max_iter=best, early_stopping=False).fit(self._typed(x), y)

    def predict(self, table: Frame) -> Any:
        """See Learner."""
        return super().predict(self._typed(table))

    def _estimator(self, **settings: Any) -> Any:
        kind = HistGradientBoostingClassifier if self._classes else HistGradientBoostingRegressor
        return kind(categorical_features="from_dtype", random_state=self._seed, **settings)

    def _typed(self, x: Frame) -> Frame:
        """Text as categories; those of too many levels as numbers in order."""
        text = [c for c in x.select_dtypes(exclude="number") if c != self._table.target]
        codes = {c: levels.get_indexer(x[c]).astype(float) for c, levels in self._levels.items()}
        return x.assign(**codes).astype({c: "category" for c in text if c not in codes})
