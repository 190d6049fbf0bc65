"""The order of the rows in an epoch: a function of seed and epoch alone."""

from __future__ import annotations

from chainrule.data.split import shuffled
from chainrule.engine.minibatch import Rows


def shuffle(rows: Rows, seed: int, epoch: int) -> Rows:
    """`rows` in the order of an epoch; the same in every version of NumPy."""
    return rows[shuffled(len(rows), seed, epoch)]
