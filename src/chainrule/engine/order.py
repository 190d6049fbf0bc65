"""The rows of epochs in their orders, by machine code."""

from __future__ import annotations

import numpy as np

from chainrule.backend.cpu.emit.order import FRAME
from chainrule.engine.codecache import order_code
from chainrule.engine.minibatch import Rows


class NativeOrder:
    """The rows in the orders of epochs: those of `train.minibatch.shuffle`, three times as fast.

    Args:
        rows: to shuffle.
        seed: of the orders.
    """

    def __init__(self, rows: Rows, seed: int) -> None:
        self._rows = np.ascontiguousarray(rows, np.int64)
        bits = max(len(rows) - 1, 1).bit_length()
        self._words = np.empty(len(rows) + 3, np.int64)
        self._starts = np.empty(2**bits, np.int64)
        self._frame = np.zeros(len(FRAME), np.int64)
        self._frame.view(np.uint64)[FRAME.index("seed")] = seed & (2**64 - 1)
        for name, array in (("rows", self._rows), ("words", self._words), ("starts", self._starts)):
            self._frame[FRAME.index(name)] = array.ctypes.data
        self._frame[FRAME.index("bits")] = bits
        self._at = self._frame.ctypes.data
        self._code = order_code()  # which its function needs: another thread may have made one too
        self._function = self._code.function("order")

    def __call__(self, epoch: int, epochs: int) -> Rows:
        """The rows of some epochs, from this one on, one after the other: (epochs * rows,)."""
        found = np.empty(epochs * len(self._rows), np.int64)
        self._frame[FRAME.index("out")], self._frame[FRAME.index("epochs")] = (
            found.ctypes.data, epochs,
        )  # fmt: skip
        self._function(self._at, len(self._rows), epoch)
        return found
