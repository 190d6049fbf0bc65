"""The Model: a graph with the present values of its parameters, and what they have been through."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, Any, TypeAlias

import numpy as np
import numpy.typing as npt

from chainrule.data.predictions import Predictions
from chainrule.data.readers.sources import read
from chainrule.data.schema import Encoded, Schema
from chainrule.data.table import Table
from chainrule.engine.forward import Forward
from chainrule.engine.minibatch import all_rows
from chainrule.errors import (
    ChainruleError,
    FeedError,
    GraphError,
    ModelFileError,
    SettingError,
    did_you_mean,
)
from chainrule.explain.trace import Trace, run
from chainrule.graph.check import check
from chainrule.graph.feeds import as_feed, bind
from chainrule.graph.graph import Graph
from chainrule.graph.node import Array, Input, Node, Parameter
from chainrule.graph.step import STEP_INPUTS
from chainrule.interpret import initial_value
from chainrule.model import file as modelfile
from chainrule.model import fit as fitting
from chainrule.nn.summary import Summary, summary
from chainrule.ops.build import require_scalar
from chainrule.train.callbacks import Callback, EarlyStopping, State
from chainrule.train.history import History
from chainrule.train.lbfgs import LBFGS
from chainrule.train.metrics import Metric, Scores
from chainrule.train.metrics.registry import Function
from chainrule.train.objective import Objective
from chainrule.train.optim import Optimizer
from chainrule.train.optim.registry import is_known, optimizer_from_dict
from chainrule.train.progress import Progress

if TYPE_CHECKING:
    from chainrule.costs.forecast import Forecast
    from chainrule.costs.profile import Profile

Data: TypeAlias = Mapping[str, npt.ArrayLike] | Table | Encoded | str | os.PathLike[str] | Any


class Model:
    """A network that can be trained, asked and saved.

    Args:
        outputs: what `predict` gives: one node or several.
        loss: what `fit` makes small: a scalar node.
        seed: of the initial values, the order of examples, and dropout.
        schema: what was learned about a table; then tables, files and queries may be given
            wherever data is.
        values: of parameters, by name, in place of what they start from.

    Attributes:
        graph: outputs and loss with all that they are computed from.
        history: of all runs of `fit`.
        split: how the last run divided its rows, in a sentence.
        notes: plain values that are saved with the model; "config" is that of `train`.

    Raises:
        GraphError: the loss is not a scalar, or two nodes have one name.
    """

    def __init__(
        self,
        outputs: Node | Sequence[Node],
        loss: Node | None = None,
        *,
        seed: int = 0,
        schema: Schema | None = None,
        values: Mapping[str, Array] | None = None,
    ) -> None:
        self.single = isinstance(outputs, Node)
        self.outputs = (outputs,) if isinstance(outputs, Node) else tuple(outputs)
        self.loss = None if loss is None else require_scalar("Model", loss)
        self.graph = check(Graph([*self.outputs, *([] if loss is None else [loss])]))
        if isinstance(seed, bool) or not isinstance(seed, (int, np.integer)) or seed < 0:
            raise SettingError("Model", "a seed is an integer of at least 0", got=repr(seed))
        self.seed, self.schema = int(seed), schema
        self.history, self.split = History(), ""
        self.notes: dict[str, Any] = {}
        self.judge = Objective(self.graph)
        self.optimizer: Optimizer | LBFGS | None = None
        self.slots: dict[str, Array] = {}
        self.steps = 0
        self._parameters = {self.graph.name(x): x for x in self.graph.parameters}
        given = values or {}
        self._values = {
            name: np.array(given[name]) if name in given else initial_value(x, name, self.seed)
            for name, x in self._parameters.items()
        }
        self._forward = Forward(self.graph, self.outputs)
        self._asked = {x: self._forward.graph.name(x) for x in self._forward.graph.inputs}
        scored = [] if self.loss is None else [self.loss, *self.judge.nodes]
        self._scored = Forward(self.graph, scored)

    def __repr__(self) -> str:
        outputs = ", ".join(f"{self.graph.name(x)} {x.type}" for x in self.outputs)
        trained = f"{len(self.history)} epochs" if len(self.history) else "not trained"
        return f"<Model: {outputs}; {self.size:,} parameters; {trained}>"

    # ------------------------------------------------------------ parameters

    @property
    def size(self) -> int:
        """How many numbers the optimizer trains."""
        return sum(self._values[name].size for name, x in self._parameters.items() if x.trainable)

    @property
    def values(self) -> dict[str, Array]:
        """The present values of all parameters, by name; arrays that cannot be written to."""
        return {name: self.value(name) for name in self._values}

    def value(self, parameter: str | Parameter) -> Array:
        """A parameter's present value; write it with `set_value`.

        Raises:
            GraphError: the model has no such parameter.
        """
        view = self._values[self._name(parameter)].view()
        view.flags.writeable = False
        return view

    def set_value(self, parameter: str | Parameter, value: npt.ArrayLike) -> None:
        """Write a parameter's value. Raises GraphError, FeedError where it does not fit."""
        name = self._name(parameter)
        array = as_feed(f"parameter {name!r}", value, self._parameters[name].type)
        self._values[name] = np.array(array)

    def _name(self, parameter: str | Parameter) -> str:
        name = parameter if isinstance(parameter, str) else self.graph.name(parameter)
        if name not in self._parameters:
            raise GraphError(
                "model", f"no parameter {name!r}", fix=did_you_mean(name, self._parameters)
            )
        return name

    def restore(self, state: Mapping[str, Array], steps: int) -> None:
        """Take parameters and optimizer slots, as a program tells them."""
        known = {name: state[name] for name in self._values if name in state}
        self._values = self._values | known  # at once: another thread may predict
        self.slots = {name: x for name, x in state.items() if name not in self._values}
        self.steps = steps

    # ------------------------------------------------------------ use

    def fit(
        self,
        data: Data,
        *,
        optimizer: Optimizer | LBFGS | str | None = None,
        batch_size: int = 32,
        epochs: int | None = None,
        validation: float | Data | None = 0.2,
        groups: npt.ArrayLike | str | None = None,
        time: npt.ArrayLike | str | None = None,
        patience: int | EarlyStopping | None = None,
        keep_best: bool = True,
        shuffle: bool = True,
        metrics: Iterable[str | Metric | Function] | None = None,
        clip_norm: float | None = None,
        clip_value: float | None = None,
        trainable: Iterable[str] | None = None,
        callbacks: Iterable[Callback | Callable[[State], object]] | Callback | None = None,
        backend: str = "native",
        threads: int | None = None,
        verbose: bool | str | Progress | None = True,
    ) -> History:
        """Train. Calling it again goes on from where the model is, optimizer included.

        Args:
            data: for each input by name its array, rows first; or a table, a file or a query
                where the model has a schema.
            optimizer: such as Adam(1e-3), or its name. None goes on with the last one, and takes
                Adam(1e-3) at first. LBFGS takes all rows in every step, its iteration.
            batch_size: examples a step; the last minibatch of an epoch may be smaller.
            epochs: how many times all training rows are gone through; None: 20 times, or as many
                iterations as LBFGS says.
            validation: the share of rows held out (shuffled, stratified by class, seeded), or
                data of its own, or None.
            groups, time: hold out whole groups, or the latest rows: an array with an entry a
                row, or the name of a column of the table.
            patience: stop when the validation loss, or what an EarlyStopping says, has not
                improved for so many epochs.
            keep_best: end with the parameters of the best epoch, where there is validation.
            shuffle: take the rows in a new order in each epoch.
            metrics: names or functions (target, prediction); None takes those usual for the loss.
            clip_norm, clip_value: bound the gradients' common length, or each entry.
            trainable: names or patterns of the parameters to train; None trains all.
            callbacks: called after each epoch with the state of the run.
            backend: "native" compiles the whole step to machine code; "interpreter" computes
                with NumPy, node by node, which is slow and good for comparing.
            threads: how many processors a step may use, where they make it quicker; None: all.
                Results have the same bits for any number.
            verbose: True shows the run as suits the place (terminal, notebook, file), False
                shows nothing; "terminal", "log" or "notebook" choose one; or a Progress.

        Returns:
            The model's history: a row an epoch, of this and all earlier runs.

        Raises:
            FeedError, DataError: the data does not fit the graph or the schema.
            SettingError: a setting makes no sense.
            NotFinite: a loss became NaN or infinite; the model is as before that step.
        """
        return fitting.fit(
            self, data, optimizer=optimizer, batch_size=batch_size, epochs=epochs,
            validation=validation, groups=groups, time=time, patience=patience,
            keep_best=keep_best, shuffle=shuffle, metrics=metrics, clip_norm=clip_norm,
            clip_value=clip_value, trainable=trainable, callbacks=callbacks, backend=backend,
            threads=threads, verbose=verbose,
        )  # fmt: skip

    def evaluate(
        self, data: Data, metrics: Iterable[str | Metric | Function] | None = None
    ) -> Scores:
        """The loss and the metrics over the whole of `data`, as a dict.

        Args:
            data: as for `fit`.
            metrics: names or functions; None takes those that are usual for the loss.

        Where the loss weighs examples and the data has no weights, all count alike.

        Raises:
            GraphError: the model has no loss.
        """
        arrays, rows = self.arrays(data, weighted=False)
        return self.score(arrays, all_rows(rows), metrics)

    def predict(self, data: Data) -> Any:
        """The outputs for each example.

        Args:
            data: the inputs that the outputs depend on, by name; other inputs may be there. Or,
                where the model has a schema, a table, a file or a query; no target is needed.

        Returns:
            An array, rows first; a list of them where the model has several outputs; for a
            table `Predictions`, with labels, probabilities or numbers, and notes on the data.
        """
        if self.schema is not None:
            encoded = data if isinstance(data, Encoded) else self.schema.encode(read(data), "none")
            values = self._forward(self._values, encoded.arrays, all_rows(len(encoded)))
            return Predictions(self.schema, values[0], tuple(encoded.notes))
        known, rows = bind(self._asked, self._asked, self._only(data))
        arrays = {name: known[x] for x, name in self._asked.items()}
        values = self._forward(self._values, arrays, all_rows(rows))
        return values[0] if self.single else values

    def run(self, data: Data, *, training: bool = False) -> Trace:
        """The whole graph on some examples, with the present parameters, for a close look.

        Args:
            data: all inputs by name, or a table where the model has a schema.
            training: whether dropout drops, and batch statistics count.
        """
        arrays, _ = self.arrays(data)
        outputs = [*self.outputs, *([] if self.loss is None else [self.loss])]
        return run(
            outputs, arrays, values=self._values, training=training, seed=self.seed,
            step=self.steps, like=self.graph,
        )  # fmt: skip

    def summary(self) -> Summary:
        """The layers with their shapes and numbers of parameters, as a table."""
        return summary(self)

    def plan(
        self,
        batch_size: int = 32,
        *,
        optimizer: Optimizer | LBFGS | str | None = None,
        threads: int | None = None,
        clip_norm: float | None = None,
        clip_value: float | None = None,
        rows: int | None = None,
    ) -> Forecast:
        """What a training step will do as machine code, and what it will take, before it runs.

        `print(model.plan())` tells the passes over the graph, the kernels with the nodes that
        each computes, phases, layout, memory, and the time of a step by prediction; the first
        time, it measures how fast this machine is, in about a third of a second.

        Args:
            batch_size, optimizer, clip_norm, clip_value: as for `fit`.
            threads: that share the step, at most all processors; None: as many as are predicted
                to be quickest.
            rows: of the data set, for what it takes in memory.

        Returns:
            A forecast: text, and `kernels`, `phases`, `flops`, `bytes`, `seconds`, `memory`.

        Raises:
            GraphError: the model has no loss. SettingError: a setting makes no sense.
        """
        from chainrule.model import plan as planning  # noqa: PLC0415  (few programs ask)

        settings = planning.Settings(batch_size, optimizer, threads, clip_norm, clip_value)
        return planning.plan(self, settings, rows)

    def profile(
        self,
        data: Data,
        *,
        batch_size: int = 32,
        optimizer: Optimizer | LBFGS | str | None = None,
        threads: int | None = None,
        clip_norm: float | None = None,
        clip_value: float | None = None,
        seconds: float = 0.5,
    ) -> Profile:
        """Where the time of a training step goes: each kernel and node, measured and predicted.

        Steps are run on the data as `fit` would, but on a copy of the model that learns nothing.

        Args:
            data, batch_size, optimizer, clip_norm, clip_value: as for `fit`.
            threads: as for `plan`.
            seconds: for how long.

        Returns:
            A profile: text, and `kernels`, `nodes`, `waiting`, `seconds`, `forecast`.

        Raises:
            FeedError, DataError: the data does not fit. GraphError: the model has no loss.
            SettingError: a setting makes no sense. NotFinite: a loss is NaN or infinite.
        """
        from chainrule.model import plan as planning  # noqa: PLC0415  (few programs ask)
        from chainrule.model import profile as profiling  # noqa: PLC0415

        arrays, rows = self.arrays(data)
        settings = planning.Settings(batch_size, optimizer, threads, clip_norm, clip_value)
        return profiling.profile(self, arrays, rows, settings, seconds)

    # ------------------------------------------------------------ file

    def save(self, path: str | os.PathLike[str]) -> None:
        """Write the whole model to one safetensors file; an old file is replaced at the end.

        An optimizer or schedule of your own is code, and no code is written: without them the
        file is whole, but training that goes on from it begins with a new optimizer.

        Raises:
            ModelFileError: the file cannot be written; an old one is left as it was.
        """
        modelfile.write(path, self._saved())

    def __reduce__(self) -> tuple[object, ...]:
        """Pickles and copies go by the bytes of the model file; an optimizer of one's own too."""
        own = self.optimizer is not None and not is_known(self.optimizer)
        kept = {"optimizer": self.optimizer, "slots": self.slots} if own else None
        return _from_bytes, (modelfile.to_bytes(self._saved()), kept)

    def _saved(self) -> modelfile.Saved:
        known = self.optimizer is not None and is_known(self.optimizer)
        return modelfile.Saved(
            graph=self.graph,
            outputs=tuple(self.graph.name(x) for x in self.outputs),
            loss=None if self.loss is None else self.graph.name(self.loss),
            values=self._values,
            optimizer=self.optimizer.to_dict() if self.optimizer is not None and known else None,
            state=self.slots if known or self.optimizer is None else {},
            steps=self.steps,
            seed=self.seed,
            contract=None if self.schema is None else self.schema.to_dict(),
            history=self.history.to_dict(),
            notes={"single": self.single, "split": self.split, "notes": self.notes},
        )

    # ------------------------------------------------------------ for the training loop

    def arrays(self, data: Data, *, weighted: bool = True) -> tuple[dict[str, Array], int]:
        """All inputs of the graph from `data`, checked, and the number of rows.

        weighted: whether weights of examples must be there, if the graph has them.
        """
        inputs = {x: self.graph.name(x) for x in self.graph.inputs if x not in STEP_INPUTS}
        if self.schema is not None:
            if not isinstance(data, Encoded):
                data = self.schema.encode(read(data), "required")
            data = self._with_target(data)
        elif not isinstance(data, Mapping):
            raise _not_feeds(data, inputs.values())
        if not weighted:
            data = self._with_even_weights(inputs, data)
        known, rows = bind(inputs, inputs, data)
        if rows == 0:
            raise FeedError("data", "there are no rows", expected="at least one example")
        return {name: known[x] for x, name in inputs.items()}, rows

    def _with_target(self, encoded: Encoded) -> dict[str, Array]:
        assert self.schema is not None
        arrays = dict(encoded.arrays)
        if self.schema.target is not None and encoded.target is not None:
            arrays[self.schema.target.name] = encoded.target
        return arrays

    def _with_even_weights(
        self, inputs: Mapping[Input, str], data: Mapping[str, Any]
    ) -> Mapping[str, Any]:
        """The data with weights of 1, where weights are an input that it lacks."""
        weights = self.judge.weights
        rows = [len(data[name]) for x, name in inputs.items() if x.batch and name in data]
        if not isinstance(weights, Input) or inputs[weights] in data or not rows:
            return data
        return {**data, inputs[weights]: np.ones(rows[0], weights.dtype)}

    def score(
        self,
        arrays: Mapping[str, Array],
        rows: npt.NDArray[np.int64],
        metrics: Iterable[str | Metric | Function] | None = None,
    ) -> Scores:
        """Loss and metrics over some rows of checked arrays."""
        loss, *values = self.judged(arrays, rows)
        scores = self.judge.score(values, metrics)
        return Scores({"loss": float(loss)} | scores, scores.notes)

    def judged(self, arrays: Mapping[str, Array], rows: npt.NDArray[np.int64]) -> list[Array]:
        """The loss over some rows of checked arrays, and the values of the judge's nodes."""
        if self.loss is None:
            raise GraphError(
                "evaluate", "the model has no loss", fix="Model(outputs=..., loss=...)"
            )
        return self._scored(self._values, arrays, rows)

    def _only(self, data: Data) -> dict[str, Any]:
        """What the outputs need of `data`; a name that no input has is an error."""
        asked = self._asked.values()
        if not isinstance(data, Mapping):
            raise _not_feeds(data, asked)
        others = [name for name in data if name not in asked]
        if others:
            known = {self.graph.name(x) for x in self.graph.inputs}
            for name in others:
                if name not in known:
                    raise FeedError(
                        "data", f"no input is named {name!r}", fix=did_you_mean(str(name), known)
                    )
        return {name: data[name] for name in data if name in asked}


