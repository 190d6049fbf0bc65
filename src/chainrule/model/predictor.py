"""A model's `predict` bound for servers: arrays by position, ready before the first request."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, Generic, TypeVar

from chainrule.display.tables import facts_html
from chainrule.errors import FeedError

Result = TypeVar("Result")


class Predictor(Generic[Result]):
    """The outputs of a model for arrays, with the least delay. `Model.predictor` makes it.

    One row of a small network takes a few microseconds. `predict(x)` returns what
    `model.predict({"x": x})` does, bit for bit, and raises the same errors; the quick way is for
    NumPy arrays of the dtypes that `predict` names, contiguous and in C order, and anything else
    that `model.predict` takes goes the slower way.

    It has the model's present parameters: after `fit`, `step` or `set_value` it predicts with the
    new ones, and during a `fit` in another thread with those from before it. It keeps the model
    alive. Any number of threads may call it at once, and processes that fork may go on with it.
    A call that is predicted to take more than about 20 microseconds lets other Python threads run.

    Attributes:
        inputs: the names of the arguments in order; of a model with a schema `("table",)`: the
            argument is a table, such as `[{"age": 31.0, "city": "Rome"}]` for one row.
        takes: for each of `inputs`, its dtype and shape as text, such as `float32(N, 4)`.
    """

    def __init__(
        self,
        inputs: Sequence[str],
        takes: Sequence[str],
        fast: Callable[[Sequence[Any]], Any],
        slow: Callable[..., Any],
    ) -> None:
        self.inputs, self.takes = tuple(inputs), tuple(takes)
        self._fast, self._slow = fast, slow

    def __call__(self, *arrays: Any) -> Result:
        """The outputs for each row of the arrays, which are in the order of `inputs`.

        Returns:
            A new array, rows first; a list of them where the model has several outputs; for a table
            `Predictions`.

        Raises:
            FeedError, DataError: as `Model.predict`, or there are more or fewer arrays.
        """
        found: Result | None = self._fast(arrays)
        if found is not None:
            return found
        if len(arrays) != len(self.inputs):
            raise FeedError(
                "predict", "an array is taken for each input", expected=", ".join(self.inputs),
                got=f"{len(arrays)} arrays", fix=f"predict({', '.join(self.inputs)})",
            )  # fmt: skip
        answer: Result = self._slow(*arrays)
        return answer

    def __repr__(self) -> str:
        taken = zip(self.inputs, self.takes, strict=True)
        return f"<Predictor: {', '.join(f'{name} {type}'.strip() for name, type in taken)}>"

    def _repr_html_(self) -> str:
        return facts_html("predictor", *zip(self.inputs, self.takes, strict=True))
