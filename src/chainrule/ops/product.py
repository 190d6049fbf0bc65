"""Products along axes, with gradients of every order that are valid at zeros."""

from __future__ import annotations

import functools
import math
from collections.abc import Callable, Iterator
from itertools import combinations

import numpy as np

from chainrule.graph.attributes import AXES, FLAG
from chainrule.graph.node import Array, Axis, Node, NodeLike, Operation, apply
from chainrule.graph.op import Reduce, Values, function, op
from chainrule.ir.index import Place, call, scalar
from chainrule.ir.kernel import Const, Expr
from chainrule.ops.build import accumulator, broadcast_to, constant, numeric
from chainrule.ops.compare import equal, logical_and, logical_or, where
from chainrule.ops.reduce import Axes, cumsum, reduce, reduced, reduces, spread, sum, wide
from chainrule.ops.shape import reshape, transpose
from chainrule.types import Dim, Shape


def _forward_prod(x: Array, axis: Axes, keepdims: bool) -> Array:
    y = np.prod(x, axis=axis, keepdims=keepdims, dtype=accumulator(x))
    return np.asarray(y).astype(x.dtype)


PROD = op(
    "prod",
    "reduce",
    infer=reduced("prod", numbers=True),
    attributes={"axis": AXES, "keepdims": FLAG},
    forward=_forward_prod,
    gradient=lambda gy, y, x, axis, keepdims: (spread(gy, x, axis) * prod_others(x, axis=axis),),
    lower=reduces("prod"),
    formula="prod({0}, axis={axis})",
    convention="Gradients never divide: they are valid with any number of zeros.",
)


@function
def prod(x: NodeLike, axis: Axis = None, *, keepdims: bool = False) -> Node:
    """The product over `axis`; the product of no elements is 1."""
    return reduce(PROD, x, axis, keepdims)


# ---------------------------------------------------------------- the gradient of prod
# Element k is the product of all elements but the k-th, differentiated in the directions t1, t2,
# ...: the coefficient of e1 e2 ... in the product over j != k of (x_j + e1 t1_j + e2 t2_j + ...).
# The products from the left and from the right are one array for each subset of the e's.

Part = frozenset[int]


def _forward_prod_others(x: Array, *directions: Array, axis: Axes) -> Array:
    rest = [a for a in range(x.ndim) if a not in axis]
    order = (*axis, *rest)
    lead = tuple(x.shape[a] for a in order)
    length = math.prod(lead[: len(axis)])  # -1 is ambiguous if there are no elements
    flat = [wide(t).transpose(order).reshape(length, *lead[len(axis) :]) for t in (x, *directions)]
    indices = frozenset(range(1, len(flat)))
    left = list(_running_products(flat, indices))
    right = list(_running_products([t[::-1] for t in flat], indices))[::-1]
    out = np.zeros_like(flat[0])
    for k, (before, after) in enumerate(zip(left, right, strict=True)):
        out[k] = np.add.reduce([before[part] * after[indices - part] for part in before])
    return out.reshape(lead).transpose(np.argsort(order)).astype(x.dtype)


def _running_products(flat: list[Array], indices: Part) -> Iterator[dict[Part, Array]]:
    """For each element, the product of those before it, by subsets of the directions."""
    sizes = range(len(indices) + 1)
    parts = [frozenset(c) for n in sizes for c in combinations(sorted(indices), n)]
    zero = np.zeros(flat[0].shape[1:])
    state = {part: zero if part else zero + 1 for part in parts}
    for k in range(len(flat[0])):
        yield state
        state = {
            part: state[part] * flat[0][k]
            + np.add.reduce([zero, *(state[part - {e}] * flat[e][k] for e in part)])
            for part in parts
        }


def _lower_others(
    node: Operation, place: Place, value: Values, loop: Callable[[Dim], Expr]
) -> Expr:
    """The product of all elements except the one at `place`."""
    x, inner = node.operands[0], list(place)
    at_place: Expr = Const(True, "bool")
    for a in node.attributes["axis"]:
        inner[a] = loop(x.shape[a])
        same = call("eq", "bool", inner[a], place[a])
        at_place = same if isinstance(at_place, Const) else call("and", "bool", at_place, same)
    return scalar("select", at_place, Const(1, node.dtype), value(x, tuple(inner)))


