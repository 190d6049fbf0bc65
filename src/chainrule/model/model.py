"""The Model: a network that is trained, used for prediction and saved."""

from __future__ import annotations

import copy
import html
import os
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, Any, overload

from chainrule.display.tables import clean
from chainrule.engine.minibatch import all_rows
from chainrule.errors import ChainruleError, ModelFileError, SettingError
from chainrule.explain.run import run
from chainrule.explain.trace import Trace
from chainrule.graph.node import Array, Node
from chainrule.model import file as modelfile
from chainrule.model.predicting import Predicting, Result
from chainrule.model.restore import at_epoch, content, fill
from chainrule.model.saved import Saved
from chainrule.model.state import Data, encoded_table, is_encoded, is_stream
from chainrule.nn.summary import Summary, summary
from chainrule.system.collector import paused_collector
from chainrule.system.ranks.world import speaks
from chainrule.train.metrics import Metric, Scores
from chainrule.train.metrics.registry import Function
from chainrule.train.optim.registry import is_portable

if TYPE_CHECKING:
    from chainrule.costs.forecast import Forecast
    from chainrule.costs.profile import Profile
    from chainrule.data.predictions import Predictions
    from chainrule.data.schema import Schema
    from chainrule.inspector.page import Page
    from chainrule.report.page import Report


class Model(Predicting[Result]):
    """A network that is trained, used for prediction, and saved.

    Args:
        outputs: of `predict`: one node or several.
        loss: the scalar node that `fit` minimises.
        seed: of the initial values, the order of examples, and dropout.
        schema: of a table; with it, data may be tables, files and queries.
        values: of parameters, by name, in place of their initial values.

    Attributes:
        graph: outputs and loss with all nodes that they depend on.
        history: of all runs of `fit`.
        record: what `fit(..., record=...)` kept, a Recording; None where nothing was. It is not
            saved.
        learning: what `show()` has of that run, plain values; None where nothing was recorded.
        split: a description of the last run's split of the rows.
        notes: plain values that are saved with the model; from `train`, "config" holds the
            settings, and "data" what was left out or guessed of the table.
        reporter: makes the report; set by `train`.

    Raises:
        GraphError: the loss is not a scalar, or two nodes have one name.
    """

    @overload
    def __init__(
        self: Model[Array], outputs: Node, loss: Node | None = None, *,
        seed: int = 0, schema: None = None, values: Mapping[str, Array] | None = None,
    ) -> None: ...  # fmt: skip
    @overload
    def __init__(
        self: Model[list[Array]], outputs: Sequence[Node], loss: Node | None = None, *,
        seed: int = 0, schema: None = None, values: Mapping[str, Array] | None = None,
    ) -> None: ...  # fmt: skip
    @overload
    def __init__(
        self: Model[Predictions], outputs: Node | Sequence[Node], loss: Node | None = None, *,
        seed: int = 0, schema: Schema, values: Mapping[str, Array] | None = None,
    ) -> None: ...  # fmt: skip
    @overload
    def __init__(
        self: Model[Any], outputs: Node | Sequence[Node], loss: Node | None = None, *,
        seed: int = 0, schema: Schema | None = None, values: Mapping[str, Array] | None = None,
    ) -> None: ...  # fmt: skip
    def __init__(
        self,
        outputs: Node | Sequence[Node],
        loss: Node | None = None,
        *,
        seed: int = 0,
        schema: Schema | None = None,
        values: Mapping[str, Array] | None = None,
    ) -> None:
        super().__init__(outputs, loss, seed=seed, schema=schema, values=values)
        self._prepare_predict()

    def _begin(self, given: Mapping[str, Array]) -> None:
        super()._begin(given)
        self.reporter: Callable[[], Report] | None = None

    def __repr__(self) -> str:
        outputs = ", ".join(f"{self.graph.name(x)} {x.type}" for x in self.outputs)
        epochs = len(self.history)
        trained = f"{epochs:,} epoch{'s' * (epochs != 1)}" if epochs else "not trained"
        return f"<Model: {outputs}; {self.size:,} parameters; {trained}>"

    def _repr_html_(self) -> str:
        said = html.escape(clean(repr(self)[1:-1], 300))
        return f"<div><div>{said}</div>{self.summary()._repr_html_()}</div>"

    # ------------------------------------------------------------ use

    def evaluate(
        self, data: Data, metrics: Iterable[str | Metric | Function] | None = None
    ) -> Scores:
        """The loss and the metrics over all rows of `data`, as a dict.

        Args:
            data: as for `fit`.
            metrics: names or functions; None takes the defaults of the loss.

        Where an example has several positions, such as pixels or steps of a sequence, each counts
        in the metrics as its loss does: by the weights, and not where its class is ignored.

        Where the loss weights examples and the data has no weights, all have equal weight. The
        `notes` of the scores tell of a table how it differs from the training data, how many of
        its rows repeat training rows, and which are left out. Of a stream of more rows than are
        held in memory, what is not a mean over rows is of some of them, which the notes tell.

        Raises:
            GraphError: the model has no loss.
        """
        if is_stream(data):
            from chainrule.model.streamed import evaluate_stream  # noqa: PLC0415  (few programs need it)

            return evaluate_stream(self, data, metrics)
        notes: list[str] = []
        if self.schema is not None and not is_encoded(data):
            from chainrule.data.repeats import repeated, sentence  # noqa: PLC0415  (tables alone need it)

            data = encoded_table(self.schema, data)
            notes = list(data.notes)
            if self.trained_rows is not None:
                again = repeated(self.schema, self.trained_rows, data)
                notes += filter(None, [sentence(again, "row")])
        arrays, rows = self.arrays(data, weighted=False)
        scores = self.score(arrays, all_rows(rows), metrics)
        scores.notes = (*notes, *scores.notes)
        return scores

    def run(self, data: Data, *, training: bool = False) -> Trace:
        """The values of all nodes on some examples, with the present parameters.

        Args:
            data: all inputs by name, or a table where the model has a schema.
            training: whether dropout is active, and batch statistics are used.
        """
        arrays, _ = self.arrays(data)
        outputs = [*self.outputs, *([] if self.loss is None else [self.loss])]
        return run(
            outputs, arrays, values=self._values, training=training, seed=self.seed,
            step=self.steps, like=self.graph,
        )  # fmt: skip

    def show(
        self, data: Data | None = None, *, rows: int | Sequence[int] | None = None,
        machine: Forecast | Profile | None = None, title: str | None = None,
    ) -> Page:  # fmt: skip
        """The page of the model: its graph on some rows, forward and backward, every number
        explained, and recomputed where it is edited.

        `model.show(table, rows=16).write("page.html")` saves it; a notebook shows it.

        Args:
            data: all inputs by name, or those of the outputs alone, or a table where the model has
                a schema, without or with the target; None: a row of typical values, or zeros.
            rows: positions in the data, from 0, of at most 200 rows. None: of a table with
                targets a typical row, the worst, and one on the border; else the first ones.
            machine: the kernels to show as well: `model.plan()`, or `model.profile(data)`.
            title: of the page.

        Raises:
            FeedError, DataError: the data does not fit. SettingError: a row is not there.
        """
        from chainrule.model.inspect import inspect  # noqa: PLC0415  (few programs need it)

        kernels = None if machine is None else machine.to_dict()
        return inspect(self, data, rows, title, machine=kernels)

    def summary(self, *, full: bool = False) -> Summary:
        """The layers with their shapes and numbers of parameters, as a table.

        full: print all rows; else those of a network of more than 40 are folded into blocks.
        """
        return summary(self, full=full)

    def report(self, path: str | os.PathLike[str] | None = None) -> Report:
        """The report of the training by `cr.train`: the data, the run, and the scores.

        `print(model.report())` shows it as text.

        Args:
            path: where to write it as a page with charts, a single HTML file; None: nowhere.

        Raises:
            SettingError: the model was not trained by `cr.train` in this process.
            OSError: the folder does not exist or cannot be written.
        """
        if self.reporter is None:
            raise SettingError(
                "report", "the model was not trained by `cr.train` in this process, and a model "
                "file holds no table", fix="model = cr.train(table, target)",
            )  # fmt: skip
        report = self.reporter()
        if path is not None:
            report.write(path)
        return report

    def at_epoch(self, epoch: int) -> Model[Result]:
        """Returns a copy as it was after a recorded epoch: its parameters and its history.

        `cr.compare(model.at_epoch(1), model.at_epoch(20), data)` compares two epochs of a run.

        Args:
            epoch: one that `fit(..., record=True)` recorded; 0 is before training.

        Raises:
            SettingError: nothing was recorded, or not this epoch, or not all parameters.
        """
        return at_epoch(self, copy.copy(self), epoch)

    # ------------------------------------------------------------ file

    def save(self, path: str | os.PathLike[str]) -> None:
        """Write the complete model to a safetensors file; an old file is replaced at the end.

        An optimizer or schedule that you wrote is code, and no code is saved: training that
        continues from such a file begins with a new optimizer. Of several processes that share a
        run, the first alone writes.

        Raises:
            ModelFileError: the file cannot be written; an old one is left as it was.
        """
        if speaks():
            modelfile.write(path, content(self))

    def __reduce__(self) -> tuple[object, ...]:
        """Pickle and copy by the bytes of the model file, with a user's optimizer beside them."""
        custom = self.optimizer is not None and not is_portable(self.optimizer)
        extra = None
        if custom:
            extra = {"optimizer": self.optimizer, "slots": self.slots, "run": self.last_run}
        return _from_bytes, (modelfile.to_bytes(content(self)), extra)


