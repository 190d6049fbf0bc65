"""The part of an estimator that trained models have: its attributes, and predictions."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt
from sklearn.base import BaseEstimator
from sklearn.utils.validation import check_is_fitted, validate_data

from chainrule.data.blocks import Encoded
from chainrule.errors import ChainruleWarning
from chainrule.estimators import inputs
from chainrule.estimators.convergence import Convergence
from chainrule.graph.source import warn_user

Array = npt.NDArray[Any]


class Fitted(BaseEstimator):  # type: ignore[misc]
    """An estimator that may hold a trained model, `model_`, and the `_design` of its graph."""

    # ------------------------------------------------------------ training

    def _record(self, watch: Convergence, score: tuple[str, int] | None, last: float) -> None:
        """Add the epochs of a run to the attributes that describe training.

        Args:
            watch: the callback that has seen them.
            score: the column of validation scores, and -1 where higher is better; or None.
            last: the loss at the end.
        """
        if len(self.model_.history) == len(watch.rows):
            self.loss_curve_: list[float] = []
            self.validation_scores_: list[float] | None = None
            self.best_loss_: float | None = math.inf
            self.best_validation_score_: float | None = None
        self.loss_curve_ += [row["loss"] for row in watch.rows]
        self.loss_, best = last, math.inf if self.best_loss_ is None else self.best_loss_
        losses = (row["loss"] for row in watch.rows)
        self.best_loss_ = None if watch.validates else min(best, last, *losses)
        if score is None:
            self.validation_scores_ = self.best_validation_score_ = None
            return
        column, sign = score
        scores = [-sign * row[column] for row in watch.rows]
        self.validation_scores_ = self.validation_scores_ or []
        self.validation_scores_ += scores
        best = -math.inf if self.best_validation_score_ is None else self.best_validation_score_
        self.best_validation_score_ = max([best, *(x for x in scores if x == x)])

    @property
    def coefs_(self) -> list[Array]:
        """The weights of each layer, (inputs, outputs), the output layer last.

        The list may be set anew; its arrays are read-only.
        """
        return self._read("w")

    @coefs_.setter
    def coefs_(self, given: Sequence[Array]) -> None:
        self._write("w", given)

    @property
    def intercepts_(self) -> list[Array]:
        """The biases of each layer; where the layer is normalised, what that shifts by.

        The list may be set anew; its arrays are read-only.
        """
        return self._read("b")

    @intercepts_.setter
    def intercepts_(self, given: Sequence[Array]) -> None:
        self._write("b", given)

    def _read(self, suffix: str) -> list[Array]:
        arrays = [np.array(self.model_.value(name)) for name in self._names(suffix)]
        for array in arrays:
            array.flags.writeable = False
        return arrays

    def _write(self, suffix: str, given: Sequence[Array]) -> None:
        for name, array in list(zip(self._names(suffix), given, strict=True)):
            self.model_.set_value(name, array)

    def _names(self, suffix: str) -> list[str]:
        """The names of weights or biases, layer by layer."""
        check_is_fitted(self)
        layers = [*(f"hidden{k + 1}" for k in range(self.n_layers_ - 2)), "output"]
        values = self.model_.values
        return [f"{x}.{suffix}" if f"{x}.{suffix}" in values else f"{x}.norm.shift" for x in layers]

    # ------------------------------------------------------------ predictions

    def _predicted(self, X: Any) -> Array:
        """The output of the graph for each example."""
        check_is_fitted(self)
        if self._design.schema is None:
            X = validate_data(
                self, X, accept_sparse=("csr", "csc"), dtype=self._design.dtype, reset=False
            )
            return np.asarray(self.model_.predict({"x": inputs.dense(X)}))
        X = validate_data(self, X, skip_check_array=True, reset=False)
        values = np.asarray(self.model_.predict(self._fed(self._features(X))).values)
        return values[:, 1] if self._design.paired else values

    def _features(self, X: Any) -> dict[str, Array]:
        """The inputs of the graph that are features; warns of what is not as in training."""
        if self._design.schema is None:
            return {"x": X}
        arrays, notes = inputs.encoded(self._design.schema, X)
        for note in notes:
            warn_user(f"[{type(self).__name__}] {note}", ChainruleWarning)
        return dict(arrays)

    def _fed(self, feeds: dict[str, Array]) -> Mapping[str, Array] | Encoded:
        """Feeds in the form that the model takes: with a schema, an encoded table."""
        if self._design.schema is None:
            return feeds
        rows = len(next(iter(feeds.values())))
        return Encoded(feeds, None, np.arange(rows), [])

    def _stochastic(self) -> bool:
        """Raise AttributeError with L-BFGS, which lacks some methods."""
        if self.solver == "lbfgs":
            raise AttributeError("partial_fit is only available for solver='sgd' and 'adam'")
        return True

    def __sklearn_tags__(self) -> Any:
        tags = super().__sklearn_tags__()
        tags.input_tags.sparse = self.preprocess is not True
        tags.input_tags.allow_nan = self.preprocess is True
        return tags
