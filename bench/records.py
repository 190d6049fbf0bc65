"""Measurements: samples of one system in one cell; less is always better."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from math import exp, log
from statistics import median

from bench.systems import OURS, OWN


@dataclass(frozen=True)
class Record:
    """One system in one cell.

    Attributes:
        group: the table that it belongs to.
        cell: the row of the table.
        system: the column.
        unit: "s" or "B".
        samples: one a round.
        threads: of the cell; 0 where that means nothing.
        flops: of the matrix products of what a sample is the time of; 0 if it has none.
        loss: after some epochs of training; 0 where nothing is trained.
        handover: seconds from one core to the other, once a round; of two threads.
    """

    group: str
    cell: str
    system: str
    unit: str
    samples: Sequence[float]
    threads: int = 0
    flops: float = 0.0
    loss: float = 0.0
    handover: Sequence[float] = ()

    @property
    def value(self) -> float:
        """The median."""
        return median(self.samples)


@dataclass(frozen=True)
class Row:
    """A cell with all its systems.

    Attributes:
        values: the median of each system, quickest first.
        losses: after some epochs of training, of the systems that train.
        handover: median of the seconds from one core to the other; 0 for one thread.
    """

    cell: str
    unit: str
    values: dict[str, float]
    threads: int
    flops: float
    losses: dict[str, float] = field(default_factory=dict)
    handover: float = 0.0

    @property
    def ours(self) -> float | None:
        """Chainrule's median."""
        return self.values.get(OURS)

    @property
    def best(self) -> tuple[str, float] | None:
        """The fastest (smallest) peer and its median."""
        peers = [(name, value) for name, value in self.values.items() if name not in (OURS, *OWN)]
        return min(peers, key=lambda x: x[1]) if peers else None

    @property
    def ratio(self) -> float | None:
        """The ratio of the best peer to Chainrule."""
        if self.ours is None or self.best is None:
            return None
        return self.best[1] / self.ours


def rows(records: Iterable[Record], group: str) -> list[Row]:
    """The rows of a table, in the order in which they were measured."""
    cells: dict[str, list[Record]] = {}
    for record in records:
        if record.group == group:
            cells.setdefault(record.cell, []).append(record)
    return [_row(cell, found) for cell, found in cells.items()]


def _row(cell: str, found: Sequence[Record]) -> Row:
    first = found[0]
    values = {x.system: x.value for x in sorted(found, key=lambda x: x.value)}
    losses = {x.system: x.loss for x in found if x.loss}
    handover = median(first.handover) if first.handover else 0.0
    return Row(cell, first.unit, values, first.threads, first.flops, losses, handover)


def disagreement(found: Iterable[Row]) -> float:
    """The largest relative excess over the least loss of a cell: all systems should learn alike.

    scikit-learn is left out, since it draws start values of its own.
    """
    apart = [[x for name, x in row.losses.items() if name != "scikit-learn"] for row in found]
    return max((max(losses) / min(losses) - 1 for losses in apart if losses), default=0.0)


def geometric_mean(values: Sequence[float]) -> float:
    """The geometric mean of one or more positive numbers."""
    return exp(sum(map(log, values)) / len(values))
