"""The order of rows block by block, and the rows that validate, both by numbers of rows alone."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import KW_ONLY, dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from chainrule.data.shuffle import Rows, mix, shuffled
from chainrule.errors import DataError, SettingError
from chainrule.system.settings import require_integer
from chainrule.types import is_number

WINDOW_BYTES = 1 << 26
"""The most bytes of a window, where the rows of a block are not given."""
WINDOW_ROWS = 1 << 20
"""The most rows of a window, where the rows of a block are not given."""
HELD_ROWS, HELD_BYTES = 1 << 20, 1 << 27
"""The most rows that validate, and their bytes: they are held in memory."""
HASHED = 1 << 18
"""Rows whose hashes are computed at a time."""


@dataclass(frozen=True)
class BlockShuffle:
    """The order of a stream: blocks of rows at random, several at a time, and shuffled together.

    `window` blocks, which lie evenly over the data, are shuffled together: so the minibatches of
    a file that is sorted, by class or by time, are as mixed as those of one that is not. The order
    follows from the seed of the model, the epoch and the numbers of the rows.

    A stream is always read like this. `fit(arrays, shuffle=cr.BlockShuffle())` takes arrays in
    memory in the same order, and holds out the same rows: the results have the same bits.

    Args:
        rows: of a block; None: a power of two, so that a window has at most 64 MiB and 1,048,576
            rows.
        window: blocks that are shuffled together.

    Raises:
        SettingError: a number below 1.
    """

    rows: int | None = None
    _: KW_ONLY
    window: int = 64

    def __post_init__(self) -> None:
        if self.rows is not None:
            object.__setattr__(self, "rows", require_integer("BlockShuffle.rows", self.rows, 1))
        object.__setattr__(self, "window", require_integer("BlockShuffle.window", self.window, 1))

    def sized(self, row_bytes: int) -> BlockShuffle:
        """The same with the rows of a block, for rows of so many bytes."""
        if self.rows is not None:
            return self
        most = min(WINDOW_BYTES // max(row_bytes, 1), WINDOW_ROWS) // self.window
        return replace(self, rows=1 << max(most, 1).bit_length() - 1)


@dataclass(frozen=True)
class Epoch:
    """The windows of an epoch, in order.

    Attributes:
        windows: the numbers of the blocks of each, in the order in which they are read.
        ends: the number of rows before each window, and of all: (windows + 1,).
        keys: of each window for its shuffle; None where rows keep their order.
    """

    windows: list[NDArray[np.int64]]
    ends: NDArray[np.int64]
    keys: tuple[int, int] | None

    def order(self, window: int) -> Rows:
        """Places of the rows of a window, in the order of its minibatches."""
        count = int(self.ends[window + 1] - self.ends[window])
        if self.keys is None:
            return np.arange(count)
        seed, epoch = self.keys
        return shuffled(count, seed, epoch + ((window + 1) << 32))

    def at(self, place: int) -> int:
        """The window that has the row with this place in the epoch."""
        return int(np.searchsorted(self.ends, place, "right")) - 1


class Windows:
    """The order of the rows of every epoch, block by block.

    Args:
        counts: the number of rows to take of each block, (blocks,).
        blocks: their size, and how many are a window.
        seed: of the order; None: blocks and rows keep their order.

    The blocks are cut into `blocks.window` stretches of equal length. Each window has one block of
    each stretch, chosen at random.
    """

    def __init__(self, counts: NDArray[np.int64], blocks: BlockShuffle, seed: int | None) -> None:
        assert blocks.rows is not None
        self.counts, self.block_rows, self._seed = counts, blocks.rows, seed
        self._windows = -(-len(counts) // blocks.window)
        self.size = blocks.window
        self.rows = int(counts.sum())

    def epoch(self, number: int) -> Epoch:
        """The windows of an epoch."""
        total = len(self.counts)
        if self._seed is None:
            numbers = np.arange(total)
            windows = [numbers[k : k + self.size] for k in range(0, total, self.size)]
        else:
            drawn = shuffled(total, self._seed, number)
            stretch = drawn // self._windows
            drawn = drawn[np.argsort(stretch, kind="stable")]
            windows = [drawn[k :: self._windows] for k in range(self._windows)]
        sizes = [int(self.counts[x].sum()) for x in windows]
        keys = None if self._seed is None else (self._seed, number)
        return Epoch(windows, np.append(0, np.cumsum(sizes, dtype=np.int64)), keys)


def windows_of(rows: Rows, total: int, blocks: BlockShuffle, seed: int | None) -> Windows:
    """The windows of some rows, ascending, of so many."""
    assert blocks.rows is not None
    counts = np.bincount(rows // blocks.rows, minlength=-(-total // blocks.rows))
    return Windows(counts, blocks, seed)


def order_of_windows(rows: Rows, windows: Windows) -> Callable[[int, int], Rows]:
    """The order of rows in memory, ascending, in epochs: see train/minibatch.py."""
    starts = np.append(0, np.cumsum(windows.counts))

    def one(number: int) -> Rows:
        epoch, parts = windows.epoch(number), []
        for k, numbers in enumerate(epoch.windows):
            places = [np.arange(starts[b], starts[b + 1]) for b in numbers]
            parts.append(rows[np.concatenate(places)[epoch.order(k)]])
        return np.concatenate(parts)

    def order(first: int, count: int) -> Rows:
        return np.concatenate([one(first + k) for k in range(count)])

    return order


# ---------------------------------------------------------------- rows that validate


@dataclass(frozen=True)
class Held:
    """The rows that validate: each by a hash of its number and the seed, whatever the blocks.

    Attributes:
        fraction: of the rows; 0: none.
        seed: of the choice.
    """

    fraction: float
    seed: int

    def of(self, start: int, stop: int) -> NDArray[np.bool_]:
        """Whether the rows `start` to `stop - 1` validate."""
        if not self.fraction:
            return np.zeros(stop - start, bool)
        key = mix(np.array([self.seed & (2**64 - 1)], np.uint64))
        words = mix(np.arange(start, stop, dtype=np.uint64) ^ key)
        return words < np.uint64(int(self.fraction * 2**64))

    def numbers(self, rows: int) -> tuple[Rows, Rows]:
        """Of so many rows those that train, and those that validate."""
        mask = np.concatenate([self.of(k, min(k + HASHED, rows)) for k in range(0, rows, HASHED)])
        return np.flatnonzero(~mask), np.flatnonzero(mask)

    def counts(self, rows: int, block: int) -> NDArray[np.int64]:
        """The number of rows of each block that train."""
        sizes = np.full(-(-rows // block), block, np.int64)
        sizes[-1] = rows - (len(sizes) - 1) * block
        if not self.fraction:
            return sizes
        each = max(1, HASHED // block) * block
        for start in range(0, rows, each):
            held = np.flatnonzero(self.of(start, min(start + each, rows)))
            first = start // block
            found = np.bincount(held // block)
            sizes[first : first + len(found)] -= found
        return sizes


def held_rows(rows: int, fraction: Any, seed: int, row_bytes: int) -> Held:
    """The rows that validate, of so many: at most HELD_ROWS, and HELD_BYTES together.

    Args:
        fraction: as it was asked for, between 0 and 1; None or 0: none.

    Raises:
        SettingError: another fraction. DataError: fewer than two rows.
    """
    if fraction is None or (is_number(fraction) and float(fraction) == 0):
        return Held(0.0, seed)
    if not is_number(fraction) or not 0 < fraction < 1:
        raise SettingError(
            "fit.validation", "the fraction to validate lies between 0 and 1", got=fraction,
            fix="validation=0.2",
        )  # fmt: skip
    if rows < 2:
        raise DataError("fit", "too few rows to split", expected="at least 2", got=rows)
    most = min(HELD_ROWS, HELD_BYTES // max(row_bytes, 1)) / rows
    return Held(min(float(fraction), most), seed)


def split_sentence(train: int, held: int, asked: Any) -> str:
    """The description of a split by hash."""
    if not held:
        return f"all {train:,} rows train, none validate"
    rows = train + held
    share = 100 * held / rows
    text = f"{100 - share:.3g} % / {share:.2g} %: {train:,} rows to train, {held:,} to validate"
    told = ""
    if is_number(asked) and held < 0.9 * float(asked) * rows and rows > 1000:
        told = f", as many as are held in memory, fewer than validation={asked:g} asks for"
    return f"{text}{told}, by a hash of their number"
