"""Ops of your own: a record like that of any other op, and the function that makes its nodes."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from chainrule.errors import SettingError
from chainrule.graph.node import Node, NodeLike, apply
from chainrule.graph.op import (
    SERIALS,
    Decompose,
    Forward,
    Gradient,
    Infer,
    Kind,
    Lowering,
)
from chainrule.graph.op import op as make
from chainrule.ops.build import as_node, broadcast, same


def op(
    name: str,
    *,
    forward: Forward,
    gradient: Gradient | None,
    kind: Kind = "map",
    infer: Infer | None = None,
    decompose: Decompose | None = None,
    lower: Lowering | None = None,
    price: int | None = None,
    formula: str = "",
    convention: str = "",
) -> Callable[..., Node]:
    """A new op, as the function that makes nodes of it: `cube = op("cube", ...)`, `cube(x)`.

    The function takes nodes or arrays, and attributes by keyword. An op of kind "map" broadcasts
    its operands. With `decompose` or `lower` machine code is made of the op; without, a forward
    pass interprets it at its place, and `fit` interprets the whole step, which is slower.

    Args:
        name: as in listings, and in model files: a file is loaded where the op is made too.
        forward: `(*operands, **attributes)`, NumPy arrays, to an array.
        gradient: `(gy, y, *operands, **attributes)`, nodes, to a tuple: for each operand a node,
            or None where no gradient flows. None in place of it: there is no gradient.
        kind: "map": element by element; "reduce": along the axes in the attribute `axis`; or
            "contract", "view", "index", "random".
        infer: `(*types, **attributes)`, types of operands, to the type of the result; None: it is
            that of the operands, which are all of one type.
        decompose: `(*operands, **attributes)`, nodes, to a node of other ops that machine code
            computes instead.
        lower: an element of the result as an expression.
        price: of one element, in additions; None: 1.
        formula: how to write it; `{0}` is the first operand, `{axis}` an attribute.
        convention: what holds at kinks, ties and for NaN.

    Raises:
        GraphError: Chainrule has an op of that name.
        SettingError: an op that is not a map does not say its type.
    """
    if infer is None and kind != "map":
        raise SettingError(
            "op",
            f"{name!r} does not say its type",
            expected="infer=..., for every kind but 'map'",
            fix="infer=lambda x, axis: the TensorType of the result",
        )
    record = make(
        name, kind, infer=infer or same, forward=forward, gradient=gradient, decompose=decompose,
        lower=lower, price=price, formula=formula, convention=convention, serial=next(SERIALS),
    )  # fmt: skip

    def function(*operands: NodeLike, **attributes: Any) -> Node:
        nodes = broadcast(name, *operands) if kind == "map" else map(as_node, operands)
        return apply(record, *nodes, **attributes)

    function.__name__ = function.__qualname__ = name
    function.__doc__ = convention or formula or None
    return function
