"""The places of buffers in a block: the first that is free, found in time for many of them."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from chainrule.backend.cpu.layout import MAX_NARROW, Taken, same_rows, strides
from chainrule.ir.kernel import Buffer, Space
from chainrule.types import N


def first_gap(taken: list[tuple[int, int, int, int]], size: int, first: int, last: int) -> int:
    """The place of a request by a search over all ranges in order."""
    at = 0
    for start, stop in sorted(x[:2] for x in taken if x[2] <= last and first <= x[3]):
        if start - at >= size:
            break
        at = max(at, stop + 64 * (stop % 4096 == 0))
    return at


@pytest.mark.parametrize("seed", range(20))
def test_buffers_get_the_first_place_that_is_free(seed: int) -> None:
    rng, ours = np.random.default_rng(seed), Taken()
    taken: list[tuple[int, int, int, int]] = []
    for _ in range(60):
        size = 64 * int(rng.choice([1, 2, 3, 64, 100]))
        first, last = sorted(map(int, rng.integers(0, 6, 2)))
        want = first_gap(taken, size, first, last)
        assert ours.place(size, first, last) == want
        taken.append((want, want + size, first, last))


def test_a_layout_of_many_equal_buffers_looks_at_each_a_few_times() -> None:
    looks = 0

    class Counting(list[Any]):
        def __getitem__(self, key: Any) -> Any:
            nonlocal looks
            looks += 1
            return super().__getitem__(key)

    ours = Taken()
    ours._ranges = Counting()
    for k in range(2000):
        ours.place(256, k % 2, 2)
    assert looks < 5 * 2000


@pytest.mark.parametrize(
    ("shape", "space", "rows", "step"),
    [
        ((16, 3), "state", 0, 16),
        ((16, 3), "work", 0, 3),  # processes may exchange it
        ((N, 3), "work", MAX_NARROW, 16),
        ((N, 3), "work", MAX_NARROW + 1, 3),  # a long array
        ((MAX_NARROW + 1, 3), "state", 0, 3),
        ((N, 9), "work", MAX_NARROW + 1, 16),
        ((N, 1), "work", 16, 1),
        ((N, 256), "work", 16, 272),  # not a multiple of 1 KiB
    ],
)
def test_rows_have_lines_of_their_own(
    shape: tuple[Any, ...], space: Space, rows: int, step: int
) -> None:
    assert strides(Buffer("b", shape, "float32", space), rows)[0] == step


@pytest.mark.parametrize(("rows", "taken"), [(MAX_NARROW, True), (MAX_NARROW + 1, False)])
def test_rows_are_taken_over_by_those_that_lie_as_far_apart(rows: int, taken: bool) -> None:
    wide, narrow, end = (Buffer(x, (N, n), "float32") for x, n in (("a", 16), ("b", 3), ("c", 1)))
    chain = [("rows", [(wide, False)]), ("rows", [(narrow, False)]), ("rows", [(end, False)])]
    assert same_rows([chain], [end], rows) == ({narrow: wide} if taken else {})
