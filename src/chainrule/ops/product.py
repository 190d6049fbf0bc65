"""Products along axes, with gradients of every order that hold at zeros."""

from __future__ import annotations

import math
from collections.abc import Iterator
from itertools import combinations

import numpy as np

from chainrule.graph.node import Array, Axis, Node, NodeLike, apply
from chainrule.graph.op import function, op
from chainrule.ops.build import accumulator, same
from chainrule.ops.reduce import Axes, reduce, reduced, spread, wide


def _forward_prod(x: Array, axis: Axes, keepdims: bool) -> Array:
    y = np.prod(x, axis=axis, keepdims=keepdims, dtype=accumulator(x))
    return np.asarray(y).astype(x.dtype)


PROD = op(
    "prod",
    "reduce",
    infer=reduced("prod"),
    forward=_forward_prod,
    gradient=lambda gy, y, x, axis, keepdims: (spread(gy, x, axis) * prod_others(x, axis=axis),),
    formula="prod({0}, axis={axis})",
    convention="Gradients never divide: they hold with any number of zeros.",
)


@function
def prod(x: NodeLike, axis: Axis = None, *, keepdims: bool = False) -> Node:
    """The product over `axis`; the product of no elements is 1."""
    return reduce(PROD, x, axis, keepdims)


# ---------------------------------------------------------------- the gradient of prod
# Element k is the product of all elements but the k-th, differentiated in the directions t1, t2,
# ...: the coefficient of e1 e2 ... in the product over j != k of (x_j + e1 t1_j + e2 t2_j + ...).
# The products from the left and from the right are kept as one array for each subset of the e's.

Part = frozenset[int]


def _forward_prod_others(x: Array, *directions: Array, axis: Axes) -> Array:
    rest = [a for a in range(x.ndim) if a not in axis]
    order = (*axis, *rest)
    lead = tuple(x.shape[a] for a in order)
    length = math.prod(lead[: len(axis)])  # -1 would be ambiguous for an array without elements
    flat = [wide(t).transpose(order).reshape(length, *lead[len(axis) :]) for t in (x, *directions)]
    every = frozenset(range(1, len(flat)))
    left = list(_running_products(flat, every))
    right = list(_running_products([t[::-1] for t in flat], every))[::-1]
    out = np.zeros_like(flat[0])
    for k, (before, after) in enumerate(zip(left, right, strict=True)):
        out[k] = np.add.reduce([before[part] * after[every - part] for part in before])
    return out.reshape(lead).transpose(np.argsort(order)).astype(x.dtype)


def _running_products(flat: list[Array], every: Part) -> Iterator[dict[Part, Array]]:
    """For each element, the product of those before it, by subsets of the directions."""
    parts = [frozenset(c) for n in range(len(every) + 1) for c in combinations(sorted(every), n)]
    zero = np.zeros(flat[0].shape[1:])
    state = {part: zero if part else zero + 1 for part in parts}
    for k in range(len(flat[0])):
        yield state
        state = {
            part: state[part] * flat[0][k]
            + np.add.reduce([zero, *(state[part - {e}] * flat[e][k] for e in part)])
            for part in parts
        }


PROD_OTHERS = op(
    "prod_others",
    "reduce",
    infer=lambda *types, axis: same(*types),
    forward=_forward_prod_others,
    gradient=lambda gy, y, x, *ts, axis: (
        prod_others(x, *ts, gy, axis=axis),
        *(prod_others(x, *ts[:a], *ts[a + 1 :], gy, axis=axis) for a in range(len(ts))),
    ),
    formula="prod_others({0}, axis={axis})",
    convention="The gradient of prod, and its derivatives in the directions of more operands.",
)


def prod_others(x: Node, *directions: Node, axis: Axes) -> Node:
    """For each element of `x` the product of all others along `axis`; see above for directions."""
    return apply(PROD_OTHERS, x, *directions, axis=axis)
