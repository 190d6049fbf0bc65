"""The end of a run of `fit`, from which the next call goes on."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any, Self

import numpy as np

from chainrule.engine.minibatch import Rows
from chainrule.errors import ModelFileError
from chainrule.graph.graph import Graph
from chainrule.graph.node import Array
from chainrule.graph.step import STEP_INPUTS
from chainrule.train.callbacks import BestTracker, PlateauTracker

BLOCK = 16_384
"""Rows that are copied at a time."""


@dataclass(frozen=True, slots=True)
class LastRun:
    """The end of a run: with it, several calls of `fit` take the steps of one.

    Attributes:
        first_step: the number of updates before the run; schedules count from there.
        steps: the number of updates at its end.
        tracker: of the best epoch, with the patience that is used up.
        judged: names what the tracker judges: the criterion and the data; None where nothing is.
        plateau: the scale of the learning rate, where it depends on the criterion.
        values: parameters and optimizer slots at its end, by name, where the model has those of
            an earlier epoch, which was the best; else None.
    """

    first_step: int
    steps: int
    tracker: BestTracker
    judged: str | None = None
    plateau: PlateauTracker | None = None
    values: dict[str, Array] | None = None

    def to_dict(self) -> dict[str, Any]:
        """The run as numbers, text, None, dicts, and arrays, which are not copied."""
        return {
            "first_step": self.first_step,
            "steps": self.steps,
            "judged": self.judged,
            "tracker": asdict(self.tracker),
            "plateau": None if self.plateau is None else asdict(self.plateau),
            "values": self.values,
        }

    @classmethod
    def from_dict(cls, saved: Any, present: Mapping[str, Array]) -> Self:
        """The run that `to_dict` wrote.

        Args:
            saved: the plain data.
            present: parameters and slots of the model, whose types the values must have.

        Raises:
            ModelFileError: `saved` has another form.
        """
        try:
            plateau = saved["plateau"]
            run = cls(
                saved["first_step"], saved["steps"], BestTracker(**saved["tracker"]),
                saved["judged"], None if plateau is None else PlateauTracker(**plateau),
                saved["values"],
            )  # fmt: skip
        except (KeyError, TypeError) as error:
            raise _damaged(f"{type(error).__name__}: {error}") from None
        run._check(present)
        return run

    def _check(self, present: Mapping[str, Array]) -> None:
        tracker, plateau = self.tracker, self.plateau
        counts = [self.first_step, self.steps, tracker.epochs, tracker.stale]
        counts += [tracker.best_epoch or 0, tracker.patience or 0]
        numbers: list[Any] = [tracker.minimum_improvement, tracker.best or 0.0]
        directions = [tracker.better]
        if plateau is not None:
            counts += [plateau.stale, plateau.cooling]
            numbers += [plateau.scale, plateau.best or 0.0]
            directions.append(plateau.better)
        if not all(type(x) is int and x >= 0 for x in counts) or self.first_step > self.steps:
            raise _damaged("a count is not a number from 0 on")
        if not all(isinstance(x, (int, float)) and np.isfinite(x) for x in numbers):
            raise _damaged("a score is not a finite number")
        names = [tracker.criterion, self.judged or ""]
        if not all(isinstance(x, str) for x in names) or {*directions} - {"min", "max"}:
            raise _damaged("an unknown criterion")
        values = {} if self.values is None else self.values
        types = {name: (x.shape, x.dtype) for name, x in present.items()}
        if not isinstance(values, dict) or any(
            not isinstance(x, np.ndarray) or types.get(name) != (x.shape, x.dtype)
            for name, x in values.items()
        ):
            raise _damaged("values that do not fit the parameters")


def judged(
    tracker: BestTracker, keep_best: bool, graph: Graph, data: Mapping[str, Array], rows: Rows
) -> str:
    """The name of what a tracker judges: its criterion, and a digest of the rows.

    Args:
        tracker: at the start of a run.
        keep_best: whether the state of the best epoch is kept.
        graph: has the inputs.
        data, rows: of which the criterion is computed.
    """
    rule = f"{tracker.criterion} {tracker.better} {tracker.minimum_improvement} {keep_best}"
    return f"{rule} {rows_digest(graph, data, rows)}"


def rows_digest(graph: Graph, data: Mapping[str, Array], rows: Rows) -> str:
    """A digest of some rows of the inputs of a graph, in their order, as hexadecimal digits."""
    digest = hashlib.blake2b(digest_size=16)
    inputs = {graph.name(x): x for x in graph.inputs if x not in STEP_INPUTS}
    for name, node in sorted(inputs.items()):
        digest.update(f"{name} {node.type} {len(rows)} ".encode())
        for first in range(0, len(rows) if node.batch else 1, BLOCK):
            part = data[name][rows[first : first + BLOCK]] if node.batch else data[name]
            digest.update(np.ascontiguousarray(part).tobytes())
    return digest.hexdigest()


def _damaged(what: str) -> ModelFileError:
    return ModelFileError("load", "the saved run is damaged", got=what)
