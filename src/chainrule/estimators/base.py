"""The shared part of the estimators: from parameters and data to a trained model."""

from __future__ import annotations

import math
import warnings
from collections.abc import Mapping
from dataclasses import replace
from functools import cache, partial
from typing import Any, ClassVar

import numpy as np
import numpy.typing as npt
from sklearn.exceptions import ConvergenceWarning
from sklearn.utils import check_random_state
from sklearn.utils.validation import (
    check_array,
    check_consistent_length,
    column_or_1d,
    validate_data,
)

from chainrule.data.blocks import Encoded
from chainrule.data.columns.target import Target
from chainrule.data.schema import Schema
from chainrule.engine.program import check_precision
from chainrule.errors import NotFinite, SettingError
from chainrule.estimators import inputs, settings
from chainrule.estimators.convergence import Convergence
from chainrule.estimators.endings import end_with_best, in_words_of, limit_reached
from chainrule.estimators.fitted import Fitted
from chainrule.estimators.network import (
    Design,
    Scale,
    activation_named,
    free_names,
    initial_values,
    network,
    offered,
)
from chainrule.estimators.solver import build_optimizer, is_lbfgs
from chainrule.model.prepare import Prepared, prepare
from chainrule.train.callbacks import EarlyStopping, as_callbacks
from chainrule.train.schedules import Schedule

Array = npt.NDArray[Any]

PLANNED = (str, Schedule)
"""Values of `learning_rate` that change the rate during a run."""

MAX_FLOAT64_ROWS = 1000
"""Examples up to which float64 data are computed in float64 without costing time."""


GAPS = "preprocess=True fills gaps inside the network; or put a SimpleImputer before it"

SCORES = {"classification": "accuracy", "multilabel": "accuracy", "regression": "r2"}
"""By task, the metric of early stopping; for other tasks it is the loss."""


