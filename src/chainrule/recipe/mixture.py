"""Weights of an ensemble's members, by which they predict rows best that trained none of them."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from chainrule.engine.forward import Forward
from chainrule.engine.minibatch import Rows
from chainrule.graph.node import Array, Node
from chainrule.model.model import Model
from chainrule.nn.arguments import new_parameter
from chainrule.nn.naming import as_layer, layer_scope
from chainrule.ops.einsum import einsum
from chainrule.ops.join import stack
from chainrule.types import TensorType

Floats = npt.NDArray[np.float64]
WEIGHTS = ".weights"
"""Suffix of the parameter with the weights of members; they are equal until they are chosen."""
PRIOR_ROWS = 10
"""Rows for which equal weights count beside those held out: a few rows say little."""
STEPS = 500


def mixture(parts: list[Node]) -> Node:
    """The mean of nodes of one type, (N,) or (N, classes), with weights that add up to 1."""
    scope, m = layer_scope(None, "mixture"), len(parts)
    kind = TensorType((m,), parts[0].dtype)
    weights = new_parameter(scope, WEIGHTS, kind, np.full(m, 1 / m), trainable=False)
    rule = "nmc,m->nc" if parts[0].ndim == 2 else "nm,m->n"
    return as_layer(scope, einsum(rule, stack(parts, axis=1), weights), parts)


def weights_of(model: Model) -> dict[str, Array]:
    """The weights (members,) by the name of their parameter; empty where members are alike."""
    return {name: x for name, x in model.values.items() if name.endswith(WEIGHTS)}


def parts_of(model: Model, arrays: dict[str, Array], rows: Rows) -> Floats:
    """The nodes that are mixed, for some rows: (n, members) or (n, members, classes)."""
    names = weights_of(model)
    (mixed,) = (x for x in model.graph if any(model.graph.name(y) in names for y in x.inputs))
    (parts,) = Forward(model.graph, mixed.inputs[:1])(model.values, arrays, rows)
    return parts.astype(np.float64)


def best_weights(parts: Floats, truth: Array) -> Floats:
    """The weights (members,) of the lowest log loss, or squared error, for rows held out.

    They are not negative and add up to 1. The logarithm of each counts too, as much as that of
    PRIOR_ROWS rows in all, which keeps them equal where the rows show no difference. Both are
    found by repeated multiplication, which for the log loss is the EM algorithm.

    Args:
        parts: probabilities (n, members, classes), or numbers (n, members).
        truth: class indices or numbers (n,), in the unit of `parts`.
    """
    n, m = parts.shape[:2]
    w = np.full(m, 1 / m)
    if parts.ndim == 3:
        p = np.maximum(parts[np.arange(n), :, truth.astype(np.int64)], 1e-30)
        for _ in range(STEPS):
            w = w * (p / (p @ w)[:, None]).sum(axis=0) + PRIOR_ROWS / m
            w /= w.sum()
        return w
    errors = parts - truth[:, None]
    products = errors.T @ errors / max(float(np.square(errors.mean(axis=1)).mean()), 1e-30)
    top = float(products.max())
    for _ in range(STEPS):
        w = w * (top - products @ w) + PRIOR_ROWS / m
        w /= w.sum()
    return w
