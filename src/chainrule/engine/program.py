"""The interface of a compiled training step, which the training loop runs."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Protocol

import numpy as np
import numpy.typing as npt

from chainrule.engine.minibatch import Rows
from chainrule.graph.node import Array


class Program(Protocol):
    """A compiled training step with its state: the values of all parameters and slots."""

    @property
    def steps(self) -> int:
        """How many steps have been done."""

    @property
    def ended(self) -> str | None:
        """Why there is nothing left to do; None while there is."""

    def run(
        self, data: Mapping[str, Array], batches: Sequence[Rows], rates: Sequence[float]
    ) -> npt.NDArray[np.float64]:
        """Do one step for each minibatch, in order, and return the losses before each update.

        Args:
            data: the whole data set: for each input of the graph its array, rows first. What
                depends on it alone is computed when a mapping comes for the first time.
            batches: for each step, the rows of its minibatch.
            rates: for each step, its learning rate.

        Raises:
            NotFinite: a loss or an update is NaN or infinite; the state is that before the step.
        """

    def read(self) -> dict[str, Array]:
        """A copy of the state, by name."""

    def write(self, state: Mapping[str, Array], steps: int | None = None) -> None:
        """Replace some or all of the state, and the count of steps."""
