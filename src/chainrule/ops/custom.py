"""User-defined ops: the record of an op, and the function that makes its nodes."""

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
    its operands. With `decompose` or `lower` the op is compiled to machine code; without, `predict`
    and every step of `fit` call `forward` at its place, between machine code: about 20 us more.

    Args:
        name: in listings and model files: to load a file, the op must be defined.
        forward: `(*operands, **attributes)`, NumPy arrays that it may change, to an array of the
            type that `infer` tells. It should depend on them alone.
        gradient: `(gy, y, *operands, **attributes)`, nodes, to a tuple: for each operand a node,
            or None where no gradient flows. None instead of the function: there is no gradient.
        kind: "map": element by element; "reduce": along the axes in the attribute `axis`; or
            "contract", "view", "index", "random".
        infer: `(*types, **attributes)`, types of operands, to the type of the result; None: it is
            that of the operands, which are all of one type.
        decompose: `(*operands, **attributes)`, nodes, to a node of other ops that machine code
            computes instead.
        lower: an element of the result as an expression.
        price: of one element, in additions; None: 1.
        formula: its notation; `{0}` is the first operand, `{axis}` an attribute.
        convention: its values at kinks, ties and NaN.

    Raises:
        GraphError: Chainrule has an op of that name.
        SettingError: an op that is not a map has no `infer`.
    """
    if infer is None and kind != "map":
        raise SettingError(
            "op",
            f"{name!r} has no rule for its type",
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
