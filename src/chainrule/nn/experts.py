"""Mixtures of experts: several networks on one input, weighted by a gate."""

from __future__ import annotations

from functools import reduce as folded

from chainrule.errors import SettingError, ShapeError
from chainrule.graph.node import Node
from chainrule.graph.source import user_line
from chainrule.nn.arguments import features, floats, new_parameter, positive
from chainrule.nn.compose import Transform, sequential
from chainrule.nn.init import Zeros
from chainrule.nn.naming import as_layer, layer_scope
from chainrule.ops.contract import matmul
from chainrule.ops.elementwise import add
from chainrule.ops.softmax import softmax
from chainrule.types import TensorType, show


def mixture_of_experts(
    x: Node,
    experts: int,
    *functions: Transform,
    gate: Node | None = None,
    name: str | None = None,
) -> Node:
    """The mean of the results of several networks, with weights that depend on the input.

    Each expert is the same sequence of layers with parameters of its own; all are computed. Their
    weights, `name.shares`, are a softmax: (N, experts) numbers above 0 that add up to 1.

        y = cr.mixture_of_experts(x, 4, cr.layer.dense(32, "relu"), cr.layer.dense(1))

    Args:
        x: (N, i) or (N, ..., i).
        experts: their number.
        functions: the layers of an expert, without names, as in `sequential`.
        gate: the logits of the weights, (N, experts) or (N, ..., experts); None: a dense layer on
            `x`, `name.gate.w` and `name.gate.b`, that starts from zeros, so with equal weights.
        name: of the result.

    Source: R. Jacobs et al., Adaptive mixtures of local experts, 1991.

    Raises:
        SettingError: there are no layers, one is not a function from node to node, or `experts`
            is not an integer above 0.
        ShapeError: the gate does not fit, or experts change other axes than the last.
    """
    x, i = features("mixture_of_experts", x)
    count = positive("mixture_of_experts", "experts", experts)
    if not functions:
        raise SettingError(
            "mixture_of_experts", "an expert has no layers", at="line " + user_line(),
            fix='give layers: cr.mixture_of_experts(x, 4, cr.layer.dense(32, "relu"))',
        )  # fmt: skip
    scope = layer_scope(name, "mixture_of_experts")
    results = [sequential(x, *functions) for _ in range(count)]
    if gate is None:
        w, b = (
            new_parameter(scope, suffix, TensorType(shape, x.dtype), Zeros())
            for suffix, shape in ((".gate.w", (i, count)), (".gate.b", (count,)))
        )
        logits = matmul(x, w) + b
    else:
        logits = floats("mixture_of_experts", gate)
    weights = softmax(logits).within(scope, ".shares")
    for y in results:
        _check(y, weights, count)
    terms = [y * weights[..., e : e + 1] for e, y in enumerate(results)]
    return as_layer(scope, folded(add, terms), (x, *([] if gate is None else [gate]), *results))


def _check(y: Node, weights: Node, count: int) -> None:
    """Raises ShapeError where the weights of experts do not fit their results."""
    expected = (*y.shape[:-1], count)
    if weights.shape != expected or not y.ndim:
        raise ShapeError(
            "mixture_of_experts", "the gate does not fit the results of experts",
            expected=f"a gate of {show(expected)} for results of {show(y.shape)}",
            got=show(weights.shape), at="line " + user_line(),
        )  # fmt: skip