def load(path: str | os.PathLike[str], *, large: bool = False) -> Model:
    """The model that `Model.save` wrote, bit for bit. No code is run from the file.

    Args:
        path: of the file.
        large: load it even if one example needs more memory or work than a file of its size may
            ask for: 64 MB and 2^30 elements, and 16 bytes and 1,024 elements for each byte.

    Raises:
        ModelFileError: the file is damaged, unsafe, not a model, or asks for too much.
    """
    with paused_collector():  # a graph is many objects, and none of them is garbage
        saved = modelfile.read(path, large=large)
        try:
            return _from_saved(saved)
        except ChainruleError as error:
            raise modelfile.of_file("load", os.fspath(path), error) from None


def _from_bytes(content: bytes, extra: Mapping[str, Any] | None) -> Model:
    """A model from its pickle."""
    model = _from_saved(modelfile.from_bytes(content))
    if extra is not None:
        model.optimizer, model.slots = extra["optimizer"], dict(extra["slots"])
        model.last_run = extra["run"]
    return model


def _schema(contract: Mapping[str, Any]) -> Schema:
    from chainrule.data.schema import Schema  # noqa: PLC0415  (tables alone need it)

    return Schema.from_dict(contract)


def _from_saved(saved: Saved) -> Model:
    schema = None if saved.contract is None else _schema(saved.contract)
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
    fill(model, saved)
    return model