class BaseMLP(Fitted):
    """The shared part of MLPClassifier and MLPRegressor.

    `model_`, the Chainrule model, holds all results of training; `coefs_` and `intercepts_` are
    read from it.
    """

    tasks: ClassVar[tuple[str, ...]]
    numeric: ClassVar[bool]

    # ------------------------------------------------------------ differences of the two

    def _store(self, parameters: dict[str, Any]) -> None:
        """Store the parameters of the constructor under their names, and do nothing else."""
        for name, value in parameters.items():
            if name not in ("self", "__class__"):
                setattr(self, name, value)

    def _parameters(self) -> dict[str, Any]:
        """The parameters of the constructor, as `get_params` gives them, at less cost."""
        kind: Any = type(self)
        return {name: getattr(self, name) for name in _names_of(kind)}

    def _encode_target(self, y: Array, first: bool, incremental: bool) -> Array:
        """y as an array for the graph; the `first` call learns the classes, unless partial_fit has.

        Later y must hold all of them, or some where it is `incremental`.
        """
        raise NotImplementedError

    def _task(self, y: Array) -> tuple[str, int]:
        """The task and the number of outputs, for encoded targets."""
        raise NotImplementedError

    def _scale(self, y: Array) -> Scale | None:
        """The standardisation of a number to predict, where features are preprocessed."""
        return None

    def _learned(self, y: Array, name: str) -> Target | None:
        """The description of an encoded target for the schema; None where there are several."""
        raise NotImplementedError

    def _refuse_split(self, y: Array) -> None:
        """Raise ValueError where scikit-learn cannot hold out rows of encoded targets."""

    def _class_weights(self, y: Array) -> Array | None:
        """Weights of examples by their class, or None."""
        return None

    # ------------------------------------------------------------ data

    def _validated(
        self, X: Any, y: Any, schema: Schema | None, dtype: str, *, reset: bool = False
    ) -> tuple[Any, Array]:
        """Features and target, checked: an array, or a table where there is a schema."""
        inputs.refuse_gaps(y)
        if schema is None:
            try:
                with np.errstate(over="ignore"):  # the check reports values that are too large
                    X, y = validate_data(
                        self, X, y, accept_sparse=("csr", "csc"), multi_output=True,
                        y_numeric=self.numeric, dtype=dtype, reset=reset,
                    )  # fmt: skip
            except ValueError as error:
                if "Input X contains NaN" in str(error):
                    raise ValueError(f"Input X contains NaN.\n{GAPS}") from None
                raise
            X = inputs.dense(X)
        else:
            X, y = validate_data(self, X, y, skip_check_array=True, reset=reset)
            kind = "numeric" if self.numeric else None
            y = check_array(y, accept_sparse=True, ensure_2d=False, dtype=kind, input_name="y")
            check_consistent_length(X, y)
        y = inputs.dense(y)
        if y.ndim == 2 and y.shape[1] == 1:
            y = column_or_1d(y, warn=True)
        return X, y

    def _precision(self, X: Any, schema: Schema | None) -> str:
        """float32, or float64 where the data are float64 and it is requested or costs no time."""
        if self.precision != "auto":
            return "float64" if self.precision == "double" else "float32"
        rows = X.shape[0] if getattr(X, "shape", ()) else len(X) if hasattr(X, "__len__") else 0
        exact = self.solver == "lbfgs" or rows <= MAX_FLOAT64_ROWS
        single = getattr(X, "dtype", None) == np.float32 or schema is not None
        return "float64" if exact and not single else "float32"

    def _refuse_bfloat16(self) -> None:
        """Raise where the solver, or the processor, has no products of bfloat16."""
        if self._lbfgs:
            raise ValueError("precision='bfloat16' is not for L-BFGS: give precision='single'")
        try:
            check_precision("bfloat16", "native")
        except SettingError as error:
            error.fix = 'precision="single"'
            raise

    def _feeds(self, X: Any, y: Array, weights: Array | None) -> Mapping[str, Array] | Encoded:
        """All inputs of the graph."""
        design, feeds = self._design, self._features(X)
        names = free_names(design.schema)
        feeds[names.target] = y.astype(design.target, copy=False)
        if design.weighted:
            alike = np.ones(len(y), design.dtype)
            feeds[names.weights] = alike if weights is None else weights
        return self._fed(feeds)

    # ------------------------------------------------------------ fit

    def _fit(
        self, X: Any, y: Any, sample_weight: Any, *, validation_data: Any = None,
        incremental: bool = False,
    ) -> None:  # fmt: skip
        losses = tuple(offered(*self.tasks))
        settings.check(type(self).__name__, self._parameters(), losses)
        if self.precision == "bfloat16":
            self._refuse_bfloat16()
        if incremental and self.early_stopping:
            raise ValueError("partial_fit does not support early_stopping=True")
        if incremental and isinstance(self.schedule or getattr(self.optimizer, "rate", 0), PLANNED):
            raise ValueError(
                "partial_fit trains epoch by epoch, and a schedule needs a complete run: "
                "leave it out, and change learning_rate_init as you go on"
            )
        first = not hasattr(self, "model_") or not (self.warm_start or incremental)
        table = None
        if first:
            learned = inputs.learn(X, self.preprocess, self.categorical_features)
            schema, table = learned if learned is not None else (None, None)
            dtype = self._precision(X, schema)
        else:
            schema, dtype = self._design.schema, self._design.dtype
        name = getattr(y, "name", None)
        X, y = self._validated(X, y, schema, dtype, reset=first)
        weights = inputs.weights_of(sample_weight, len(y), dtype)
        y = self._encode_target(y, first, incremental)
        by_class = self._class_weights(y)
        if by_class is not None:
            by_class = by_class.astype(dtype)
            weights = by_class if weights is None else weights * by_class
        if first:
            if schema is not None:
                schema = inputs.with_target(schema, name, partial(self._learned, y))
            self._build(self._designed(y, schema, dtype, weights is not None))
        elif weights is not None and not self._design.weighted:
            self._take_weights()
        self.model_.set_value(free_names(self._design.schema).alpha, self.alpha)
        feeds = self._feeds(X if table is None else table, y, weights)
        self._train(self._prepared(feeds, y, validation_data), incremental)

    def _designed(self, y: Array, schema: Schema | None, dtype: str, weighted: bool) -> Design:
        """The design of the graph, from parameters and data."""
        widths = tuple(map(int, np.atleast_1d(np.asarray(self.hidden_layer_sizes, dtype=int))))

        def each(key: str) -> tuple[Any, ...]:
            given = getattr(self, key)
            return settings.per_layer(type(self).__name__, key, given, len(widths))

        task, outputs = self._task(y)
        return Design(
            task=task, features=self.n_features_in_, schema=schema, outputs=outputs,
            flat=y.ndim == 1, scale=None if schema is None else self._scale(y), widths=widths,
            activations=tuple(map(activation_named, each("activation"))),
            dropouts=each("dropout"), normalization=self.normalization, loss=self.loss,
            weighted=weighted, label_smoothing=getattr(self, "label_smoothing", 0.0),
            quantile=getattr(self, "quantile", 0.5), delta=getattr(self, "huber_delta", 1.0),
            dtype=dtype,
        )  # fmt: skip

    def _build(self, design: Design) -> None:
        """Build the untrained model, and set the attributes that precede training."""
        random = check_random_state(self.random_state)
        values = initial_values(design, random)
        seed = int(random.randint(np.iinfo(np.int32).max))
        self.model_, self._design = network(design, seed, values), design
        self.n_layers_ = len(design.widths) + 2
        self.n_outputs_ = design.outputs
        self.out_activation_ = design.output
        self.t_ = 0

    def _take_weights(self) -> None:
        """Rebuild the model with weights of examples, which it did not have before."""
        old, self._design = self.model_, replace(self._design, weighted=True)
        self.model_ = network(self._design, old.seed, {})
        self.model_.restore({**old.values, **old.slots}, old.steps)
        self.model_.optimizer, self.model_.history = old.optimizer, old.history

    def _prepared(self, feeds: Any, y: Array, validation: Any) -> Prepared:
        """The feeds with their validation data: other data, rows held out, or none."""
        rows = len(y)
        held: Any = None
        if validation is not None:
            if not isinstance(validation, tuple | list) or len(validation) not in (2, 3):
                raise ValueError("validation_data is (X, y) or (X, y, sample_weight)")
            held = self._held(*validation)
        elif self._early:
            self._refuse_split(y)
            held = math.ceil(rows * self.validation_fraction) / rows  # scikit-learn rounds up
            if held * rows < 2:
                raise ValueError(
                    "The validation set is too small. Increase 'validation_fraction' "
                    "or the size of your dataset."
                )
        return prepare(self.model_, feeds, held, None, None)

    def _held(self, X: Any, y: Any, weights: Any = None) -> Mapping[str, Array] | Encoded:
        """Validation data as feeds."""
        X, y = self._validated(X, y, self._design.schema, self._design.dtype)
        weights = inputs.weights_of(weights, len(y), self._design.dtype)
        return self._feeds(X, self._encode_target(y, first=False, incremental=True), weights)

    def _train(self, prepared: Prepared, incremental: bool) -> None:
        """Run the optimizer, and set the attributes that describe the run."""
        model, rows = self.model_, len(prepared.rows)
        size, start = self._batch(rows), model.values
        score = SCORES.get(model.objective.task or "")
        validates = prepared.held_arrays is not None
        watch = self._watched(score)
        optimizer = build_optimizer(self, rows, -(-rows // size), incremental, watch.scale)
        epochs = 1 if incremental else self.max_iter
        best = EarlyStopping(watch.column, patience=epochs) if self._early else None
        finished = incremental or self.schedule is not None  # so that the limit is reached
        try:
            model.fit(
                prepared, optimizer=optimizer, batch_size=size, epochs=epochs, patience=best,
                keep_best=self._early, new_run=self.schedule is not None,
                shuffle=self.shuffle, clip_norm=self.clip_norm,
                precision="bfloat16" if self.precision == "bfloat16" else "float32",
                metrics=[score] if validates and score else [],
                callbacks=[watch, *as_callbacks(self.callbacks)], threads=self.threads,
                device=self.device,
                verbose=self.verbose if isinstance(self.verbose, str) else False,
            )  # fmt: skip
        except KeyboardInterrupt:
            if not watch.rows:
                raise
            warnings.warn("Training interrupted by user.", stacklevel=4)
            finished = True
        except NotFinite as error:
            told = in_words_of(type(self).__name__, error)
            if not self._early:
                raise told from None
            kept = end_with_best(model, start, watch)
            warnings.warn(f"{told}\n  so        {kept}", ConvergenceWarning, stacklevel=4)
            finished = True
        self.n_iter_ = len(watch.rows)
        self.t_ += self.n_iter_ * rows
        last = watch.rows[-1]["loss"]
        if self._lbfgs:  # whose history has the losses before each update
            last = float(model.score(prepared.arrays, prepared.rows, [])["loss"])
        self._record(watch, _criterion(score) if validates else None, last)
        if not finished and (watch.reason is None or "limit" in watch.reason):
            text = limit_reached(optimizer, self.n_iter_, watch.reason)
            warnings.warn(text, ConvergenceWarning, stacklevel=4)

    def _watched(self, score: str | None) -> Convergence:
        """The callback that stops a converged run; where training continues, it knows the last.

        Runs of L-BFGS, and those whose schedule has to be completed, it only follows.
        """
        column, sign = _criterion(score) if self._early else ("loss", 1)
        endless = self._lbfgs or (self.schedule is not None and not self._early)
        watch = Convergence(
            column, sign, self.tol, np.inf if endless else self.n_iter_no_change,
            adaptive=self.learning_rate == "adaptive" and self.solver == "sgd",
            prints=bool(self.verbose) and not isinstance(self.verbose, str),
            last=getattr(self, "_watch", None) if len(self.model_.history) else None,
        )  # fmt: skip
        self._watch = watch
        return watch

    @property
    def _lbfgs(self) -> bool:
        """Whether the optimizer is L-BFGS."""
        return self.solver == "lbfgs" if self.optimizer is None else is_lbfgs(self.optimizer)

    @property
    def _early(self) -> bool:
        """Whether validation scores stop a run: L-BFGS, as in scikit-learn, ignores them."""
        return bool(self.early_stopping) and not self._lbfgs

    def _batch(self, rows: int) -> int:
        """Examples of a minibatch."""
        if self.batch_size == "auto":
            return min(200, rows)
        if self.batch_size > rows:
            warnings.warn(
                "Got `batch_size` less than 1 or larger than sample size. It is going to be "
                f"clipped: {self.batch_size} to the {rows} training examples", stacklevel=5,
            )  # fmt: skip
        return min(int(self.batch_size), rows)


def _criterion(score: str | None) -> tuple[str, int]:
    """The criterion in the history, and -1 where higher is better."""
    return (f"validation_{score}", -1) if score else ("validation_loss", 1)


@cache
def _names_of(estimator: type[BaseMLP]) -> tuple[str, ...]:
    return tuple(estimator._get_param_names())
