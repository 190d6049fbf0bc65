"""Layers whose values a training step computes twice instead of keeping them."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial

from chainrule.errors import SettingError
from chainrule.graph.graph import topological
from chainrule.graph.node import Node, Operation
from chainrule.graph.source import user_line
from chainrule.nn.arguments import call, node
from chainrule.ops.again import recomputed


def recompute(function: Callable[..., Node], *operands: Node) -> Node:
    """`function(*operands)`, computed once more in the backward pass, so that it is not kept.

    A training step keeps values of the forward pass that its gradients need, above all the results
    of every layer. Of what lies between the operands and the result it then keeps nothing: the
    gradients compute it again, from the operands. That takes up to a forward pass more of time.
    Values and gradients are the same, and so is the model; a prediction is not changed:

        for k in range(24):
            h = cr.recompute(lambda h: cr.transformer_encoder(h, heads=8), h)

    Random numbers, such as the choice of dropout, are drawn once, and kept.

    Args:
        function: takes the operands, and returns a node that is computed from them: a layer, such
            as `cr.layer.dense(64, "relu")`, or a function of your own.
        operands: nodes, one at least; they are kept, and so are other nodes that the function
            reads.

    Raises:
        SettingError: there is no operand, or the result is not computed from one.
    """
    if not operands:
        raise SettingError("recompute", "there is no operand to compute again from",
                           at="line " + user_line(), fix="recompute(function, x)")  # fmt: skip
    given = [node("recompute", x) for x in operands]
    of_one = partial(_of_one, function, given[1:]) if callable(function) else function
    y = call("recompute", of_one, given[0], "the function")
    inside: set[Node] = set(given)
    others: dict[Node, None] = {}
    for x in topological([y], known=given):
        if isinstance(x, Operation) and any(z in inside for z in x.operands):
            others |= dict.fromkeys(z for z in x.operands if z.inputs and z not in inside)
            inside.add(x)
    if y not in inside or y in given:
        raise SettingError("recompute", "the function returns what does not depend on its operands",
                           got=repr(y), at="line " + user_line())  # fmt: skip
    return recomputed(y, given, list(others))


def _of_one(function: Callable[..., Node], others: list[Node], x: Node) -> Node:
    return function(x, *others)
