"""MLPClassifier: scikit-learn's, and more."""

from __future__ import annotations

import warnings
from typing import Any, ClassVar

import numpy as np
import numpy.typing as npt
from sklearn.base import ClassifierMixin
from sklearn.model_selection import StratifiedShuffleSplit
from sklearn.utils.class_weight import compute_sample_weight
from sklearn.utils.metaestimators import available_if
from sklearn.utils.multiclass import check_classification_targets, type_of_target

from chainrule.data.columns.target import ClassTarget, LabelType, Target
from chainrule.estimators.base import BaseMLP
from chainrule.estimators.network import offered
from chainrule.system.calls import telling

Array = npt.NDArray[Any]


class MLPClassifier(ClassifierMixin, BaseMLP):  # type: ignore[misc]
    """A feed-forward network that classifies, in scikit-learn's contract.

    The parameters of `sklearn.neural_network.MLPClassifier` have the same names, meanings and
    defaults; those after `max_fun` are more. Targets may be labels, or a matrix of 0 and 1 with
    a column for each of several labels.

    Args:
        activation: as in scikit-learn, any name that `cr.dense` knows, a function from node to
            node, or a sequence of such: one a layer.
        loss: "log_loss", or "hinge", which gives scores and no probabilities.
        label_smoothing: the share of the target that is spread over all classes.
        class_weight: a dict of weights by class, or "balanced".
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
            a part of the network. "auto" does so where a data frame has columns that are not
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

    tasks: ClassVar[tuple[str, ...]] = ("binary", "multiclass", "multilabel")
    numeric: ClassVar[bool] = False

    def __init__(
        self,
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
        loss: str = "log_loss",
        label_smoothing: float = 0.0,
        class_weight: Any = None,
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
    ) -> MLPClassifier:
        """Train; with `warm_start` continue from the present state, optimizer included.

        Args:
            X: (n, features): an array, a sparse matrix (which is made dense) or a data frame.
            y: (n,) labels, or (n, labels) of 0 and 1.
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
    def partial_fit(
        self, X: Any, y: Any, sample_weight: Any = None, classes: Any = None
    ) -> MLPClassifier:
        """Train for one epoch, from the present state.

        Args:
            X, y, sample_weight: as in `fit`.
            classes: all labels that will occur; needed in the first call.
        """
        if isinstance(self.class_weight, str):
            raise ValueError("class_weight='balanced' needs all rows: give a dict of weights")
        if not hasattr(self, "model_"):
            many = type_of_target(y).startswith("multilabel")
            if classes is None and not many:
                raise ValueError("classes must be passed on the first call to partial_fit.")
            self.classes_ = np.arange(np.shape(y)[1]) if many else np.unique(classes)
        elif classes is not None and not np.array_equal(self.classes_, np.unique(classes)):
            raise ValueError(
                f"`classes={classes!r}` is not the same as on last call to partial_fit, was: "
                f"{self.classes_!r}"
            )
        self._fit(X, y, sample_weight, incremental=True)
        return self

    def _encode_target(self, y: Array, first: bool, incremental: bool) -> Array:
        check_classification_targets(y)
        if y.ndim == 2:
            if type_of_target(y) != "multilabel-indicator":
                raise ValueError(
                    "y has several columns, which are not labels of 0 and 1: multioutput target "
                    "data is not supported. Use sklearn.multioutput.MultiOutputClassifier"
                )
            if first and not incremental:
                self.classes_ = np.arange(y.shape[1])
            return np.asarray(y, np.int32)
        present = np.unique(y)
        if first and not incremental:
            self.classes_ = present
            if len(present) == 1:
                warnings.warn(
                    f"y holds one class, {present[0]}: it is all that will be predicted",
                    RuntimeWarning, stacklevel=4,
                )  # fmt: skip
        if not (first or incremental) and not np.array_equal(present, self.classes_):
            raise ValueError(
                "warm_start can only be used where `y` has the same classes as in the previous "
                f"call to fit. Previously got {self.classes_}, `y` has {present}: use "
                "partial_fit for rows that lack some of them"
            )
        unknown = np.setdiff1d(present, self.classes_)
        if len(unknown):
            raise ValueError(
                f"`y` has classes not in `self.classes_`. `self.classes_` has {self.classes_}. "
                f"'y' has {unknown}."
            )
        return np.searchsorted(self.classes_, y).astype(np.int32)

    def _refuse_split(self, y: Array) -> None:
        if y.ndim == 2 or len(self.classes_) != 2 or np.bincount(y).min() > 1:
            return
        try:  # in the words of this version of scikit-learn
            next(
                StratifiedShuffleSplit(test_size=self.validation_fraction).split(
                    y, (y == 1)[:, None]
                )
            )
        except ValueError as error:
            no, yes = self.classes_
            raise ValueError(f"{error} (False stands for {no}, True for {yes})") from None

    def _task(self, y: Array) -> tuple[str, int]:
        if y.ndim == 2:
            return "multilabel", y.shape[1]
        classes = len(self.classes_)
        return ("binary", 1) if classes <= 2 else ("multiclass", classes)

    def _learned(self, y: Array, name: str) -> Target | None:
        if y.ndim == 2 or not self._probabilities or len(self.classes_) == 1:
            return None
        counts = np.maximum(np.bincount(y, minlength=len(self.classes_)), 1)
        kinds: dict[str, LabelType] = {"i": "int", "u": "int", "f": "float", "b": "bool"}
        return ClassTarget(
            name=name, reason="given to fit", labels=tuple(map(str, self.classes_)),
            counts=tuple(counts.tolist()), type=kinds.get(self.classes_.dtype.kind, "str"),
        )  # fmt: skip

    def _class_weights(self, y: Array) -> Array | None:
        if self.class_weight is None:
            return None
        labels = self.classes_[y] if y.ndim == 1 else y
        return np.asarray(compute_sample_weight(self.class_weight, labels))

    def predict(self, X: Any) -> Array:
        """The most probable class of each example, (n,); for labels 0 or 1, (n, labels).

        Args:
            X: as in `fit`.
        """
        values = self._predicted(X)
        if values.ndim == 2 and self.out_activation_ != "logistic":
            codes = values.argmax(axis=1)
            return np.asarray(self.classes_[codes])
        codes = (values > (0.5 if self.out_activation_ == "logistic" else 0)).astype(int)
        if values.ndim == 2:
            return codes
        return np.asarray(self.classes_[np.minimum(codes, len(self.classes_) - 1)])

    @available_if(lambda self: self._has(probabilities=True))
    @telling
    def predict_proba(self, X: Any) -> Array:
        """The probability of each class, or of each label, (n, classes), as `classes_` has them.

        Args:
            X: as in `fit`.
        """
        values = self._predicted(X)
        if len(self.classes_) == 1:
            return np.ones((len(values), 1), values.dtype)
        return values if values.ndim == 2 else np.column_stack([1 - values, values])

    @available_if(lambda self: self._has(probabilities=True))
    @telling
    def predict_log_proba(self, X: Any) -> Array:
        """The logarithms of `predict_proba`.

        Args:
            X: as in `fit`.
        """
        with np.errstate(divide="ignore"):
            return np.asarray(np.log(self.predict_proba(X)))

    @available_if(lambda self: self._has(probabilities=False))
    @telling
    def decision_function(self, X: Any) -> Array:
        """The scores of a network with `loss="hinge"`: (n,) for two classes, else (n, classes).

        Args:
            X: as in `fit`.
        """
        return self._predicted(X)

    @property
    def _probabilities(self) -> bool:
        """Whether the loss gives probabilities."""
        loss = offered(*self.tasks).get(self.loss)
        return loss is None or loss.probabilities

    def _has(self, *, probabilities: bool) -> bool:
        """Whether the loss gives probabilities, or does not."""
        if self._probabilities != probabilities:
            raise AttributeError(f"not available with loss={self.loss!r}")
        return True

    def __sklearn_tags__(self) -> Any:
        tags = super().__sklearn_tags__()
        tags.classifier_tags.multi_label = True
        return tags
