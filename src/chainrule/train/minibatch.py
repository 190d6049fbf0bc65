"""The order of the rows in an epoch: a function of seed and epoch alone."""

from __future__ import annotations

from collections.abc import Callable
from typing import TypeAlias

import numpy as np

from chainrule.data.shuffle import shuffled
from chainrule.engine.minibatch import Rows
from chainrule.engine.order import NativeOrder

MANY = 1 << 17
"""Rows of all epochs from which machine code that shuffles them is loaded, in 2 ms or so.

The first time on a processor it is compiled, in 20 ms. A row takes 10 ns, and NumPy 30."""

LARGE = 1 << 22
"""Rows up to which machine code shuffles them; it needs 24 bytes a row."""

Order: TypeAlias = Callable[[int, int], Rows]
"""The number of an epoch and a count to the rows of so many epochs, one after the other."""


def shuffle(rows: Rows, seed: int, epoch: int) -> Rows:
    """`rows` in the order of an epoch; the same in every version of NumPy."""
    return rows[shuffled(len(rows), seed, epoch)]


def order_of(rows: Rows, seed: int | None, epochs: int = 1, *, native: bool = False) -> Order:
    """The order of the rows in the epochs of a run.

    Args:
        rows: of every epoch.
        seed: of the orders; None: the rows as they are.
        epochs: their number.
        native: whether machine code may shuffle; the orders are the same.
    """
    if seed is not None and native and len(rows) * epochs >= MANY and len(rows) <= LARGE:
        return NativeOrder(rows, seed)

    def order(first: int, count: int) -> Rows:
        if seed is None:
            return rows if count == 1 else np.tile(rows, count)
        orders = [shuffle(rows, seed, first + k) for k in range(count)]
        return orders[0] if count == 1 else np.concatenate(orders)

    return order
