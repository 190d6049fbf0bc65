"""Rounding to bfloat16, the upper half of a float32: the factors of a product may be rounded."""

from __future__ import annotations

import numpy as np

from chainrule.graph.node import Array, Node, NodeLike, Operation, Scope, apply, rebuilt
from chainrule.graph.op import Scalar, View, function, op
from chainrule.ops.build import BROADCAST_TO, as_node, floating
from chainrule.ops.shape import RESHAPE, TRANSPOSE


def _forward_bfloat16(x: Array) -> Array:
    """Half to even, as processors do it; what is subnormal becomes 0."""
    bits = np.asarray(x, "float32", order="C").view(np.uint32)
    exponent, upper = np.uint32(0x7F800000), np.uint32(0xFFFF0000)
    odd = (bits >> np.uint32(16)) & np.uint32(1)
    y = (bits + np.uint32(0x7FFF) + odd) & upper
    y = np.where(np.isnan(x), (bits | np.uint32(0x400000)) & upper, y)
    y = np.where(bits & exponent == 0, bits & np.uint32(0x80000000), y)
    return np.asarray(y, np.uint32).view(np.float32).astype(x.dtype, copy=False)


TO_BFLOAT16 = op(
    "to_bfloat16",
    "map",
    infer=floating("to_bfloat16"),
    forward=_forward_bfloat16,
    gradient=lambda gy, y, x: (gy,),
    lower=Scalar("bfloat16"),
    price=0,
    formula="bfloat16({0})",
    convention="Half goes to even; numbers below 1.2e-38 become 0. The gradient is that of x: "
    "rounding counts as if it changed nothing.",
)


@function
def to_bfloat16(x: NodeLike) -> Node:
    """`x` rounded to 8 significant bits, as float32: `to_bfloat16(x) @ to_bfloat16(w)`.

    Where the processor can, machine code multiplies two such factors as bfloat16, and adds up in
    float32. The products of gradients take rounded factors too.
    """
    return apply(TO_BFLOAT16, as_node(x))


def is_rounded(x: Node) -> bool:
    """Whether a node is rounded, views seen through."""
    while isinstance(x, Operation) and isinstance(x.op.lower, View):
        x = x.operands[0]
    return isinstance(x, Operation) and x.op is TO_BFLOAT16


def rounded(x: Node) -> Node:
    """A node rounded; below its views, so that one rounding serves all of them."""
    if is_rounded(x):
        return x
    if isinstance(x, Operation) and x.op in (TRANSPOSE, RESHAPE, BROADCAST_TO):
        return rebuilt(x, (rounded(x.operands[0]),))
    return apply(TO_BFLOAT16, x).within(Scope(f"{x.label}.bfloat16"))


def as_factor(gy: Node, x: Node) -> Node:
    """The gradient of a product as a factor beside `x`: rounded where `x` is."""
    return rounded(gy) if is_rounded(x) else gy
