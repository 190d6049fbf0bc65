"""RealMLP with the defaults tuned by its authors, from pytabkit."""

from __future__ import annotations

import warnings
from collections.abc import Mapping
from typing import Any

from pytabkit import RealMLP_TD_Classifier, RealMLP_TD_Regressor

from bench.quality.sets import Frame, Set

warnings.filterwarnings("ignore")  # of its libraries, about each other


class RealMLP:
    """See Learner. It holds a fifth of the rows out to choose the epoch, as it does by default.

    It knows no gaps in numbers: they get the median. Gaps in categories are one more category.
    """

    settings: Mapping[str, Any] = {"chosen": "the defaults"}

    def __init__(self, table: Set, seed: int, threads: int) -> None:
        self._table = table
        classes = table.task == "classification"
        kind = RealMLP_TD_Classifier if classes else RealMLP_TD_Regressor
        self._model = kind(random_state=seed, device="cpu", n_threads=threads)
        self._predict = self._model.predict_proba if classes else self._model.predict

    def fit(self, table: Frame) -> None:
        """See Learner."""
        x = table.drop(columns=self._table.target)
        self._medians = x.select_dtypes("number").median()
        self._model.fit(self._filled(x), table[self._table.target])

    def predict(self, table: Frame) -> Any:
        """See Learner."""
        return self._predict(self._filled(table.drop(columns=self._table.target)))

    @property
    def labels(self) -> Any:
        """See Learner."""
        return self._model.classes_

    def _filled(self, x: Frame) -> Frame:
        text = list(x.select_dtypes(exclude="number"))
        filled = x.fillna(dict(self._medians) | dict.fromkeys(text, "missing"))
        return filled.astype(dict.fromkeys(text, "category"))
