"""Penalties on large weights, to be added to a loss."""

from __future__ import annotations

from collections.abc import Callable, Iterable

from chainrule.errors import GraphError, SettingError
from chainrule.graph.graph import Graph
from chainrule.graph.node import Node, Parameter
from chainrule.graph.source import user_line
from chainrule.nn.naming import as_layer, layer_scope
from chainrule.ops import bounds, reduce
from chainrule.ops.elementwise import square
from chainrule.types import is_number


def l1(*parameters: Node, strength: float, name: str | None = None) -> Node:
    """`strength` times the sum of all absolute values: it drives weights to 0.

    Its gradient at 0 is 0. Arguments and errors as in `l2`.
    """
    return _penalty("l1", bounds.abs, parameters, strength, name)


def l2(*parameters: Node, strength: float, name: str | None = None) -> Node:
    """`strength` times the sum of all squares; its gradient is `2 * strength * w`.

        loss = cr.cross_entropy(logits, t) + cr.l2(*cr.weights_of(logits), strength=1e-4)

    Args:
        parameters: floating-point nodes of one type: parameters, or other nodes to keep small.
        strength: 0 or more.
        name: of the penalty.

    Raises:
        GraphError: no parameters, or something that is not a node. SettingError: the strength is
            negative.
    """
    return _penalty("l2", square, parameters, strength, name)


def weights_of(outputs: Node | Iterable[Node]) -> list[Parameter]:
    """All trained parameters with two axes or more that the outputs are computed from.

    These are weight matrices and embedding tables, without biases, scales and shifts.
    """
    parameters = Graph(outputs).parameters
    return [x for x in parameters if x.trainable and x.ndim >= 2]


def _penalty(
    kind: str,
    cost: Callable[[Node], Node],
    parameters: tuple[Node, ...],
    strength: float,
    name: str | None,
) -> Node:
    strange = [x for x in parameters if not isinstance(x, Node)]
    if strange or not parameters:
        raise GraphError(
            kind,
            "needs the parameters to keep small",
            got=repr(strange[0])[:60] if strange else "none",
            at="line " + user_line(),
            fix=f"{kind}(*weights_of(logits), strength=...)",
        )
    if not is_number(strength) or strength < 0:
        raise SettingError(kind, "strength is a finite number, 0 or more", got=repr(strength))
    total = reduce.sum(cost(parameters[0]))
    for x in parameters[1:]:
        total = total + reduce.sum(cost(x))
    return as_layer(layer_scope(name, kind), total * float(strength), parameters)
