"""MLPRegressor: scikit-learn's, and more."""

from __future__ import annotations

from typing import Any, ClassVar

import numpy as np
import numpy.typing as npt
from sklearn.base import RegressorMixin
from sklearn.utils.metaestimators import available_if

from chainrule.data.columns.stats import stats_of
from chainrule.data.columns.target import NumberTarget, Target
from chainrule.estimators.base import BaseMLP
from chainrule.estimators.network import Scale, link_of, offered
from chainrule.nn.loss import IDENTITY
from chainrule.system.calls import telling

Array = npt.NDArray[Any]


class MLPRegressor(RegressorMixin, BaseMLP):  # type: ignore[misc]
    """A feed-forward network that predicts numbers, in scikit-learn's contract.

    The parameters of `sklearn.neural_network.MLPRegressor` have the same names, meanings and
    defaults; those after `max_fun` are more. Targets may be several numbers an example.

    Args:
        loss: "squared_error" or "poisson" as in scikit-learn; "absolute_error", "huber" or
            "quantile".
        activation: as in scikit-learn, any name that `cr.dense` knows, a function from node to
            node, or a sequence of such: one a layer.
        quantile: that the loss "quantile" predicts.
        huber_delta: where the loss "huber" goes from squared to absolute.
        dropout: the rate after each hidden layer, or a sequence: one a layer.
        normalization: "batch", "layer" or "rms", before each activation.
        optimizer: in the place of `solver`: a name such as "adamw", which takes
            `learning_rate_init`, or such as `cr.AdamW(1e-3, decay=0.01)`.
        schedule: of the learning rate, for all of `max_iter`: a name such as "one_cycle", which
            takes `learning_rate_init`, or such as `cr.schedules.Cosine(1e-3)`. Then `tol` ends
            no run.
        clip_norm: bound on the length of the gradient.
        preprocess: True learns the columns of a table: numbers are standardised and their gaps
            filled, categories become one-hot or embedded, texts counts of words, and it is all
            a part of the network; the target is standardised too (not with
            the loss "poisson"). "auto" does so where a data frame has columns that are not
            numbers, or categorical_features lists some; False never.
        categorical_features: "from_dtype", or names, positions or a mask of the columns that
            are categories, whatever their type.
        callbacks: as in `Model.fit`.
        precision: "single", "double", or "auto": double for float64 data of up to 1,000 rows or
            with L-BFGS, else single; or "bfloat16": single, with factors of products in training
            rounded as by `Model.fit`.
        threads, device: as in `Model.fit`; predictions are computed on the processor.

    Attributes:
        model_: the trained `Model`: its graph, history and parameters. Scikit-learn's attributes
            (coefs_, loss_curve_, ...) are there too.
    """

    tasks: ClassVar[tuple[str, ...]] = ("regression",)
    numeric: ClassVar[bool] = True

    def __init__(
        self,
        loss: str = "squared_error",
        hidden_layer_sizes: Any = (100,),
        activation: Any = "relu",
        *,
        solver: str = "adam",
        alpha: float = 0.0001,
        batch_size: int | str = "auto",
        learning_rate: str = "constant",
        learning_rate_init: float = 0.001,
        power_t: float = 0.5,
        max_iter: int = 200,
        shuffle: bool = True,
        random_state: Any = None,
        tol: float = 1e-4,
        verbose: bool | str = False,
        warm_start: bool = False,
        momentum: float = 0.9,
        nesterovs_momentum: bool = True,
        early_stopping: bool = False,
        validation_fraction: float = 0.1,
        beta_1: float = 0.9,
        beta_2: float = 0.999,
        epsilon: float = 1e-8,
        n_iter_no_change: float = 10,
        max_fun: int = 15000,
        quantile: float = 0.5,
        huber_delta: float = 1.0,
        dropout: Any = 0.0,
        normalization: str | None = None,
        optimizer: Any = None,
        schedule: Any = None,
        clip_norm: float | None = None,
        preprocess: bool | str = "auto",
        categorical_features: Any = "from_dtype",
        callbacks: Any = None,
        precision: str = "auto",
        threads: int | None = None,
        device: str = "cpu",
    ) -> None:
        self._store(locals())

    def fit(
        self, X: Any, y: Any, sample_weight: Any = None, *, validation_data: Any = None
    ) -> MLPRegressor:
        """Train; with `warm_start` continue from the present state, optimizer included.

        Args:
            X: (n, features): an array, a sparse matrix (which is made dense) or a data frame.
            y: (n,) numbers, or (n, outputs).
            sample_weight: (n,), 0 or more.
            validation_data: (X, y) or (X, y, sample_weight), scored after each epoch, and in the
                place of rows held out where `early_stopping` is on.

        Raises:
            ValueError: data or parameters are not valid. NotFinite: the loss is not finite.
        """
        self._fit(X, y, sample_weight, validation_data=validation_data)
        return self

    @available_if(lambda self: self._stochastic())
    @telling
    def partial_fit(self, X: Any, y: Any, sample_weight: Any = None) -> MLPRegressor:
        """Train for one epoch, from the present state.

        Args:
            X, y, sample_weight: as in `fit`.
        """
        self._fit(X, y, sample_weight, incremental=True)
        return self

    def predict(self, X: Any) -> Array:
        """The number of each example, (n,), or its numbers, (n, outputs).

        Args:
            X: as in `fit`.
        """
        return self._predicted(X)

    def _encode_target(self, y: Array, first: bool, incremental: bool) -> Array:
        if y.dtype.kind in "mM":
            raise ValueError(f"y holds times, {y.dtype}, and no numbers: predict days since a date")
        y = y.astype(np.float64, copy=False)
        bounds = offered("regression")[self.loss].bounds
        if bounds and ((y < bounds.low) | (y > bounds.high)).any():
            raise ValueError(f"y cannot be predicted with loss={self.loss!r}: {bounds.what}")
        return y

    def _task(self, y: Array) -> tuple[str, int]:
        return "regression", 1 if y.ndim == 1 else y.shape[1]

    def _learned(self, y: Array, name: str) -> Target | None:
        if y.ndim == 2:
            return None
        return NumberTarget(name=name, reason="given to fit", stats=stats_of(y))

    def _scale(self, y: Array) -> Scale | None:
        link = link_of(offered("regression")[self.loss], "regression")
        return Scale.of(y) if link is IDENTITY else None

    def __sklearn_tags__(self) -> Any:
        tags = super().__sklearn_tags__()
        tags.target_tags.multi_output = True
        return tags
