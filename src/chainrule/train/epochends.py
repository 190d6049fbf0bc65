"""The ends of epochs that run in one call of the program: their scores, and the state there."""

from __future__ import annotations

from collections.abc import Sequence

from chainrule.engine.pauses import Pauses
from chainrule.graph.node import Array
from chainrule.train.metrics import Metric
from chainrule.train.metrics.registry import Function
from chainrule.train.objective import Objective

Requested = Sequence[str | Metric | Function]


class EpochEnds:
    """Scores of validation rows, for many epochs at once: the numbers of `ModelState.score`.

    Args:
        pauses: of the program; their forward pass gives the loss and the objective's nodes.
        objective: what the loss compares.
        metrics: those of every epoch; `objective.together` has them.
    """

    def __init__(self, pauses: Pauses, objective: Objective, metrics: Requested) -> None:
        self._pauses, self._objective, self._metrics = pauses, objective, list(metrics)

    @property
    def most(self) -> int:
        """The most epochs of a call; 0 where each needs a call of its own."""
        return self._pauses.most

    def begin(self, count: int) -> None:
        """Prepare for so many epochs."""
        self._pauses.begin(count)

    def take(self) -> None:
        """Take what the scores of an epoch need, at its end."""
        self._pauses.take()

    def state(self, epoch: int) -> dict[str, Array]:
        """The program's state at the end of the epoch with this index in the call."""
        return self._pauses.state(epoch)

    def scores(self, count: int) -> list[dict[str, float]]:
        """The scores of the first epochs of the call, in order."""
        if not count:
            return []
        losses, *values = self._pauses.outputs(count)
        found: list[dict[str, float]] = [{"validation_loss": float(x)} for x in losses]
        if self._metrics:
            predictions, target = values
            for scores, more in zip(
                found, self._objective.score_each(predictions, target, self._metrics), strict=True
            ):
                scores |= {f"validation_{name}": x for name, x in more.items()}
        return found
