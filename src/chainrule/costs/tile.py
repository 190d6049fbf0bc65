"""The tile of accumulators of a matrix product: as many rows and vectors as waste the least."""

from __future__ import annotations

from functools import cache

MIN_SUMS = 8
"""The number of independent sums that hides the latency of a multiply-add."""

STRIP_TURNS = 60
"""The turns of the multiply-add unit that the begin and the end of a tile take."""

Tile = tuple[int, int]
"""Rows and vectors."""


@cache
def best_tile(tiles: tuple[Tile, ...], rows: int, wide: int, depth: int) -> Tile:
    """The tile that computes a product soonest, alone or shared by two threads.

    Args:
        tiles: for some numbers of vectors, the most rows that registers hold.
        rows, wide, depth: the rows of the product, its vectors of columns, and the terms of a sum.
    """

    def cost(tile: Tile) -> float:
        parts = rows, -(-rows // 2)
        return sum(_turns(tile, part, few_rows(rows, tile), wide, depth) for part in parts)

    fitting = [
        (height, min(vectors, wide))
        for most, vectors in tiles
        for height in range(min(most, max(rows, 1)), 0, -1)
    ]
    return min(fitting, key=cost)


def few_rows(rows: int, tile: Tile) -> int:
    """The rows of the lower tile that computes the rest of the rows."""
    height, vectors = tile
    return rows % height or min(height, -(-MIN_SUMS // vectors))


def _turns(tile: Tile, rows: int, few: int, wide: int, depth: int) -> float:
    """The turns of the multiply-add unit for each term of the sums."""
    height, vectors = tile

    def strip(lines: int) -> float:
        return max(lines * vectors, lines + vectors, MIN_SUMS) + STRIP_TURNS / max(depth, 1)

    whole, rest = divmod(rows, height)
    turns = whole * strip(height) + (rest > 0) * strip(few if rest <= few else height)
    return turns * -(-wide // vectors)
