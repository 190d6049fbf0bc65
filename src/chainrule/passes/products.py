"""Derivatives of products along axes, of any order, out of simpler ops."""

from __future__ import annotations

from functools import reduce

import numpy as np

from chainrule.graph.node import Node
from chainrule.ops.build import broadcast_to, constant
from chainrule.ops.compare import equal, logical_and, logical_or, where
from chainrule.ops.product import prod
from chainrule.ops.reduce import cumsum, sum
from chainrule.ops.shape import reshape, transpose
from chainrule.types import Dim, Shape

Axes = tuple[int, ...]


def prod_along(x: Node, *directions: Node, axis: Axes) -> Node | None:
    """`prod_others` with directions t1, t2, ...; None without, when it is one product.

    Element k is the sum over places j1, j2, ..., all different and none of them k, of
    t1[j1] t2[j2] ... times the product of x over all other places. The places, and that of the
    factor, are axes of their own: the blocks 0 (k), 1 ... m (j) and m + 1 (the factor).
    """
    if not directions:
        return None
    blocks = _Blocks(x, axis, len(directions) + 2)
    last = len(directions) + 1
    taken = reduce(logical_or, (blocks.same(b, last) for b in range(last)))
    rest = prod(where(taken, 1, blocks.spread(x, last)), blocks.axes(last))
    clash = [blocks.same(a, b) for b in range(1, last) for a in range(b)]
    chosen = where(_dropped(reduce(logical_or, clash), blocks.axes(last)), 0, rest)
    for b, t in enumerate(directions, start=1):
        chosen = chosen * _dropped(blocks.spread(t, b), blocks.axes(last))
    inner = tuple(a for b in range(1, last) for a in blocks.axes(b))
    return blocks.back(sum(chosen, inner))


def _dropped(x: Node, axes: Axes) -> Node:
    """`x` without axes along which it has size 1."""
    return reshape(x, tuple(d for a, d in enumerate(x.shape) if a not in axes))


class _Blocks:
    """Several copies of the axes of a product, in front of the other axes."""

    def __init__(self, x: Node, axis: Axes, count: int) -> None:
        self._axis, self._count = axis, count
        self._rest = tuple(a for a in range(x.ndim) if a not in axis)
        self._sizes = tuple(x.shape[a] for a in axis)

    def axes(self, block: int) -> Axes:
        """The axes of one copy."""
        width = len(self._axis)
        return tuple(range(block * width, (block + 1) * width))

    def spread(self, x: Node, block: int) -> Node:
        """`x` along one copy, of size 1 along the others."""
        front = transpose(x, (*self._axis, *self._rest))
        return reshape(front, self._shape(block, front.shape[len(self._axis) :]))

    def same(self, one: int, other: int) -> Node:
        """Whether two copies are at the same place."""
        equals = [equal(self._index(one, k), self._index(other, k)) for k in range(len(self._axis))]
        return reduce(logical_and, equals)

    def back(self, x: Node) -> Node:
        """What has one copy left, with its axes where they were."""
        order = (*self._axis, *self._rest)
        return transpose(x, tuple(map(order.index, range(len(order)))))

    def _shape(self, block: int, tail: Shape) -> Shape:
        ones = [1] * (len(self._axis) * self._count)
        shape: list[Dim] = list(ones)
        for a, dim in zip(self.axes(block), self._sizes, strict=True):
            shape[a] = dim
        return (*shape, *tail)

    def _index(self, block: int, k: int) -> Node:
        """The place along the k-th axis of a copy; counted, since N is not known here."""
        dim = self._sizes[k]
        one = broadcast_to(constant(np.int32(1)), (dim,))
        shape: list[Dim] = [1] * (len(self._axis) * self._count + len(self._rest))
        shape[self.axes(block)[k]] = dim
        return reshape(cumsum(one, 0), tuple(shape))
