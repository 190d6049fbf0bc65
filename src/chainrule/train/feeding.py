"""The minibatches of a run, as the training loop takes them: here those of arrays in memory."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Protocol

from chainrule.engine.minibatch import Minibatches
from chainrule.graph.node import Array
from chainrule.train.minibatch import Order


class Feed(Protocol):
    """The minibatches of all epochs of a run."""

    def epoch(self, number: int, size: int) -> Minibatches:
        """Those of an epoch; their rows may be known by place alone."""

    def take(self, epoch: int, some: Minibatches) -> tuple[Mapping[str, Array], Minibatches]:
        """Arrays for the program, and their rows of some minibatches, at least of the first.

        Args:
            epoch: the number of the epoch.
            some: a slice of its minibatches.
        """


@dataclass(frozen=True)
class HeldFeed:
    """See Feed: arrays in memory, in an order."""

    data: Mapping[str, Array]
    order: Order

    def epoch(self, number: int, size: int) -> Minibatches:
        """See Feed."""
        return Minibatches(self.order(number, 1), size)

    def take(self, epoch: int, some: Minibatches) -> tuple[Mapping[str, Array], Minibatches]:
        """See Feed."""
        return self.data, some
