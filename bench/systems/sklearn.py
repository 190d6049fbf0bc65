"""scikit-learn's multi-layer perceptron, which has the same networks, losses and optimizers."""

from __future__ import annotations

import time
import warnings
from collections.abc import Callable
from typing import Any

import numpy as np
from sklearn.neural_network import MLPClassifier, MLPRegressor

from bench.cells import RATES, Array, Cell, Network, data

warnings.filterwarnings("ignore")  # that it stops before it has converged


class Sklearn:
    """See System. The number of threads is that of its BLAS, which the worker's variables set."""

    def __init__(self, network: Cell, optimizer: str, threads: int) -> None:
        if not isinstance(network, Network):
            raise ValueError("it has dense layers alone")
        self._network, self._optimizer = network, optimizer
        self._data = data(network)
        self._asked: Any = None

    def first(self) -> None:
        """See System."""
        self._fit(1)

    def train(self, epochs: int, ready: Callable[[], object]) -> tuple[float, float]:
        """See System. `fit` cannot be watched: its time is the difference of two runs.

        Where a disturbance of the first would leave next to nothing, half of the second counts.
        """
        once, _ = self._fit(1)
        ready()
        seconds, model = self._fit(1 + epochs)
        loss = model.loss_curve_[epochs - 1]
        left = max(seconds - once, seconds * epochs / (1 + epochs) / 2)
        return left, 2 * loss if self._network.regression else loss

    def check(self) -> float:
        """See System."""
        return np.nan

    def predict(self, x: Array) -> Array:
        """See System."""
        if self._asked is None:
            self._asked = self._fit(1)[1]
        answer = self._asked.predict if self._network.regression else self._asked.predict_proba
        return np.asarray(answer(x))

    def _fit(self, epochs: int) -> tuple[float, Any]:
        # Its loss of numbers is half the squared error: twice the rate makes equal steps.
        rate = RATES[self._optimizer]
        if self._network.regression and self._optimizer == "sgd":
            rate *= 2
        kind = MLPRegressor if self._network.regression else MLPClassifier
        model = kind(
            hidden_layer_sizes=self._network.widths[1:-1], solver=self._optimizer, alpha=0.0,
            momentum=0.0, nesterovs_momentum=False, learning_rate_init=rate,
            batch_size=self._network.batch, max_iter=epochs, tol=0.0, n_iter_no_change=np.inf,
            random_state=0,
        )  # fmt: skip
        begun = time.perf_counter()
        model.fit(*self._data)
        return time.perf_counter() - begun, model
