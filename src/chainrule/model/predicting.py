"""The methods of a Model that predict: its outputs or other nodes, of arrays or of tables."""

from __future__ import annotations

import typing
from collections.abc import Mapping, Sequence
from dataclasses import replace
from functools import cache, partial
from typing import TYPE_CHECKING, Any, Generic, overload

import numpy as np
import numpy.typing as npt

from chainrule.engine.devices import AUTO, check_device
from chainrule.engine.minibatch import all_rows
from chainrule.errors import ChainruleWarning
from chainrule.graph.feeds import bind
from chainrule.graph.node import Array, Node
from chainrule.graph.source import warn_user
from chainrule.model.predicted import Predicted, PredictedNodes
from chainrule.model.predictor import Predictor
from chainrule.model.state import Data, Tabular, encoded_table, is_encoded, is_stream
from chainrule.model.trainable import Trainable

if TYPE_CHECKING:
    from typing_extensions import TypeVar

    from chainrule.data.onerow import RowReader
    from chainrule.data.predictions import Predictions
    from chainrule.data.schema import Schema
    from chainrule.data.streams.stream import Stream

    Result = TypeVar("Result", default=Any)
else:  # Python 3.13 is the first whose own TypeVar has a default
    Result = typing.TypeVar("Result")
"""The result of `predict` for arrays: an array, a list of arrays, or Predictions."""