PROD_OTHERS = op(
    "prod_others",
    "reduce",
    infer=lambda *types, axis: numeric("prod_others")(*types),
    attributes={"axis": AXES},
    forward=_forward_prod_others,
    gradient=lambda gy, y, x, *ts, axis: (
        prod_others(x, *ts, gy, axis=axis),
        *(prod_others(x, *ts[:a], *ts[a + 1 :], gy, axis=axis) for a in range(len(ts))),
    ),
    decompose=lambda x, *ts, axis: _decompose_others(x, *ts, axis=axis),
    lower=Reduce("prod", _lower_others),
    formula="prod_others({0}, axis={axis})",
    convention="The gradient of prod, and its derivatives in the directions of more operands.",
)


def prod_others(x: Node, *directions: Node, axis: Axes) -> Node:
    """For each element of `x` the product of all others along `axis`; directions: see above."""
    return apply(PROD_OTHERS, x, *directions, axis=axis)


# ---------------------------------------------------------------- directions out of simpler ops


def _decompose_others(x: Node, *directions: Node, axis: Axes) -> Node | None:
    """With directions t1, t2, ...; None without, when it is one product.

    Element k is the sum over positions j1, j2, ..., all different and none of them k, of
    t1[j1] t2[j2] ... times the product of x over all other positions. The positions, and that of
    the factor, are separate axes: the blocks 0 (k), 1 ... m (j) and m + 1 (the factor).
    """
    if not axis:  # a product of one element: without it, 1
        return broadcast_to(constant(0.0 if directions else 1.0, x.dtype), x.shape)
    if not directions:
        return None
    blocks = _Blocks(x, axis, len(directions) + 2)
    last = len(directions) + 1
    taken = functools.reduce(logical_or, (blocks.same(b, last) for b in range(last)))
    rest = prod(where(taken, 1, blocks.spread(x, last)), blocks.axes(last))
    clash = [blocks.same(a, b, but=last) for b in range(1, last) for a in range(b)]
    chosen = where(_dropped(functools.reduce(logical_or, clash), blocks.axes(last)), 0, rest)
    for b, t in enumerate(directions, start=1):
        chosen = chosen * _dropped(blocks.spread(t, b, but=last), blocks.axes(last))
    inner = tuple(a for b in range(1, last) for a in blocks.axes(b))
    return blocks.back(sum(chosen, inner))


def _dropped(x: Node, axes: Axes) -> Node:
    """`x` without those of the axes along which it has size 1."""
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

    def spread(self, x: Node, block: int, *, but: int | None = None) -> Node:
        """`x` along one copy, repeated along the others; of size 1 along the copy `but`."""
        front = transpose(x, (*self._axis, *self._rest))
        return self._wide(reshape(front, self._shape(block, front.shape[len(self._axis) :])), but)

    def same(self, one: int, other: int, *, but: int | None = None) -> Node:
        """Whether two copies have the same position; of size 1 along the copy `but`."""
        equals = [
            equal(self._wide(self._index(one, k), but), self._wide(self._index(other, k), but))
            for k in range(len(self._axis))
        ]
        return functools.reduce(logical_and, equals)

    def _wide(self, x: Node, but: int | None) -> Node:
        """`x` repeated along all copies but one: batch axes of several meet, as is meant here."""
        ones = [1] * len(self._sizes)
        front = [d for b in range(self._count) for d in (ones if b == but else self._sizes)]
        return broadcast_to(x, (*front, *x.shape[len(front) :]))

    def back(self, x: Node) -> Node:
        """`x` with the axes of its one remaining copy in their original positions."""
        order = (*self._axis, *self._rest)
        return transpose(x, tuple(map(order.index, range(len(order)))))

    def _shape(self, block: int, tail: Shape) -> Shape:
        ones = [1] * (len(self._axis) * self._count)
        shape: list[Dim] = list(ones)
        for a, dim in zip(self.axes(block), self._sizes, strict=True):
            shape[a] = dim
        return (*shape, *tail)

    def _index(self, block: int, k: int) -> Node:
        """The position along the k-th axis of a copy; counted, since N is not known here."""
        dim = self._sizes[k]
        one = broadcast_to(constant(np.int32(1)), (dim,))
        shape: list[Dim] = [1] * (len(self._axis) * self._count + len(self._rest))
        shape[self.axes(block)[k]] = dim
        return reshape(cumsum(one, 0), tuple(shape))
