"""Recognises activations by the nodes that their functions make."""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import Any

import numpy as np

from chainrule.errors import ShapeError
from chainrule.graph.node import Input, Node, Operation, Scope
from chainrule.graph.op import FUNCTIONS
from chainrule.nn.arguments import ACTIVATIONS
from chainrule.types import TensorType

Found = tuple[str, Node, frozenset[Node]]
"""The name of an activation, its operand, and the nodes from there to its result."""

_VARIANTS: dict[str, tuple[Callable[[Node], Node], ...]] = {
    "gelu": (FUNCTIONS["gelu"], lambda x: FUNCTIONS["gelu"](x, approximate=True)),
}
_ANY_NUMBER = ("leaky_relu", "elu")
"""Activations with a number of the user's choice."""


def activation_of(node: Node) -> Found | None:
    """The activation that ends in `node`, where that has not the name of its op."""
    if not isinstance(node, Operation) or not node.type.floating:
        return None
    for name in ACTIVATIONS:
        for template in _templates(name, node.type):
            operand, inside = _matched(template, node, free=name in _ANY_NUMBER)
            if operand is not None:
                return name, operand, frozenset(inside)
    return None


@functools.lru_cache(maxsize=512)
def _templates(name: str, type: TensorType) -> tuple[Operation, ...]:
    """The last node of an activation of a value of that type, in all its forms."""
    if name == "linear":
        return ()
    x = Input(Scope("x"), type)
    try:
        made = [f(x) for f in _VARIANTS.get(name, (FUNCTIONS[name],))]
    except ShapeError:  # such as the softmax of a scalar
        return ()
    return tuple(
        y for y in made if isinstance(y, Operation) and (y.op.name != name or y.operands != (x,))
    )


def _matched(template: Operation, node: Operation, free: bool) -> tuple[Node | None, set[Node]]:
    """The nodes in place of the template's input, and the nodes of the rest; None: they differ."""
    stands: dict[Node, Node] = {}
    stack: list[tuple[Node, Node]] = [(template, node)]
    while stack:
        want, have = stack.pop()
        known = stands.get(want)
        if known is not None:
            if known is not have:
                return None, set()
            continue
        stands[want] = have
        if isinstance(want, Operation):
            if not isinstance(have, Operation) or not _alike(want, have, free):
                return None, set()
            stack += zip(want.operands, have.operands, strict=True)
    (operand,) = (y for x, y in stands.items() if isinstance(x, Input))
    return operand, {y for x, y in stands.items() if not isinstance(x, Input)}


def _alike(want: Operation, have: Operation, free: bool) -> bool:
    if want.op is not have.op or len(want.operands) != len(have.operands):
        return False
    if want.type != have.type:
        return False
    if free and want.op.name == "constant":
        return True
    return all(_equal(x, have.attributes[key]) for key, x in want.attributes.items())


def _equal(a: Any, b: Any) -> bool:
    if isinstance(a, np.ndarray) and isinstance(b, np.ndarray):
        return a.dtype == b.dtype and np.array_equal(a, b)
    return type(a) is type(b) and bool(a == b)