class Predicting(Trainable, Generic[Result]):
    """A Trainable with the methods that predict; `Model` adds the rest."""

    def _prepare_predict(self) -> None:
        """Take what the methods use; a network is cut and compiled when it is first needed."""
        self._reader = None if self.schema is None else _reader(self.schema)
        self._nodes = PredictedNodes(self.graph)
        make = partial(Predicted, self.graph, self.outputs, single=self.single)
        self._predicted = cache(make)  # `untrained` shares it

    @overload
    def predict(
        self, data: Mapping[str, npt.ArrayLike], *, outputs: None = None, device: str = "cpu"
    ) -> Result: ...
    @overload
    def predict(
        self, data: Tabular, *, outputs: None = None, device: str = "cpu"
    ) -> Predictions: ...
    @overload
    def predict(self, data: Data, *, outputs: str | Node, device: str = "cpu") -> Array: ...
    @overload
    def predict(
        self,
        data: Data,
        *,
        outputs: list[str] | list[Node] | tuple[str | Node, ...],
        device: str = "cpu",
    ) -> list[Array]: ...
    def predict(
        self,
        data: Data,
        *,
        outputs: str | Node | Sequence[str | Node] | None = None,
        device: str = "cpu",
    ) -> Any:
        """The outputs for each example, or the values of any other nodes.

        Args:
            data: the inputs that the outputs depend on, by name; other inputs may be there. Or,
                where the model has a schema, a table, a file or a query; no target is needed. Or
                a stream, of which a part at a time is in memory.
            outputs: nodes of the graph in place of the model's outputs: a name, as `summary()`
                and `cr.listing(model.graph)` show it, or several. They are compiled as outputs are.
            device: what computes: "cpu", "gpu", "auto" and others, as for `fit`.

        Returns:
            An array, rows first; a list of them where the model has several outputs; for a
            table `Predictions`, with labels, probabilities or numbers, and notes on the data.
            With `outputs`, an array for a name and a list for several, for a table too; a node
            that does not depend on the rows, such as a parameter, has no axis for them. Notes on
            a table are warnings then.

        Raises:
            FeedError, DataError: the data does not fit the graph or the schema.
            GraphError: no node has such a name, or it has a value in training steps alone.
            SettingError, MissingExtra, DeviceError: there is no such device, or it fails.
        """
        if device == AUTO:
            return self._by_forecast(data, outputs)
        if device != "cpu":
            check_device(device, "predict")
        if is_stream(data):
            return self._of_stream(data, outputs, device)
        if outputs is not None:
            asked = self._nodes.of(outputs, device)
            found, notes = self.predict_nodes(asked, data)
            if notes:
                warn_user("\n".join(notes), ChainruleWarning)
            return found
        own = self._on(device)
        if self.schema is None or self._reader is None:
            return self._of_arrays(own, data)
        from chainrule.data.predictions import Predictions  # noqa: PLC0415  (tables alone need it)

        encoded = data if is_encoded(data) else self._reader.encode(data)
        first = own.quick.of_table(self._values, encoded)
        if first is None:
            first = own.forward(self._values, encoded.arrays, all_rows(len(encoded)))[0]
        decision = getattr(self.schema.target, "decision", "")
        notes = (*encoded.notes, *([decision] if decision else []))
        if encoded.absent is not None:
            first = np.array(first)
            first[encoded.absent] = np.nan
        return Predictions(self.schema, first, notes, encoded.names)

    def _by_forecast(self, data: Data, outputs: Any) -> Any:
        """The prediction by the device that forecasts are best for."""
        from chainrule.data.predictions import Predictions  # noqa: PLC0415  (tables alone need it)
        from chainrule.model.automatic import predicted  # noqa: PLC0415  (few programs need it)

        asked = self._own if outputs is None else self._nodes.of(outputs)
        if self._reader is not None and outputs is None:
            data = data if is_encoded(data) or is_stream(data) else self._reader.encode(data)
        found, why = predicted(
            data, asked, lambda device: self.predict(data, outputs=outputs, device=device)
        )
        if isinstance(found, Predictions):
            return replace(found, notes=(*found.notes, why))
        return found

    @property
    def _own(self) -> Predicted:
        """The computation of the outputs."""
        return self._predicted()

    def _on(self, device: str) -> Predicted:
        """The outputs, computed by a device."""
        if device == "cpu":
            return self._own
        return self._nodes.made(tuple(self.outputs), single=self.single, device=device)

    def _of_stream(self, data: Stream, outputs: Any, device: str) -> Any:
        from chainrule.model.streamed import predict_stream  # noqa: PLC0415  (few programs need it)

        asked = self._on(device) if outputs is None else self._nodes.of(outputs, device)
        found = predict_stream(self, asked, data, lambda x: self.predict_nodes(asked, x)[0])
        if self.schema is None or outputs is not None:
            return found
        from chainrule.data.predictions import Predictions  # noqa: PLC0415  (tables alone need it)

        decision = getattr(self.schema.target, "decision", "")
        first = found if self._own.single else found[0]
        return Predictions(self.schema, first, (decision,) if decision else (), {})

    def predict_nodes(self, asked: Predicted, data: Data) -> tuple[Any, tuple[str, ...]]:
        """The values of nodes, as `predict` gives them, and notes on a table."""
        if self.schema is None or self._reader is None:
            return self._of_arrays(asked, data), ()
        encoded = data if is_encoded(data) else self._reader.encode(data)
        arrays, rows = encoded.arrays, len(encoded)
        if not arrays.keys() >= set(asked.inputs.values()):  # the loss, or what else is of targets
            if not is_encoded(data):
                encoded = encoded_table(self.schema, data)
            arrays, rows = self.arrays(encoded)
        values = asked.forward(self._values, arrays, all_rows(rows))
        if encoded.absent is not None:
            for value in values:
                if value.dtype.kind == "f" and len(value) == rows:
                    value[encoded.absent] = np.nan
        return values[0] if asked.single else values, tuple(encoded.notes)

    def _of_arrays(self, asked: Predicted, data: Data) -> Any:
        if (found := asked.quick.of_mapping(self._values, data)) is not None:
            return found
        needed = asked.inputs
        bound, rows = bind(needed, needed, self._needed(data, needed.values()))
        arrays = {name: bound[x] for x, name in needed.items()}
        if not any(x.batch for x in needed):  # it may have as many rows as the data
            batched = [name for x, name in self._inputs.items() if x.batch]
            rows = len(next(iter(self._needed(data, batched).values()), ()))
        values = asked.forward(self._values, arrays, all_rows(rows))
        return values[0] if asked.single else values

    @overload
    def predictor(self, *, outputs: None = None) -> Predictor[Result]: ...
    @overload
    def predictor(self, *, outputs: str | Node) -> Predictor[Array]: ...
    @overload
    def predictor(
        self, *, outputs: list[str] | list[Node] | tuple[str | Node, ...]
    ) -> Predictor[list[Array]]: ...
    def predictor(self, *, outputs: str | Node | Sequence[str | Node] | None = None) -> Any:
        """`predict` bound for a server: a function of the inputs' arrays, by position.

        `predict = model.predictor()`, then `predict(x)` for each request: the same result as
        `model.predict({"x": x})`, sooner. The machine code is compiled, or read from the cache,
        before this returns. It follows the model: see Predictor, also on threads.

        outputs: other nodes than the outputs, as for `predict`.
        """
        asked = self._own if outputs is None else self._nodes.of(outputs)
        quick = asked.quick
        quick.prepare(self._values)
        predict = partial(self.predict, outputs=outputs)
        if self.schema is not None:
            return Predictor(("table",), ("",), lambda given: None, predict)
        return Predictor(
            quick.names,
            [str(x.type) for x in asked.inputs],
            lambda given: quick.of_arrays(self._values, given),
            lambda *given: predict(dict(zip(quick.names, given, strict=True))),
        )


for _method in (Predicting.predict, Predicting.predictor):
    _method.__qualname__ = f"Model.{_method.__name__}"  # as users know it, in errors and in help


def _reader(schema: Schema) -> RowReader:
    from chainrule.data.onerow import RowReader  # noqa: PLC0415  (tables alone need it)

    return RowReader(schema)