def _not_feeds(data: object, names: Iterable[str]) -> FeedError:
    return FeedError(
        "data",
        "a model without a schema is fed arrays by the names of its inputs",
        expected="{" + ", ".join(f"{name!r}: array" for name in names) + "}",
        got=type(data).__name__,
    )


def load(path: str | os.PathLike[str]) -> Model:
    """The model that `Model.save` wrote, bit for bit. No code is run from the file.

    Raises:
        ModelFileError: the file is damaged, unsafe, or not a model.
    """
    saved = modelfile.read(path)
    try:
        return _from_saved(saved)
    except ModelFileError as error:
        error.at = path
        raise
    except ChainruleError as error:
        raise ModelFileError("load", error.what, got=error.got, at=path) from None


def _from_bytes(content: bytes, kept: Mapping[str, Any] | None) -> Model:
    """A model from its pickle."""
    model = _from_saved(modelfile.from_bytes(content))
    if kept is not None:
        model.optimizer, model.slots = kept["optimizer"], dict(kept["slots"])
    return model


def _from_saved(saved: modelfile.Saved) -> Model:
    schema = None if saved.contract is None else Schema.from_dict(saved.contract)
    outputs = [saved.graph[name] for name in saved.outputs]
    model = Model(
        outputs[0] if saved.notes.get("single") and len(outputs) == 1 else outputs,
        None if saved.loss is None else saved.graph[saved.loss],
        seed=saved.seed,
        schema=schema,
        values=saved.values,
    )
    if set(saved.values) != set(model.values):
        raise ModelFileError("load", "the parameters do not fit the graph")
    model.restore({**saved.values, **saved.state}, saved.steps)
    if saved.optimizer is not None:
        model.optimizer = optimizer_from_dict(saved.optimizer)
    if saved.history is not None:
        model.history = History.from_dict(saved.history)
    model.split = str(saved.notes.get("split", ""))
    model.notes = dict(saved.notes.get("notes", {}))
    return model
