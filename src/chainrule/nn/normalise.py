"""Normalisation layers: batch, layer and root mean square."""

from __future__ import annotations

import numpy as np

from chainrule.errors import ShapeError
from chainrule.graph.node import Node, Scope
from chainrule.graph.source import user_line
from chainrule.nn.arguments import between, features, new_parameter
from chainrule.nn.naming import as_layer, layer_scope
from chainrule.ops import bounds, reduce
from chainrule.ops.build import cast
from chainrule.ops.compare import greater
from chainrule.ops.elementwise import rsqrt, square
from chainrule.ops.mode import count, tracked, when_training
from chainrule.ops.moments import var
from chainrule.types import N, TensorType, show


def batch_norm(
    x: Node,
    *,
    momentum: float = 0.9,
    epsilon: float = 1e-5,
    trainable: bool = True,
    name: str | None = None,
) -> Node:
    """Each feature with mean 0 and variance 1 over the minibatch, times a scale, plus a shift.

    In training, mean and variance are those of the minibatch, over all axes but the last; in
    prediction, running ones, `name.running_mean` and `name.running_var`, which each training
    step updates. They are plain averages of the first steps, then exponential ones: the old
    value's share is `momentum`, but at most `(steps - 1) / steps`, counted by `name.steps`; so
    they are usable from the first step on. The running variance is the unbiased one,
    with n - 1. A minibatch of one row has none and leaves it as it is; its own result is `shift`.

    Args:
        x: (N, i) or (N, ..., i).
        momentum: of the running statistics, between 0 and 1.
        epsilon: added to the variance.
        trainable: whether `name.scale` and `name.shift`, (i,), are trained.
        name: of the layer.

    Source: S. Ioffe and C. Szegedy, Batch normalization, ICML 2015.

    Raises:
        ShapeError: `x` has no batch axis or no axis of features. DTypeError: it is not floating.
    """
    x, _ = features("batch_norm", x)
    if x.ndim < 2 or x.shape[0] is not N:
        raise ShapeError(
            "batch_norm",
            "there is no batch axis to take statistics over",
            expected="(N, features) or (N, ..., features)",
            got=show(x.shape),
            at=f"operand {x.label!r}, line {user_line()}",
        )
    keep = between("batch_norm", "momentum", momentum, 0, 1)
    epsilon = between("batch_norm", "epsilon", epsilon, 0, np.inf)
    scope, axes = layer_scope(name, "batch_norm"), tuple(range(x.ndim - 1))
    mean, variance = reduce.mean(x, axes), var(x, axes)  # (N, i) -> (i,)
    running = _running(scope, mean, variance, count(tuple(x.shape[a] for a in axes), x.dtype), keep)
    centre = when_training(mean, running[0])
    spread = when_training(variance, running[1])
    return _finish(scope, (x - centre) * rsqrt(spread + epsilon), x, trainable, shift=True)


def _running(scope: Scope, mean: Node, variance: Node, n: Node, keep: float) -> tuple[Node, Node]:
    """The running mean and variance before this step, which updates them."""
    per_feature, number = mean.type, TensorType((), mean.dtype)
    m = new_parameter(scope, ".running_mean", per_feature, "zeros", trainable=False)
    v = new_parameter(scope, ".running_var", per_feature, "ones", trainable=False)
    steps = new_parameter(scope, ".steps", number, "zeros", trainable=False)
    before = tracked(steps, steps + 1)
    share = bounds.maximum(1 - keep, 1 / (before + 1))
    several = cast(greater(n, 1), n.dtype)
    unbiased = variance * (n / bounds.maximum(n - 1, 1))
    return (
        tracked(m, m + share * (mean - m)),
        tracked(v, v + share * several * (unbiased - v)),
    )


def layer_norm(
    x: Node,
    *,
    epsilon: float = 1e-5,
    trainable: bool = True,
    name: str | None = None,
) -> Node:
    """Each example with mean 0 and variance 1 over its features, times a scale, plus a shift.

    It is the same in training and prediction. `name.scale` and `name.shift` are (i,).

    Args:
        x: (N, i) or (N, ..., i), with i of at least 2.
        epsilon: added to the variance.
        trainable: whether scale and shift are trained.
        name: of the layer.

    Source: J. L. Ba, J. R. Kiros and G. E. Hinton, Layer normalization, arXiv:1607.06450.

    Raises:
        ShapeError: `x` has no axis of features, or one feature. DTypeError: it is not floating.
    """
    x, width = features("layer_norm", x)
    if width == 1:
        raise ShapeError(
            "layer_norm",
            "over one feature every value becomes 0",
            expected="(N, ..., 2 features or more)",
            got=show(x.shape),
            at=f"operand {x.label!r}, line {user_line()}",
        )
    epsilon = between("layer_norm", "epsilon", epsilon, 0, np.inf)
    centred = x - reduce.mean(x, -1, keepdims=True)
    size = rsqrt(var(x, -1, keepdims=True) + epsilon)
    return _finish(layer_scope(name, "layer_norm"), centred * size, x, trainable, shift=True)


def rms_norm(
    x: Node,
    *,
    epsilon: float = 1e-6,
    trainable: bool = True,
    name: str | None = None,
) -> Node:
    """Each example divided by the root mean square of its features, times a scale.

    It is the same in training and prediction. `name.scale` is (i,). Arguments as in `layer_norm`.

    Source: B. Zhang and R. Sennrich, Root mean square layer normalization, NeurIPS 2019.
    """
    x, _ = features("rms_norm", x)
    epsilon = between("rms_norm", "epsilon", epsilon, 0, np.inf)
    size = rsqrt(reduce.mean(square(x), -1, keepdims=True) + epsilon)
    return _finish(layer_scope(name, "rms_norm"), x * size, x, trainable, shift=False)


def _finish(scope: Scope, y: Node, x: Node, trainable: bool, *, shift: bool) -> Node:
    """The layer on `x`: `y` times a scale, plus a shift where requested."""
    per_feature = TensorType(x.shape[-1:], x.dtype)
    y = y * new_parameter(scope, ".scale", per_feature, "ones", trainable=trainable)
    if shift:
        y = y + new_parameter(scope, ".shift", per_feature, "zeros", trainable=trainable)
    return as_layer(scope, y, (x,))
