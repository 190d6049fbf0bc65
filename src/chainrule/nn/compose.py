"""Layers made of layers: in sequence, around a shortcut, and the usual stack."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TypeAlias

import numpy as np

from chainrule.errors import SettingError, ShapeError, did_you_mean
from chainrule.graph.node import Node
from chainrule.graph.source import user_line
from chainrule.nn import layers
from chainrule.nn.arguments import (
    Activation,
    activate,
    activation_name,
    call,
    features,
    floats,
    node,
    positive,
)
from chainrule.nn.init import InitSpec, fitting
from chainrule.nn.naming import as_layer, layer_scope
from chainrule.nn.normalise import batch_norm, layer_norm, rms_norm
from chainrule.ops.random import check_rate
from chainrule.system.checks import flag

Transform: TypeAlias = Callable[[Node], Node]

NORMS = {"batch": batch_norm, "layer": layer_norm, "rms": rms_norm}


def sequential(x: Node, *functions: Transform) -> Node:
    """Layers in sequence: each is applied to the output of the previous one.

    A layer is any function from node to node: a function of `cr.layer`, which is the layer of
    that name without its operand, an activation, or a function of your own:

        y = cr.sequential(
            x,
            cr.layer.dense(64, "relu", name="hidden"),
            cr.layer.dropout(0.2),
            lambda h: cr.dense(h, 10),
        )

    Raises:
        SettingError: a layer is something else; the message says which.
    """
    y = node("sequential", x)
    for place, function in enumerate(functions, start=1):
        y = call("sequential", function, y, f"layer {place}")
    return y


def residual(
    x: Node, *functions: Transform, project: bool = False, name: str | None = None
) -> Node:
    """`x + f(x)`, where f is a sequence of layers: a block with a shortcut.

    Args:
        x: floating-point.
        functions: the layers, as in `sequential`.
        project: where the layers change the number of features, map `x` to it by a dense layer
            without bias, which is named `name.shortcut`.
        name: of the sum.

    Raises:
        ShapeError: the layers change the shape, and `project` is off or does not help.
        SettingError: there are no layers, or one is not a function from node to node.
    """
    x, project = floats("residual", x), flag("residual", "project", project)
    if not functions:
        raise SettingError("residual", "there is nothing to add: no layers were given")
    y = sequential(x, *functions)
    scope = layer_scope(name, "residual")
    if x.shape == y.shape:
        return as_layer(scope, x + y, (x, y))
    _, width = features("residual", y)
    fits = x.shape[:-1] == y.shape[:-1]
    if not project or not fits:
        fix = f"end with a layer of width {x.shape[-1]}, or let x be projected: project=True"
        if not fits:
            fix = "add a shortcut that changes x as the layers do"
            fix += ", such as y + cr.conv(x, filters, 1, stride=2)" if x.ndim > 2 else ""
        raise ShapeError(
            "residual",
            "the layers change the shape, so that x cannot be added",
            expected=x.type.sizes,
            got=y.type.sizes,
            at="line " + user_line(),
            fix=fix,
        )
    short = layers.dense(x, width, bias=False, name=None if name is None else f"{name}.shortcut")
    return as_layer(scope, short + y, (short, y))


def mlp(
    x: Node,
    widths: int | Sequence[int],
    activation: Activation = "relu",
    *,
    dropout: float = 0.0,
    norm: str | None = None,
    init: InitSpec = None,
    name: str | None = None,
) -> Node:
    """A stack of hidden layers: for each width dense, normalisation, activation, dropout.

    The output layer is not a part of it: `cr.dense(cr.mlp(x, (128, 64)), 10, name="logits")`.

    Args:
        x: (N, i) or (N, ..., i).
        widths: of the hidden layers, first to last; a single number for one.
        activation, init: as in `dense`.
        dropout: the rate after each layer; 0 for none.
        norm: "batch", "layer", "rms", or None. The dense layers before it have no bias, as the
            normalisation has a shift (except "rms").
        name: the layers are named `name1`, `name2`, ..., their other parts `name1.norm` and so
            on; without it they are numbered like all layers that have no name.

    Raises:
        SettingError: a width, a rate or the name of a normalisation is not valid.
    """
    sizes = list(widths) if isinstance(widths, Sequence | np.ndarray) else [widths]
    rate = check_rate("mlp", dropout)
    if norm is not None and norm not in NORMS:
        raise SettingError(
            "mlp", f"no normalisation is named {norm!r}", fix=did_you_mean(norm, NORMS)
        )
    h, _ = features("mlp", x)
    for number, width in enumerate(sizes, start=1):
        layer_name = None if name is None else f"{name}{number}"
        width = positive("mlp", "a width", width)
        h = hidden(h, width, activation, norm=norm, init=init, name=layer_name)
        h = layers.dropout(h, rate, name=layer_name and layer_name + ".dropout") if rate else h
    return h


def hidden(
    h: Node, width: int, activation: Activation, *, norm: str | None, init: InitSpec,
    name: str | None, bias: bool | InitSpec = True,
) -> Node:  # fmt: skip
    """One layer of `mlp`, before dropout; `bias` as in `dense`, unused where norm has a shift."""
    if norm is None:
        return layers.dense(h, width, activation, init=init, name=name, bias=bias)
    start = fitting(activation_name(activation)) if init is None else init
    h = layers.dense(h, width, init=start, bias=norm == "rms", name=name)
    h = NORMS[norm](h, name=name and name + ".norm")
    return activate("mlp", h, activation, name and name + ".activation")
